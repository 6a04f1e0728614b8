"""Each of the three ways gives servers that a tape and the schemas work on, and leaves nothing."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator

import nats
import pytest
from nats.errors import NoServersError
from nats.js.api import RePublish, StreamConfig
from testcontainers.core.config import testcontainers_config
from testcontainers.core.docker_client import DockerClient
from testcontainers.core.labels import LABEL_SESSION_ID, SESSION_ID

from tests.conftest import ROOT
from tests.deploy.compose import stack
from tests.servers import containers, wheels
from tests.servers.broker import emptied
from tests.servers.postgres import PREFIX, Postgres
from tests.servers.ways import NATS_URL, POSTGRES_DSN, WAY, Servers, Way, WrongVariable
from tollgate_chassis.tape import NatsTape

BROKER, DATABASE = "nats://127.0.0.1:4222", "postgresql://postgres:secret@127.0.0.1:5432/postgres"
CONFIG = StreamConfig(
    name="TAPE_main",
    subjects=["tape.main.>"],
    allow_direct=True,
    republish=RePublish(src="tape.main.>", dest="live.main.>"),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[None]:
    """Skip, and say why, where there are no containers; here they are ended without a reaper, which is an image too."""
    stack.docker()
    stack.need_images(containers.image("nats"), containers.image("postgres"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(testcontainers_config, "ryuk_disabled", True)
        yield


@pytest.fixture(scope="module", params=Way)
def way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Choose each way; what is given runs already, which is what the wheels are for here."""
    if request.param is Way.GIVEN:
        with wheels.nats(tmp_path_factory.mktemp("given")) as url, wheels.postgres() as dsn:
            yield Servers.chosen({WAY: Way.GIVEN, NATS_URL: url, POSTGRES_DSN: dsn})
        return
    if request.param is Way.CONTAINERS:
        request.getfixturevalue("engine")
    yield Servers.chosen({WAY: request.param})


@pytest.fixture(scope="module")
def broker(way: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with way.nats(tmp_path_factory.mktemp("nats")) as url:
        yield url


@pytest.fixture(scope="module")
def server(way: Servers) -> Iterator[Postgres]:
    with way.postgres() as dsn:
        yield Postgres(dsn)


async def streams_of(url: str) -> list[str | None]:
    client = await nats.connect(url, allow_reconnect=False)
    try:
        return [stream.config.name for stream in await client.jetstream().streams_info()]
    finally:
        await client.close()


async def make_tape(url: str) -> None:
    client = await nats.connect(url, allow_reconnect=False)
    await client.jetstream().add_stream(CONFIG)
    await client.close()


async def test_a_tape_works_on_the_broker_which_is_empty_again_afterwards(broker: str) -> None:
    async with emptied(broker) as url:
        await make_tape(url)
        tape = await NatsTape.connect(url, None, "main", "risk")
        sequence = await tape.append("tape.main.risk.mode", b"content", "risk:1:0", 0)
        assert [record.data for record in await tape.read(sequence, 1)] == [b"content"]
        await tape.close()
    assert await streams_of(broker) == []


async def test_a_broker_that_has_streams_is_somebodys_and_is_left_alone(own_broker: wheels.Broker) -> None:
    await make_tape(own_broker.url)
    with pytest.raises(AssertionError, match=rf"{own_broker.url} has the streams TAPE_main: .* theirs alone"):
        async with emptied(own_broker.url):
            pass
    assert await streams_of(own_broker.url) == ["TAPE_main"]


async def test_a_broker_that_is_not_there_is_told_at_once_and_named() -> None:
    with pytest.raises(NoServersError) as refused:
        async with asyncio.timeout(5), emptied("nats://127.0.0.1:1"):
            pass
    assert refused.value.__notes__ == ["tests need a broker with JetStream at nats://127.0.0.1:1"]


async def test_every_role_gets_into_a_database_with_the_schemas_of_which_nothing_is_left(server: Postgres) -> None:
    async with server.fresh("roles.sql", "execution.sql", "ledger.sql") as database:
        for role, schema in (
            ("tollgate_execution", "execution"),
            ("tollgate_ledger", "ledger"),
            ("tollgate_reader", "ledger"),
        ):
            connection = await database.connect(role)
            tables = await connection.fetch("SELECT 1 FROM pg_tables WHERE schemaname = $1", schema)
            assert len(tables) > 1
            await connection.close()
    await server.clear()
    connection = await server.database("postgres").connect("postgres")
    assert await connection.fetch("SELECT 1 FROM pg_database WHERE starts_with(datname, $1)", PREFIX) == []
    await connection.close()


def test_no_container_is_left_by_a_run_that_is_interrupted(engine: None) -> None:
    client = DockerClient().client

    def running() -> set[str | None]:
        ours = {"label": f"{LABEL_SESSION_ID}={SESSION_ID}"}
        return {container.id for container in client.containers.list(all=True, filters=ours)}

    def interrupted() -> None:
        with containers.nats(), containers.postgres():
            assert len(running() - before) == 2
            raise KeyboardInterrupt

    before = running()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert running() == before
    client.close()


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({WAY: "docker"}, "TEST_SERVERS is 'docker'; expected one of wheels, given, containers"),
        ({WAY: "given", POSTGRES_DSN: DATABASE}, "TEST_NATS_URL is ''; expected an address such as nats://"),
        ({WAY: "given", NATS_URL: "127.0.0.1:4222", POSTGRES_DSN: DATABASE}, "TEST_NATS_URL is '127.0.0.1:4222'"),
        ({WAY: "given", NATS_URL: BROKER}, "TEST_POSTGRES_DSN is not .* expected postgresql://postgres:"),
        (
            {WAY: "given", NATS_URL: BROKER, POSTGRES_DSN: DATABASE.replace("postgres:secret", "ann:secret")},
            "TEST_POSTGRES_DSN is not that of the superuser",
        ),
        ({NATS_URL: BROKER}, "TEST_NATS_URL is set and TEST_SERVERS is wheels; expected TEST_SERVERS=given"),
        ({WAY: "containers", POSTGRES_DSN: DATABASE}, "TEST_POSTGRES_DSN is set and TEST_SERVERS is containers"),
    ],
)
def test_what_the_variables_cannot_mean_is_named_with_what_was_expected(environment: dict[str, str], said: str) -> None:
    with pytest.raises(WrongVariable, match=said) as refused:
        Servers.chosen(environment)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("environment", [{}, {WAY: ""}, {WAY: "wheels", NATS_URL: ""}])
def test_wheels_are_the_default(environment: dict[str, str]) -> None:
    assert Servers.chosen(environment) == Servers(Way.WHEELS)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({WAY: "docker"}, "TEST_SERVERS is 'docker'"),
        ({WAY: "given", NATS_URL: BROKER, POSTGRES_DSN: DATABASE}, "what one worker empties another would use"),
    ],
    ids=["an unknown way", "given servers and two workers"],
)
def test_a_run_that_cannot_work_is_refused_before_its_first_test(environment: dict[str, str], said: str) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--numprocesses=2", "tests/tidy"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {said}" in done.stderr.replace("TEST_SERVERS=given: ", ""), done.stderr
