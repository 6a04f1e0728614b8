"""``tollgate audit rebuild``: the books made again in a database of their own, from the archive alone.

The core is stepped over the archived records and the ledger's own store writes what follows, so that every rule of the
schema is kept a second time by the database. Then each table is read beside the one in use, to the last digit. The
ledger can go on from what was made: it has the state at its end, and the seals, which are of chains and not of rows.
"""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tollgate_chassis.exits import ProcessEnd
from tollgate_chassis.snapshots import Snapshot
from tollgate_chassis.tape import Record
from tollgate_chassis.tape.archived import record_of
from tollgate_chassis.tape.chain import GENESIS, row_hash
from tollgate_ledger.core import JournalEntry
from tollgate_ledger.core.rows import Row
from tollgate_ledger.seal import Seal
from tollgate_ledger.statements import INSERT_SEAL
from tollgate_ledger.store import Batch, Store
from tollgate_research.audit.comparing import Comparison, shown
from tollgate_research.audit.expected import PART_OF
from tollgate_research.audit.reading import ARCHIVE, SEALS, Moment, Table, the_moment
from tollgate_research.audit.stepping import Stepping
from tollgate_research.audit.verify import desk_of
from tollgate_research.books import Connection, NoBooks, connected, read_dsn

# As many as make a commit cheap and a batch small.
_BATCH = 1_000
# Of the checkpoint only the ends: the state in use may be of any moment before them.
_ENDS = ("desk", "archived_sequence", "chain_hash", "entry", "entry_hash")
_COMPARED = (ARCHIVE, *PART_OF)
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
    async with connected(reader_dsn) as in_use, _fresh_database(administrator, keep=keep) as name:
        result.kept = name if keep else None
        dsn = administrator.of_database(name)
        moment, desk = await the_moment(in_use), await desk_of(in_use)
        try:
            result.archived = await _step_again(moment.rows(in_use, ARCHIVE), dsn, desk)
        except ProcessEnd as end:
            raise NoBooks(f"the books cannot be made again: {end.why}") from end
        async with connected(dsn) as fresh:
            await _copy_seals(moment.rows(in_use, SEALS), fresh, result)
            made = await the_moment(fresh)
            for table in _COMPARED:
                rows = made.rows(fresh, table)
                await _compare(table, rows, moment.rows(in_use, table), result)
            _compare_ends(moment, made, result)
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


async def _step_again(rows: AsyncIterator[asyncpg.Record], dsn: str, desk: str) -> int:
    """Write what the archive leads to, with the state at its end, and return how many records it has."""
    store, stepping = Store(dsn, desk), Stepping(desk)
    await store.open()
    done, records, effects, chain = 0, list[Record](), list[object](), GENESIS
    try:
        async for row in rows:
            chain = row_hash(chain, row)
            if chain != row["chain_hash"]:
                what = "is not the one that was archived; `tollgate audit verify` says more"
                raise NoBooks(f"archive row {row['tape_sequence']} {what}")
            if len(records) == _BATCH:
                await store.commit(_batch(records, effects))
                records, effects = [], []
            record = record_of(row)
            records.append(record)
            effects += stepping.step(record)
            done += 1
        if records:
            last = records[-1]
            state = Snapshot(last.sequence, last.message_id, stepping.state())
            await store.commit(_batch(records, effects, state))
    finally:
        await store.close()
    return done


def _batch(records: Sequence[Record], effects: Sequence[object], state: Snapshot | None = None) -> Batch:
    entries = tuple(effect for effect in effects if isinstance(effect, JournalEntry))
    return Batch(tuple(records), entries, state, tuple(effect for effect in effects if isinstance(effect, Row)))


async def _copy_seals(seals: AsyncIterator[asyncpg.Record], fresh: Connection, result: Rebuilt) -> None:
    """Take over what nobody can make again; the database refuses a seal that is not of what was made."""
    result.rows["seals"] = 0
    names = [each.name for each in fields(Seal) if each.name != "desk"]
    async for seal in seals:
        try:
            await fresh.execute(INSERT_SEAL, *(seal[name] for name in names), seal["signature"])
        except asyncpg.IntegrityConstraintViolationError as error:
            result.differences["seals"] = f"{seal['number']}: the database refuses it: {error}"
            return
        result.rows["seals"] += 1


async def _compare(
    table: Table, made: AsyncIterator[asyncpg.Record], in_use: AsyncIterator[asyncpg.Record], result: Rebuilt
) -> None:
    """Hold the table in use against the one that was made, which has what must be there."""

    def note(row: str, what: str) -> None:
        result.differences[table.name] = f"{row}: {what}"

    comparison = Comparison(table, in_use, note)
    async for row in made:
        await comparison.expect(row)
    await comparison.finish()
    result.rows[table.name] = comparison.count


def _compare_ends(in_use: Moment, made: Moment, result: Rebuilt) -> None:
    stored, expected = ([dict(row) for row in moment.checkpoints] for moment in (in_use, made))
    result.rows["checkpoint"] = len(stored)
    if len(stored) != 1:
        result.differences["checkpoint"] = f"{len(stored)} rows are there, expected one"
        return
    for name in _ENDS:
        if stored[0][name] != expected[0][name]:
            what = f"{name} is {shown(stored[0][name])}, the archive leads to {shown(expected[0][name])}"
            result.differences.setdefault("checkpoint", what)
