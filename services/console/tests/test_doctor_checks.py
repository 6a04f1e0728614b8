"""Each check fails on purpose, by its own name, and says what was expected; what shows a secret is found too."""

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tollgate_chassis.operators import TOKENS_FILE, TokenScope
from tollgate_chassis.snapshots import FileSnapshots, Snapshot
from tollgate_console.deployment import find_deployment
from tollgate_console.doctor.checks import versions
from tollgate_console.doctor.checks.broker import check_fullness, check_version
from tollgate_console.doctor.checks.clock import check_drift, check_synchronised
from tollgate_console.doctor.checks.configuration import check_configuration
from tollgate_console.doctor.checks.credentials import check_credentials
from tollgate_console.doctor.checks.database import check_keeping, expected_versions
from tollgate_console.doctor.checks.disk import check_disk
from tollgate_console.doctor.checks.versions import check_messages, check_versions
from tollgate_console.doctor.patient import Loaded, Patient, find_patient, load_services
from tollgate_console.doctor.report import CheckResult, Outcome
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import LAYOUT_VERSION, Layout
from tollgate_console.provision import tokens
from tollgate_console.provision.broker import BrokerPlace
from tollgate_console.provision.database import DATABASE_LOGINS, DatabasePlace
from tollgate_console.provision.keys import broker_public_key, provision_secrets
from tollgate_console.provision.logins import write_logins
from tollgate_console.provision.permissions import read_table
from tollgate_console.settings import ConsoleSettings
from tollgate_console.supervisor.broker_process import broker_spec
from tollgate_contracts.codec import encode
from tollgate_contracts.marketdata import Clock

SIZES = ConsoleSettings().console.stream_sizes
NOT_RUNNING = ConsoleError(ConsoleExit.NOT_RUNNING, "nothing runs")


@pytest.fixture
def patient(layout: Layout) -> Patient:
    """A desk that was provisioned and does not run."""
    users = read_table(find_deployment() / "nats" / "permissions.toml", "main")
    provision_secrets(layout, tuple(user.name for user in users), DATABASE_LOGINS)
    tokens.provision_tokens(layout)
    write_logins(layout, DatabasePlace(1))
    broker_spec(layout, "main", BrokerPlace(1, 2, layout.broker_store), SIZES, users)
    return Patient(layout, ConsoleSettings(), "", None, NOT_RUNNING, find_deployment())


def not_passed(results: list[CheckResult]) -> dict[str, CheckResult]:
    return {result.name: result for result in results if result.outcome is not Outcome.PASS}


async def credentials(patient: Patient) -> dict[str, CheckResult]:
    return not_passed(await check_credentials(patient))


async def test_credentials_as_provisioning_makes_them_pass(patient: Patient) -> None:
    """Every one of them."""
    assert await credentials(patient) == {}


def open_file(layout: Layout) -> None:
    (layout.secrets("risk") / "approval_signing_key").chmod(0o644)


def open_directory(layout: Layout) -> None:
    layout.secrets("risk").chmod(0o755)


def missing(layout: Layout) -> None:
    (layout.secrets("risk") / "nats_seed").unlink()


def another_s(layout: Layout) -> None:
    key = layout.secrets("execution") / "approval_signing_key"
    key.touch(mode=0o600)
    key.write_text((layout.secrets("risk") / "approval_signing_key").read_text())


def placeholder(layout: Layout) -> None:
    (layout.secrets("risk") / "approval_signing_key").write_text("changeme" * 8)


def no_seed(layout: Layout) -> None:
    (layout.secrets("strategy") / "nats_seed").write_text("SUABCDEF\n")


def another_seed(layout: Layout) -> None:
    (layout.secrets("strategy") / "nats_seed").write_text((layout.secrets("risk") / "nats_seed").read_text())


def another_seal(layout: Layout) -> None:
    (layout.secrets("ledger") / "seal_signing_key").write_text("0123456789abcdef" * 4)


def no_password(layout: Layout) -> None:
    (layout.secrets("reader") / "postgres_dsn").write_text("postgresql://tollgate_reader@127.0.0.1/tollgate")


def stale_list(layout: Layout) -> None:
    (layout.secrets("ledger") / TOKENS_FILE).write_text("{}")


def revoked(layout: Layout) -> None:
    tokens.revoke_token(layout, "kill")


def revoked_another(layout: Layout) -> None:
    tokens.revoke_token(layout, "limits")


def broken_list(layout: Layout) -> None:
    tokens.token_list_file(layout).write_text("{")


def another_venue_key(layout: Layout) -> None:
    (layout.secrets("execution") / "venue_api_key").write_text("f0" * 32)


def unknown_file(layout: Layout) -> None:
    (layout.secrets("strategy") / "notes").touch(mode=0o600)


@pytest.mark.parametrize(
    ("harm", "failing", "words"),
    [
        (open_file, {"risk": Outcome.FAIL}, "has mode 0644, expected 0600"),
        (open_directory, {"risk": Outcome.FAIL}, "has mode 0755, expected 0700"),
        (missing, {"risk": Outcome.FAIL, "broker keys": Outcome.FAIL}, "nats_seed is missing"),
        (another_s, {"execution": Outcome.FAIL}, "approval_signing_key is not for execution"),
        (placeholder, {"risk": Outcome.FAIL, "approval keys": Outcome.FAIL}, "is a placeholder"),
        (no_seed, {"strategy": Outcome.FAIL, "broker keys": Outcome.FAIL}, "is no seed"),
        (another_seal, {"seal keys": Outcome.FAIL}, "does not have the public key of"),
        (no_password, {"reader": Outcome.FAIL}, "has no password"),
        (stale_list, {"token lists": Outcome.FAIL}, "is not the desk's list"),
        (revoked, {"tokens: kill": Outcome.FAIL}, "none is live"),
        (revoked_another, {"tokens: limits": Outcome.WARN}, "none is live"),
        (broken_list, {"tokens": Outcome.FAIL}, TOKENS_FILE),
        (another_venue_key, {"venue keys": Outcome.WARN}, "different keys"),
        (unknown_file, {"strategy": Outcome.WARN}, "notes is not for strategy"),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
async def test_credentials_that_are_wrong_are_found_by_name(
    patient: Patient, harm: Callable[[Layout], None], failing: dict[str, Outcome], words: str
) -> None:
    """And no word of what they hold is said."""
    harm(patient.layout)
    found = await credentials(patient)
    assert {name: result.outcome for name, result in found.items()} == failing
    assert words in next(iter(found.values())).said
    secrets = [path for path in (patient.layout.root / "secrets").rglob("*") if path.is_file() and path.stat().st_size]
    told = json.dumps([result.model_dump(mode="json") for result in found.values()])
    assert all(len(word) < 8 or word not in told for path in secrets for word in path.read_text().split())
    assert all(result.do for result in found.values())


async def test_a_token_that_ends_within_two_weeks_is_a_warning(patient: Patient) -> None:
    """A month before the end of the first ones nothing is said."""
    listed = tokens.token_list_file(patient.layout)
    content = json.loads(listed.read_text())
    day_us = 86_400_000_000
    for entry in content["tokens"]:
        if entry["name"] == TokenScope.READ:
            entry["created_us"] -= 80 * day_us
            entry["expires_us"] -= 80 * day_us
    listed.write_text(json.dumps(content))
    for door in tokens.DOORS:
        (patient.layout.secrets(door) / TOKENS_FILE).write_text(listed.read_text())
    found = await credentials(patient)
    assert {name: result.outcome for name, result in found.items()} == {"tokens: read": Outcome.WARN}
    assert "tollgate token create" in found["tokens: read"].do


async def test_a_broker_that_was_told_other_keys_is_found(patient: Patient) -> None:
    """The rendered configuration must have everybody's."""
    key = broker_public_key(patient.layout, "strategy")
    config = patient.layout.broker_config
    config.write_text(config.read_text().replace(key, "U" * len(key)))
    assert list(await credentials(patient)) == ["broker keys"]


async def test_without_secrets_nothing_is_judged(tmp_path: Path) -> None:
    """A directory that was never provisioned."""
    nothing = Patient(Layout(tmp_path), ConsoleSettings(), "", None, NOT_RUNNING, find_deployment())
    assert [result.outcome for result in await check_credentials(nothing)] == [Outcome.SKIPPED]


async def test_every_service_loads_its_settings_as_it_would_itself(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a process of their own; risk's policy with risk's own key."""
    monkeypatch.setenv("TOLLGATE_CONFIG", str(find_deployment().parent / "config" / "tollgate.yaml"))
    loaded = await load_services(patient)
    results = await check_configuration(replace(patient, loaded=loaded))
    assert not_passed(results) == {}
    assert {"simvenue", "marketdata", "risk", "ledger", "policy", "desk"} <= {result.name for result in results}
    assert replace(patient, loaded=loaded).cycle_s == 0.25


async def test_a_setting_that_a_service_refuses_is_named(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    """By that service, with the field; the others are well."""
    monkeypatch.setenv("TOLLGATE_EXECUTION__COLLAR_BPS", "0")
    monkeypatch.setenv("TOLLGATE_RISK__POLICY_FILE", "/nowhere/policy.yaml")
    found = not_passed(await check_configuration(replace(patient, loaded=await load_services(patient))))
    assert {name: result.outcome for name, result in found.items()} == {
        "execution": Outcome.FAIL,
        "policy": Outcome.FAIL,
    }
    assert "collar_bps" in found["execution"].said
    assert "/nowhere/policy.yaml" in found["policy"].said


async def test_a_configuration_that_nobody_can_read_is_one_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the doctor goes on without it."""
    # Naming a file sets the variable, which the next test must not see.
    monkeypatch.setenv("TOLLGATE_CONFIG", "")
    config = tmp_path / "tollgate.yaml"
    config.write_text("console: {nats_prot: 1}\n")
    sick = find_patient(tmp_path, config)
    assert sick.settings is None
    (result,) = await check_configuration(replace(sick, loaded=await load_services(sick)))
    assert (result.outcome, "nats_prot" in result.said) == (Outcome.FAIL, True)
    assert [each.outcome for each in await check_disk(sick)] == [Outcome.SKIPPED]


async def test_services_of_another_desk_are_found(patient: Patient) -> None:
    """As one that reads another file would be."""
    names = ("simvenue", "marketdata", "strategy", "risk", "execution", "ledger")
    loaded = {name: Loaded(None, "main") for name in names} | {"ledger": Loaded(None, "other"), "policy": Loaded(None)}
    found = not_passed(await check_configuration(replace(patient, loaded=loaded)))
    assert found["desk"].said == "ledger names other"


async def test_a_disk_below_the_floor_fails_and_near_it_warns(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the floor at which `tollgate up` refuses."""
    free = {"mib": 0}
    usage = type("Usage", (), {"free": property(lambda _: free["mib"] * 1_048_576)})()
    monkeypatch.setattr("tollgate_console.doctor.checks.disk.shutil.disk_usage", lambda _: usage)
    for free_mib, outcome in ((1_023, Outcome.FAIL), (1_024, Outcome.WARN), (2_048, Outcome.PASS)):
        free["mib"] = free_mib
        assert (await check_disk(patient))[0].outcome is outcome


@pytest.mark.parametrize(
    ("version", "outcome"),
    [
        ("2.9.10", Outcome.FAIL),
        ("2.12.11", Outcome.FAIL),
        ("2.12.12", Outcome.PASS),
        ("2.13.9", Outcome.FAIL),
        ("2.14.2", Outcome.FAIL),
        ("2.14.3", Outcome.PASS),
        ("2.15.1", Outcome.PASS),
        ("3.0.0-beta.1", Outcome.PASS),
        ("", Outcome.WARN),
    ],
)
def test_a_server_with_known_holes_is_found(version: str, outcome: Outcome) -> None:
    """The minor version between the two that were mended never was."""
    assert check_version(version).outcome is outcome


@pytest.mark.parametrize(("used", "outcome"), [(69, Outcome.PASS), (70, Outcome.WARN), (85, Outcome.FAIL)])
def test_a_tape_that_fills_up_is_told_in_time(used: int, outcome: Outcome) -> None:
    """Full, it takes nothing more."""
    assert check_fullness({"state": {"bytes": used}, "config": {"max_bytes": 100}}).outcome is outcome


@pytest.mark.parametrize(
    ("apart_us", "outcome"),
    [
        (249_000, Outcome.PASS),
        (-249_000, Outcome.PASS),
        (251_000, Outcome.WARN),
        (-999_000, Outcome.WARN),
        (1_000_001, Outcome.FAIL),
        (-1_000_001, Outcome.FAIL),
    ],
)
def test_clocks_that_are_apart(apart_us: int, outcome: Outcome) -> None:
    """From a quarter of a second on a warning; beyond a second readers refuse messages."""
    assert check_drift("broker", apart_us, "it was").outcome is outcome


def test_the_kernel_s_word_on_its_clock() -> None:
    """Synchronised, not synchronised, silent."""
    assert [check_synchronised(state).outcome for state in (0, 5, None)] == [
        Outcome.PASS,
        Outcome.WARN,
        Outcome.SKIPPED,
    ]


@pytest.mark.parametrize("name", ["fsync", "synchronous_commit", "full_page_writes"])
def test_a_database_that_forgets_is_found(name: str) -> None:
    """Each of the three."""
    settings = dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "on") | {name: "off"}
    result = check_keeping("ledger", settings)
    assert (result.outcome, result.said) == (Outcome.FAIL, f"{name} is off, expected on")


def test_the_schemas_versions_are_read_off_the_deployment() -> None:
    """What is checked is what would be applied."""
    assert set(expected_versions(find_deployment() / "postgres")) == {"execution", "ledger"}


async def test_a_layout_or_a_snapshot_of_another_version_is_found(patient: Patient) -> None:
    """And a damaged one; a service that has none yet is well."""
    patient.layout.version_file.write_text(f"{LAYOUT_VERSION + 1}\n")
    for service in ("risk", "ledger"):
        await FileSnapshots(patient.layout.service_state(service)).save(Snapshot(7, "risk:1:0", {}))
    damaged = patient.layout.service_state("risk") / "snapshot.json"
    damaged.write_text(damaged.read_text().replace('"sequence":7', '"sequence":8'))
    found = not_passed(await check_versions(patient))
    assert {name: result.outcome for name, result in found.items()} == {
        "layout": Outcome.FAIL,
        "snapshot risk": Outcome.FAIL,
        "messages": Outcome.SKIPPED,
    }


def test_messages_of_another_version_on_the_tape_are_found() -> None:
    """Bytes that nobody can read are a warning: a tape that was put back has such in lost places."""
    good = encode(
        Clock(id="marketdata:clock:1", desk="main", run_id="r", ts_us=1, cause=None, cycle_id=1, writer="marketdata")
    )
    later = json.dumps(json.loads(good) | {"version": 99}).encode()
    other = json.dumps(json.loads(good) | {"kind": "rumour"}).encode()
    assert check_messages([good]).outcome is Outcome.PASS
    assert check_messages([good, b"{"]).outcome is Outcome.WARN
    for bad in (later, other):
        result = check_messages([good, bad])
        assert (result.outcome, "unknown_" in result.said) == (Outcome.FAIL, True)
    assert versions.AREA.name == "versions"


def test_looking_leaves_every_mode_and_every_file_as_it_was(patient: Patient) -> None:
    """The fixture's secrets are nobody else's, so that the checks above mean what they say."""
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (patient.layout.root / "secrets").rglob("*")}
    assert modes == {0o600, 0o700}
