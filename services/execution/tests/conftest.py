"""A fresh journal for each test that asks."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.servers.postgres import Database, Postgres

# The samples that these tests share lie beside them; in importlib mode pytest puts no folder on the path itself.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    """Give the test a database of its own."""
    # Twice, because applying it again must change nothing.
    async with postgres.fresh("roles.sql", "execution.sql", "execution.sql") as database:
        yield database
