"""``tollgate audit rebuild``: the books made again in a database of their own, from the archive alone.

The core is stepped over the archived records and the ledger's own store writes what follows, so that every rule of the
schema is kept a second time by the database. Then each table is read beside the one in use, to the last digit.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tollgate_chassis.exits import ProcessEnd
from tollgate_chassis.tape import Record
from tollgate_chassis.tape.reading import Reading
from tollgate_contracts.envelope import Message
from tollgate_ledger.core import JournalEntry, LedgerCore
from tollgate_ledger.core.rows import Row
from tollgate_ledger.rows import record_of
from tollgate_ledger.store import Batch, Store
from tollgate_research.audit.comparing import is_equal, shown
from tollgate_research.audit.expected import TABLES
from tollgate_research.audit.reading import Connection, NoBooks, opened, read_dsn, rows
from tollgate_research.audit.verify import desk_of

# As many as make a commit cheap and a batch small.
_BATCH = 1_000
_ARCHIVE = "SELECT * FROM ledger.archive ORDER BY tape_sequence"
# Of the checkpoint only the ends: the state in use may be of any moment before them.
_CHECKPOINT = "SELECT desk, archived_sequence, chain_hash, entry, entry_hash FROM ledger.checkpoint"
_COMPARED: dict[str, tuple[str, tuple[str, ...]]] = {
    "archive": (_ARCHIVE, ("tape_sequence",)),
    **{table.name: (table.statement, table.order) for table in TABLES},
    "checkpoint": (_CHECKPOINT, ("desk",)),
}
# Where the administrator's password lies, below the state directory of `tollgate up`.
SUPERUSER_PASSWORD = Path("secrets/postgres/postgres_password")
_SCHEMA = ("roles.sql", "ledger.sql")


@dataclass
class Rebuilt:
    """How the rebuilt tables compare with those in use."""

    archived: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    differences: dict[str, str] = field(default_factory=dict)
    """By table, the first row that differs."""
    kept: str | None = None
    """Name of the rebuilt database, where it was kept."""

    @property
    def is_equal(self) -> bool:
        """Say whether no table differs."""
        return not self.differences

    def values(self) -> dict[str, Any]:
        """Return the result as JSON-ready values, with stable keys."""
        return {
            "equal": self.is_equal,
            "archived": self.archived,
            "rows": self.rows,
            "differences": self.differences,
            "kept": self.kept,
        }


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who may make a database on the server of the books, and the schema to make in it."""

    dsn: str
    schema: Path
    """The folder with ``roles.sql`` and ``ledger.sql``."""

    def of_database(self, name: str) -> str:
        """Return the way into another database of the server."""
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{name}"))


def administrator_of(reader_dsn: str, state_dir: Path, schema: Path) -> Administrator:
    """Return the administrator of the reader's server; raises ``NoBooks`` when the password cannot be read."""
    place = urlsplit(reader_dsn)
    password = read_dsn(state_dir / SUPERUSER_PASSWORD)
    where = f"postgres:{password}@{place.hostname}:{place.port}"
    return Administrator(urlunsplit(place._replace(netloc=where, path="/postgres")), schema)


async def rebuild(reader_dsn: str, administrator: Administrator, *, keep: bool) -> Rebuilt:
    """Make the books again beside those in use and compare; raises ``NoBooks``."""
    result = Rebuilt()
    async with opened(reader_dsn) as connection, _fresh_database(administrator, keep=keep) as name:
        result.kept = name if keep else None
        dsn = administrator.of_database(name)
        try:
            result.archived = await _step_again(connection, dsn)
        except ProcessEnd as end:
            raise NoBooks(f"the books cannot be made again: {end.why}") from end
        async with opened(dsn) as fresh:
            for table, (statement, key) in _COMPARED.items():
                result.rows[table], what = await _compare(statement, key, connection, fresh)
                if what:
                    result.differences[table] = what
    return result


@asynccontextmanager
async def _fresh_database(administrator: Administrator, *, keep: bool) -> AsyncIterator[str]:
    name = f"tollgate_rebuilt_{secrets.token_hex(4)}"
    try:
        server = await asyncpg.connect(administrator.dsn)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise NoBooks(f"no database can be made beside the books: {error}") from error
    try:
        await server.execute(f'CREATE DATABASE "{name}"')
        try:
            await _apply_schema(administrator, name)
            yield name
        finally:
            if not keep:
                await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await server.close()


async def _apply_schema(administrator: Administrator, name: str) -> None:
    connection = await asyncpg.connect(administrator.of_database(name))
    try:
        for file in _SCHEMA:
            await connection.execute((administrator.schema / file).read_text())
    finally:
        await connection.close()


async def _step_again(connection: Connection, dsn: str) -> int:
    """Write what the archive leads to and return how many records it has."""
    desk = await desk_of(connection)
    store, core, reading = Store(dsn, desk), LedgerCore(), Reading(desk)
    await store.open()
    done, records, effects = 0, list[Record](), list[object]()
    try:
        async for row in rows(connection, _ARCHIVE):
            record = record_of(row)
            records.append(record)
            message = reading.read(record)
            if isinstance(message, Message):
                effects += core.step(record.sequence, message).effects
            if len(records) == _BATCH:
                await store.commit(_batch(records, effects))
                records, effects = [], []
            done += 1
        if records:
            await store.commit(_batch(records, effects))
    finally:
        await store.close()
    return done


def _batch(records: Sequence[Record], effects: Sequence[object]) -> Batch:
    entries = tuple(effect for effect in effects if isinstance(effect, JournalEntry))
    return Batch(tuple(records), entries, rows=tuple(effect for effect in effects if isinstance(effect, Row)))


async def _compare(statement: str, key: tuple[str, ...], in_use: Connection, fresh: Connection) -> tuple[int, str]:
    """Return how many rows are equal, and the first difference in words."""
    made, count = rows(fresh, statement), 0
    async for row in rows(in_use, statement):
        other = await anext(made, None)
        what = _difference(key, row, other)
        if what:
            return count, what
        count += 1
    other = await anext(made, None)
    return count, "" if other is None else f"{_place(key, other)} was made again, and is not in use"


def _difference(key: tuple[str, ...], row: asyncpg.Record, other: asyncpg.Record | None) -> str:
    here = tuple(row[name] for name in key)
    if other is None or here < (there := tuple(other[name] for name in key)):
        return f"{_place(key, row)} is in use, and was not made again"
    if there < here:
        return f"{_place(key, other)} was made again, and is not in use"
    for name, value in row.items():
        if not is_equal(value, other[name]):
            return f"{_place(key, row)}: {name} is {shown(value)}, made again {shown(other[name])}"
    return ""


def _place(key: tuple[str, ...], row: asyncpg.Record) -> str:
    return ", ".join(f"{name} {shown(row[name])}" for name in key)
