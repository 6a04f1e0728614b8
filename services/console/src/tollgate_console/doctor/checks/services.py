"""Does every process run, answer, and do its work, in one version and of one start?"""

from importlib.metadata import PackageNotFoundError, version

import httpx

from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.checks.configuration import one_line
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult
from tollgate_console.doctor.scrapes import parse
from tollgate_console.health.collect import Answers, ask_all, new_client

AREA = Area("services")
_BUILD = "tollgate_build_info"
_LOOK = "see `tollgate status` and the end of its log; docs/runbook.md"


async def check_services(patient: Patient) -> list[CheckResult]:
    """Report on each process, and on the versions."""
    platform = patient.platform
    if platform is None:
        return [AREA.skipped("processes", "no platform runs")]
    async with new_client() as client:
        answers = await ask_all(client, platform)
        versions = {name: await _version(client, url) for name, url in patient.services.items()}
    others = [name for name in platform["processes"] if name not in answers.status]
    return [
        *(_check_process(name, platform["processes"][name], is_up=name != "simvenue" or answers.venue_up)
          for name in others),
        *(_check_service(name, answers) for name in answers.status),
        _check_versions(versions),
    ]  # fmt: skip


def _check_process(name: str, process: dict[str, str], *, is_up: bool) -> CheckResult:
    if process["state"] != "running":
        return AREA.failed(name, f"its process is {process['state']}, expected running: {_end(process)}", _LOOK)
    if not is_up:
        return AREA.failed(name, "it runs and does not answer", _LOOK)
    return AREA.passed(name, "it runs")


def _check_service(name: str, answers: Answers) -> CheckResult:
    process, status = answers.platform["processes"].get(name, {"state": "running", "reason": ""}), answers.status[name]
    if process["state"] != "running":
        return AREA.failed(name, f"its process is {process['state']}, expected running: {_end(process)}", _LOOK)
    if status is None:
        return AREA.failed(name, "it runs and does not answer, expected live and ready", _LOOK)
    if status.get("run_id") != answers.platform["run_id"]:
        do = "find out who listens on its port, and start the platform again"
        return AREA.failed(name, f"it is of run {status.get('run_id')}, expected {answers.platform['run_id']}", do)
    if status.get("standby"):
        return AREA.passed(name, f"it stands by for {status['standby']}")
    reasons = answers.not_ready[name]
    if not status.get("live"):
        return AREA.failed(name, f"it is not live: {'; '.join(reasons) or 'it does not say why'}", _LOOK)
    if reasons:
        return AREA.failed(name, f"it is live and not ready: {'; '.join(reasons)}", _LOOK)
    return AREA.passed(name, "live and ready")


def _end(process: dict[str, str]) -> str:
    lines = one_line(process["reason"]).split("; ")
    return lines[-1] or "it does not say why"


async def _version(client: httpx.AsyncClient, url: str) -> str | None:
    """Return the version that a service says it is; none where it does not answer."""
    try:
        page = (await client.get(f"{url}/metrics")).text
        labels = [dict(labels) for name, labels in parse(page, (_BUILD,), 0).values if name == _BUILD]
    except (httpx.HTTPError, ValueError):
        return None
    return labels[0].get("version") if labels else None


def _check_versions(versions: dict[str, str | None]) -> CheckResult:
    silent = [name for name, found in versions.items() if found is None]
    if len(silent) == len(versions):
        return AREA.skipped("versions", "no service says its version")
    wrong = [
        f"{name} is version {found}, expected {here}"
        for name, found in versions.items()
        if found is not None and found != (here := _installed(name))
    ]
    said = f"every service that answers is version {'/'.join(sorted({each for each in versions.values() if each}))}"
    return AREA.decided("versions", wrong, said, "start the platform again, so that all run what is installed")


def _installed(service: str) -> str:
    try:
        return version(f"tollgate-{service}")
    except PackageNotFoundError:
        return "none that is installed here"
