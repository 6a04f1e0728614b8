"""A journal in a real Postgres, for the test that holds the simulated one against it, and the samples of execution."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.servers.postgres import Database, Postgres

ROOT = Path(__file__).parents[2]
# Processes that run seeds side by side are begun afresh, and find our modules by the path alone.
sys.path.insert(0, str(ROOT))
# The samples of orders are those of execution's own tests.
sys.path.insert(0, str(ROOT / "services" / "execution" / "tests"))


@pytest.fixture
async def database(postgres: Postgres) -> AsyncIterator[Database]:
    """Give the test a database of its own."""
    async with postgres.fresh("roles.sql", "execution.sql") as database:
        yield database
