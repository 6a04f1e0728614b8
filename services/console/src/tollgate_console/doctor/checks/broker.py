"""Is the broker one whose acknowledgement is worth something, with the streams that provisioning makes?"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import nats.errors

from tollgate_chassis.durability import check_durability
from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.tape import NatsTape, TapeUnavailable
from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.checks.configuration import one_line
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult
from tollgate_console.exits import ConsoleError
from tollgate_console.provision.broker import CONSOLE, check_sync, stream_configs, stream_differences
from tollgate_console.provision.keys import NATS_SEED
from tollgate_contracts.subjects import tape_stream

AREA = Area("broker")
_ANSWER_S = 2.0
# A cluster keeps so many copies; one node keeps its own, and syncs each message (docs/architecture.md).
_COPIES = 3
# The advisories of 2026 are mended in these and in every minor version after the last; the others never will be.
_MENDED = ((2, 12, 12), (2, 14, 3))
_WARN_PERCENT, _FAIL_PERCENT = 70, 85
_RUNBOOK_LOST = "docs/runbook.md#broker-lost"


async def check_broker(patient: Patient) -> list[CheckResult]:
    """Report on version, sync, each stream's settings, and how full the tape is."""
    if patient.platform is None:
        return [AREA.skipped("broker", "no platform runs")]
    variables = await _variables(patient.broker.variables_url)
    if variables is None:
        said = f"it does not answer at {patient.broker.variables_url}"
        return [AREA.failed("broker", said, f"see logs/nats.log; {_RUNBOOK_LOST}")]
    copies = _COPIES if variables.get("cluster", {}).get("name") else 1
    results = [check_version(str(variables.get("version", ""))), _check_sync(variables, copies)]
    try:
        async with connected(patient) as tape:
            return results + await _check_streams(patient, tape, copies)
    except TapeUnavailable as error:
        return [*results, AREA.failed("streams", f"they cannot be read: {error.why}", _RUNBOOK_LOST)]


@asynccontextmanager
async def connected(patient: Patient) -> AsyncIterator[NatsTape]:
    """Connect as the console, which may only read; raises ``TapeUnavailable``."""
    seed_file = patient.layout.secrets(CONSOLE) / NATS_SEED
    if not seed_file.is_file():
        raise TapeUnavailable(f"{seed_file} is not there")
    tape = await NatsTape.connect(patient.broker.url, seed_file, patient.desk or "", CONSOLE)
    try:
        yield tape
    finally:
        await tape.close()


async def _variables(url: str) -> dict[str, Any] | None:
    try:
        async with httpx.AsyncClient(timeout=_ANSWER_S, trust_env=False) as client:
            answer: Any = (await client.get(url)).json()
    except (httpx.HTTPError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def check_version(text: str) -> CheckResult:
    """Hold a server's version against those with known holes."""
    expected = "expected 2.12.12 or later of 2.12, or 2.14.3 or later"
    try:
        major, minor, patch = (int(part) for part in text.partition("-")[0].split("."))
    except ValueError:
        return AREA.warned("version", f"it says version {text!r}, {expected}", "find out which server this is")
    found = (major, minor, patch)
    is_mended = any(found[:2] == mended[:2] and found >= mended for mended in _MENDED) or found[:2] > _MENDED[-1][:2]
    if is_mended:
        return AREA.passed("version", f"nats-server {text}, {expected}")
    do = "run a newer nats-server; this one has holes that are known to everybody"
    return AREA.failed("version", f"nats-server {text}, {expected}", do)


def _check_sync(variables: dict[str, Any], copies: int) -> CheckResult:
    if copies > 1:
        return AREA.passed("sync", f"a cluster: {copies} copies are worth more than one disk")
    try:
        check_sync(variables)
    except ConsoleError as error:
        return AREA.failed("sync", error.what, "start it with the configuration that `tollgate up` renders")
    return AREA.passed("sync", "each message is on the disk before it is acknowledged")


async def _check_streams(patient: Patient, tape: NatsTape, copies: int) -> list[CheckResult]:
    desk = patient.desk or ""
    description = await tape.describe()
    results = [_check_durability(description, desk)]
    if patient.settings is None:
        results.append(AREA.skipped("streams", "the configuration does not load, so their sizes are not known"))
    else:
        all_wanted = stream_configs(desk, patient.settings.console.stream_sizes, copies)
        results += [_check_stream(wanted, await _describe(tape, wanted["name"])) for wanted in all_wanted]
    return [*results, check_fullness(description)]


async def _describe(tape: NatsTape, stream: str) -> dict[str, Any]:
    try:
        answer = await tape.client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=_ANSWER_S)
    except (OSError, nats.errors.Error, TimeoutError) as error:
        raise TapeUnavailable(f"stream {stream}: {error or type(error).__name__}") from error
    content: dict[str, Any] = json.loads(answer.data)
    return content


def _check_durability(description: dict[str, Any], desk: str) -> CheckResult:
    name = tape_stream(desk)
    try:
        check_durability(description, desk)
    except BadConfiguration as error:
        return AREA.failed(f"{name} durability", one_line(error.why), "put the stream's settings back, before trading")
    return AREA.passed(f"{name} durability", "safe for money, as each service asks before it starts")


def _check_stream(wanted: dict[str, Any], description: dict[str, Any]) -> CheckResult:
    name = wanted["name"]
    if "config" not in description:
        why = description.get("error", {}).get("description", "no answer")
        return AREA.failed(name, f"it cannot be described: {why}", _RUNBOOK_LOST)
    differences = [line.strip() for line in stream_differences(wanted, description["config"])]
    do = "put the stream's settings back; nobody but the provisioner may change them"
    return AREA.decided(name, differences, "as provisioning makes it", do)


def check_fullness(description: dict[str, Any]) -> CheckResult:
    """Say how full the tape is: full, it takes nothing more."""
    used, room = description["state"]["bytes"], max(description["config"]["max_bytes"], 1)
    percent = 100 * used // room
    said = f"{percent} % of {room // 1_048_576} MiB used, expected less than {_WARN_PERCENT} %"
    do = "raise console.tape_mib_max; docs/runbook.md#tape-full"
    if percent >= _FAIL_PERCENT:
        return AREA.failed("tape fullness", said, do)
    if percent >= _WARN_PERCENT:
        return AREA.warned("tape fullness", said, do)
    return AREA.passed("tape fullness", said)
