"""The way into the ledger's database for whoever may only read it: what is asked sees one state and can change none."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg

from tollgate_ledger.store import SCHEMA_VERSION

# Where `tollgate up` puts the address of the database for whoever may only read, below its state directory.
READER_DSN = Path("secrets/reader/postgres_dsn")
_CONNECT_S = 5.0
# A statement over millions of rows takes seconds; what takes longer than this has gone wrong.
_STATEMENT_S = 600
# As people find it among the connections of the server.
_SETTINGS = {"application_name": "tollgate research", "statement_timeout": str(_STATEMENT_S * 1_000)}
# asyncpg answers an operation on a connection that has just died with an internal error of its own.
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ConnectionError, TimeoutError)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class NoBooks(Exception):
    """The books cannot be read: nobody answers, or not with the schema that this version knows."""


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Connection]:
    """Open one read-only view of the books as they are now; raises ``NoBooks``, also when they are lost later."""
    async with connected(dsn) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        yield connection


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Connection]:
    """Connect to books of the known schema, each statement with a view of its own; raises ``NoBooks``, as above."""
    try:
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_S, server_settings=_SETTINGS)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise NoBooks(f"the books cannot be read: {error or type(error).__name__}") from error
    try:
        await _check_schema(connection)
        yield connection
    except _LOST as error:
        raise NoBooks(f"the books do not answer any more: {error or type(error).__name__}") from error
    finally:
        await connection.close()


async def _check_schema(connection: Connection) -> None:
    try:
        version = await connection.fetchval("SELECT version FROM ledger.schema_version")
    except (asyncpg.SyntaxOrAccessError, asyncpg.InvalidSchemaNameError) as error:
        raise NoBooks(f"there are no books in this database: {error}") from error
    if version != SCHEMA_VERSION:
        raise NoBooks(f"the books have schema version {version}, this program reads {SCHEMA_VERSION}")


def read_dsn(path: Path) -> str:
    """Return the DSN, or the password of one, in a file; raises ``NoBooks`` when it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError as error:
        raise NoBooks(f"{path} cannot be read: {error.strerror}; `tollgate up` writes it") from error
