"""What the tests of research share lies beside them; in importlib mode pytest puts no folder on the path itself."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from tests.servers.postgres import Database, Postgres

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    """Return a database of this test's own with empty books."""
    async with postgres.fresh("roles.sql", "ledger.sql") as database:
        yield database


@pytest.fixture
async def superuser(database: Database) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Return a connection that may put anything into the books."""
    connection = await database.connect("postgres")
    yield connection
    await connection.close()
