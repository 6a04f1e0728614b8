"""The checks against a real broker, a real database and services that answer, each with something that is not right."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import asyncpg
import httpx
import pytest
from nats.aio.client import Client

from tollgate_chassis.tape import NatsTape
from tollgate_console.deployment import find_deployment
from tollgate_console.doctor.checks.broker import check_broker
from tollgate_console.doctor.checks.clock import check_clock
from tollgate_console.doctor.checks.database import check_database
from tollgate_console.doctor.checks.services import check_services
from tollgate_console.doctor.checks.versions import check_versions
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult, Outcome
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import PROVISIONER, StreamSizes, provision_streams, stream_configs
from tollgate_console.provision.database import SUPERUSER, role_of
from tollgate_console.provision.keys import NATS_SEED, POSTGRES_SUPERUSER, read_password
from tollgate_console.provision.logins import provision_logins
from tollgate_console.settings import ConsoleSection, ConsoleSettings
from tollgate_contracts.codec import encode
from tollgate_contracts.envelope import SERVICES
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.subjects import tape_subject

MIB = 1_024 * 1_024
SIZES = StreamSizes(64 * MIB, 8 * MIB, 8 * MIB)
SETTINGS = ConsoleSettings(console=ConsoleSection(tape_mib_max=64, market_mib_max=8, dead_mib_max=8))


def patient_of(layout: Layout, ports: dict[str, int], **platform: Any) -> Patient:
    described = {"desk": "main", "run_id": "r", "host": "127.0.0.1", "ports": ports, "processes": {}, **platform}
    return Patient(layout, SETTINGS, "", described, None, find_deployment())


def outcomes(results: list[CheckResult]) -> dict[str, Outcome]:
    return {result.name: result.outcome for result in results if result.outcome is not Outcome.PASS}


async def ask(broker: Any, subject: str, content: dict[str, Any]) -> dict[str, Any]:
    client = Client()
    seed = (broker.layout.secrets(PROVISIONER) / NATS_SEED).read_text().strip()
    await client.connect(
        servers=[broker.place.url], nkeys_seed_str=seed, inbox_prefix=b"_INBOX_provisioner", allow_reconnect=False
    )
    try:
        answer: dict[str, Any] = json.loads((await client.request(subject, json.dumps(content).encode())).data)
        return answer
    finally:
        await client.close()


@pytest.fixture
async def desk(broker: Any) -> Patient:
    """A broker with its streams, and nothing else."""
    seed = (broker.layout.secrets(PROVISIONER) / NATS_SEED).read_text().strip()
    await provision_streams(broker.place.url, seed, "main", SIZES)
    return patient_of(broker.layout, {"nats": broker.place.port, "nats-monitor": broker.place.monitor_port})


async def append(broker: Any, number: int, **changes: Any) -> None:
    clock = Clock(
        id=f"marketdata:clock:{number}",
        desk="main",
        run_id="r",
        ts_us=1,
        cause=None,
        cycle_id=number,
        writer="marketdata",
    )
    seed = broker.layout.secrets("marketdata") / NATS_SEED
    tape = await NatsTape.connect(broker.place.url, seed, "main", "marketdata")
    try:
        body = json.dumps(json.loads(encode(clock)) | changes).encode() if changes else encode(clock)
        await tape.append(tape_subject(clock), body, clock.id, number - 1)
    finally:
        await tape.close()


async def test_a_broker_as_it_is_provisioned_passes(broker: Any, desk: Patient) -> None:
    """Version, sync, three streams, durability and room, with the rights of who only looks."""
    results = await check_broker(desk)
    assert outcomes(results) == {}
    assert {"version", "sync", "TAPE_main", "MARKET_main", "DEAD_main", "tape fullness"} <= {r.name for r in results}


async def test_a_stream_that_somebody_has_edited_is_found(broker: Any, desk: Patient) -> None:
    """By its name, with the setting; the tape by the services' own check too."""
    tape, market, _ = stream_configs("main", SIZES)
    for config in ({**tape, "discard": "old"}, {**market, "max_age": 3_600_000_000_000}):
        assert "error" not in await ask(broker, f"$JS.API.STREAM.UPDATE.{config['name']}", config)
    results = await check_broker(desk)
    assert outcomes(results) == dict.fromkeys(("TAPE_main durability", "TAPE_main", "MARKET_main"), Outcome.FAIL)
    assert any("discard: 'old', expected 'new'" in result.said for result in results)


async def test_a_broker_without_streams_or_without_an_answer_is_found(broker: Any) -> None:
    """Each is told once, and what rests on it is passed over."""
    ports = {"nats": broker.place.port, "nats-monitor": broker.place.monitor_port}
    assert outcomes(await check_broker(patient_of(broker.layout, ports))) == {"streams": Outcome.FAIL}
    away = patient_of(broker.layout, {"nats": 9, "nats-monitor": 9, "postgres": 9})
    assert outcomes(await check_broker(away)) == {"broker": Outcome.FAIL}
    clock = outcomes(await check_clock(away))
    assert (clock["broker"], clock["database"]) == (Outcome.SKIPPED, Outcome.SKIPPED)


async def test_the_tape_s_end_is_read_and_its_clock_compared(broker: Any, desk: Patient) -> None:
    """A message of another version is found; a tape that nobody writes to says nothing of the clock."""
    await append(broker, 1)
    assert "messages" not in outcomes(await check_versions(desk))
    await append(broker, 2, version=99)
    assert outcomes(await check_versions(desk))["messages"] is Outcome.FAIL
    assert outcomes(await check_clock(desk))["broker"] is Outcome.SKIPPED


@pytest.fixture
async def books(database: Any) -> AsyncIterator[tuple[Patient, "asyncpg.Connection[asyncpg.Record]"]]:
    """A database with its schemas, and its administrator."""
    await provision_logins(database.layout, database.place)
    dsn = database.place.dsn(SUPERUSER, read_password(database.layout, POSTGRES_SUPERUSER))
    connection = await asyncpg.connect(dsn)
    yield patient_of(database.layout, {"nats": 9, "nats-monitor": 9, "postgres": database.place.port}), connection
    await connection.close()


async def test_a_database_as_it_is_provisioned_passes(
    books: tuple[Patient, "asyncpg.Connection[asyncpg.Record]"],
) -> None:
    """Three logins, two schemas, the roles; and its clock is the host's."""
    results = await check_database(books[0])
    assert outcomes(results) == {}
    assert len(results) == 6
    assert "database" not in outcomes(await check_clock(books[0]))


async def test_a_database_that_is_not_as_it_must_be_is_found(
    books: tuple[Patient, "asyncpg.Connection[asyncpg.Record]"],
) -> None:
    """A role that commits without the disk, one with too many rights, one that is locked out, another schema."""
    patient, administrator = books
    await administrator.execute(f"ALTER ROLE {role_of('ledger')} SET synchronous_commit = off")
    await administrator.execute(f"ALTER ROLE {role_of('ledger')} CREATEROLE")
    await administrator.execute("UPDATE ledger.schema_version SET version = 99")
    await administrator.execute(f"ALTER ROLE {role_of('execution')} NOLOGIN")
    results = await check_database(patient)
    assert outcomes(results) == dict.fromkeys(
        ("login execution", "login ledger", "schema ledger", "roles"), Outcome.FAIL
    )
    told = " ".join(result.said for result in results)
    assert "synchronous_commit is off" in told
    assert "version 99, expected" in told


async def test_a_database_that_is_away_is_told_without_its_address(
    books: tuple[Patient, "asyncpg.Connection[asyncpg.Record]"],
) -> None:
    """The address has the password in it."""
    patient, _ = books
    for login in ("execution", "ledger", "reader"):
        file = patient.layout.secrets(login) / "postgres_dsn"
        file.write_text(file.read_text().replace("127.0.0.1:", "127.0.0.1:1"))
    results = await check_database(patient)
    assert outcomes(results) == {f"login {login}": Outcome.FAIL for login in ("execution", "ledger", "reader")}
    password = read_password(patient.layout, "ledger")
    assert password not in json.dumps([result.model_dump(mode="json") for result in results])


def answer_of(service: str, **changes: Any) -> dict[str, Any]:
    status = {"service": service, "run_id": "r", "live": True, "standby": None, "position": 1, "tip": 1, "lag": 0}
    return {"status": status, "reasons": [], "version": version(f"tollgate-{service}")} | changes


class Services:
    """What five services and the exchange answer; none is silence."""

    def __init__(self) -> None:
        self.answers: dict[int, dict[str, Any] | None] = {
            port: answer_of(service) for port, service in enumerate(SERVICES, start=1)
        }

    def __call__(self, request: httpx.Request) -> httpx.Response:
        port = request.url.port or 0
        answer = self.answers.get(port, {})
        if answer is None:
            raise httpx.ConnectError("nobody")
        match request.url.path:
            case "/v1/status":
                return httpx.Response(200, json=answer["status"])
            case "/readyz":
                return httpx.Response(200, json={"ready": not answer["reasons"], "reasons": answer["reasons"]})
            case "/metrics":
                labels = f'service="x",version="{answer["version"]}"'
                return httpx.Response(200, text=f"tollgate_build_info{{{labels}}} 1.0\n")
        return httpx.Response(200, json={})


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    """Answers in place of the network."""
    services = Services()
    client = httpx.AsyncClient(transport=httpx.MockTransport(services))
    monkeypatch.setattr("tollgate_console.doctor.checks.services.new_client", lambda: client)
    return services


@pytest.fixture
def running(layout: Layout) -> Patient:
    """A platform of which every process runs."""
    ports = {service: port for port, service in enumerate(SERVICES, start=1)} | {"simvenue": 6}
    names = ("nats", "postgres", "simvenue", *SERVICES)
    return patient_of(layout, ports, processes={name: {"state": "running", "reason": ""} for name in names})


PORT = {service: port for port, service in enumerate(SERVICES, start=1)}


async def test_services_that_are_well_pass(services: Services, running: Patient) -> None:
    """One that stands by is well too."""
    standing_by = answer_of("risk", reasons=["standing by: b is active"])
    standing_by["status"] |= {"live": False, "standby": "b"}
    services.answers[PORT["risk"]] = standing_by
    assert outcomes(await check_services(running)) == {}


@pytest.mark.parametrize(
    ("change", "failing", "words"),
    [
        (None, "risk", "does not answer"),
        ({"status": {"run_id": "another", "live": True}}, "risk", "of run another, expected r"),
        ({"status": {"run_id": "r", "live": False}, "reasons": ["catching up"]}, "risk", "not live: catching up"),
        ({"reasons": ["no policy"]}, "risk", "live and not ready: no policy"),
        ({"version": "0.0.9"}, "versions", "risk is version 0.0.9, expected"),
    ],
)
async def test_a_service_that_is_not_well_is_found(
    services: Services, running: Patient, change: dict[str, Any] | None, failing: str, words: str
) -> None:
    """By its own name, and no other."""
    services.answers[PORT["risk"]] = None if change is None else answer_of("risk", **change)
    found = [result for result in await check_services(running) if result.outcome is not Outcome.PASS]
    assert [(result.name, result.outcome) for result in found] == [(failing, Outcome.FAIL)]
    assert words in found[0].said
    assert found[0].do


async def test_a_process_that_fell_is_told_with_its_last_word(services: Services, running: Patient) -> None:
    """Broker and exchange as well as services."""
    assert running.platform is not None
    fell = {"state": "ended", "reason": "one line\nthe last line"}
    processes = running.platform["processes"] | {"nats": fell, "ledger": fell}
    services.answers[PORT["ledger"]], services.answers[6] = None, None
    found = await check_services(replace(running, platform=running.platform | {"processes": processes}))
    assert outcomes(found) == dict.fromkeys(("nats", "simvenue", "ledger"), Outcome.FAIL)
    assert all("the last line" in result.said for result in found if result.name in {"nats", "ledger"})
