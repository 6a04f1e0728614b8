"""Servers for every test, loaded by conftest.py at the root; CONTRIBUTING.md tells of the three ways to get them."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.servers.broker import emptied
from tests.servers.postgres import Postgres
from tests.servers.ways import WAY, Servers, Way, WrongVariable
from tests.servers.wheels import Broker


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what the variables cannot mean, before anything runs."""
    try:
        servers = Servers.chosen(os.environ)
    except WrongVariable as error:
        raise pytest.UsageError(str(error)) from error
    if servers.way is Way.GIVEN and (config.getoption("numprocesses", None) or 0) > 1:
        raise pytest.UsageError(f"{WAY}={Way.GIVEN}: what one worker empties another would use; expected -n 0")


@pytest.fixture(scope="session")
def servers() -> Servers:
    """The way to servers that was chosen."""
    return Servers.chosen(os.environ)


@pytest.fixture(scope="session")
def nats_server(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The run's broker; a test asks for ``nats_url``."""
    with servers.nats(tmp_path_factory.mktemp("nats")) as url:
        yield url


@pytest.fixture
async def nats_url(nats_server: str) -> AsyncIterator[str]:
    """A broker with JetStream, without accounts and without streams; it is emptied after the test, and never killed."""
    async with emptied(nats_server) as url:
        yield url


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A broker whose process is the test's own, to be killed: from the wheel, whichever way was chosen."""
    broker = Broker(tmp_path / "own-broker")
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> Iterator[Postgres]:
    """The run's database server, on which a test makes a database of its own."""
    with servers.postgres() as dsn:
        server = Postgres(dsn)
        asyncio.run(server.clear())
        yield server
        asyncio.run(server.clear())
