"""One view of the ledger's database: every statement of an audit sees the same state, and none can change it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg

SCHEMA_VERSION = 3
# Rows in one round trip: enough to hide the trip, few enough to stay in memory.
ROWS = 1_000
_CONNECT_S = 5.0

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class NoBooks(Exception):
    """The books cannot be read: nobody answers, or not with the schema that this version knows."""


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Connection]:
    """Open the books as they are now; raises ``NoBooks``."""
    try:
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_S, server_settings={"application_name": "audit"})
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise NoBooks(f"the books cannot be read: {error or type(error).__name__}") from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await _check_schema(connection)
            yield connection
    finally:
        await connection.close()


async def _check_schema(connection: Connection) -> None:
    try:
        version = await connection.fetchval("SELECT version FROM ledger.schema_version")
    except asyncpg.PostgresError as error:
        raise NoBooks(f"there are no books in this database: {error}") from error
    if version != SCHEMA_VERSION:
        raise NoBooks(f"the books have schema version {version}, this program reads {SCHEMA_VERSION}")


async def rows(connection: Connection, statement: str, *arguments: object) -> AsyncIterator[asyncpg.Record]:
    """Yield a statement's rows, a bounded number of them in memory; several may be read in turns."""
    cursor = await connection.cursor(statement, *arguments)
    while batch := await cursor.fetch(ROWS):
        for row in batch:
            yield row


def read_dsn(path: Path) -> str:
    """Return the DSN, or the password of one, in a file; raises ``NoBooks`` when it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise NoBooks(f"{path} cannot be read: {error.strerror}; `tollgate up` writes it") from error
