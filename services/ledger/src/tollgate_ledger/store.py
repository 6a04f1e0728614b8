"""The ledger's Postgres: archive, journal and checkpoint, moved forward together or not at all.

A commit is safe to try again. When its outcome is not known, because the connection broke or the caller was
cancelled, the next call reads the checkpoint first, waiting for whatever the old connection left behind, and finds
the batch either whole or absent.

The database is believed as far as it can be checked: its ends on opening, and the last seal, which is kept outside it,
on opening and before each new one. A rewritten history is neither gone on with nor signed.
"""

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from tollgate_chassis.exits import BadConfiguration, Halt, ProcessEnd, Restart
from tollgate_chassis.snapshots import Snapshot
from tollgate_chassis.tape import LostRace, Record
from tollgate_chassis.tape.archived import archived_text, text_of
from tollgate_chassis.tape.chain import row_hash
from tollgate_ledger import statements as sql
from tollgate_ledger.chain import GENESIS, continued, entry_hash
from tollgate_ledger.core import JournalEntry, Posting
from tollgate_ledger.core.rows import Row
from tollgate_ledger.read_model import statements_of
from tollgate_ledger.rows import archive_row, columns, entry_of, entry_rows, posting_rows
from tollgate_ledger.seal import Seal
from tollgate_ledger.sealing import KeptSeal, Sealer

SCHEMA_VERSION = 3
# A commit takes milliseconds; one that takes longer than this is stuck, and starting again is the cure.
_STATEMENT_S = 10.0
_CONNECT_S = 5.0
# Waiting for another writer's transaction, and an own one that was left open, end before the statement does.
_LOCK_MS = 5_000
_IDLE_MS = 5_000
# What stands between an acknowledged commit and the disk; each must be so on the server or the session.
_DURABILITY = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}

# asyncpg answers an operation on a connection that has just died with an internal error of its own.
_LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError, OSError, TimeoutError)


class BooksContradicted(Halt):
    """What is to be booked or archived contradicts what the database already holds."""


class CommitInDoubt(Restart):
    """The outcome of a commit is not known; calling ``commit`` again with the same batch settles it."""


@contextmanager
def _explained(what: str, lost: type[Restart] = Restart) -> Iterator[None]:
    """Turn what the database says into how the process must end; starting again cures only what was lost."""
    try:
        yield
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        raise BooksContradicted(f"{what}: the database refuses it: {error}") from error
    except (asyncpg.SyntaxOrAccessError, asyncpg.InvalidCatalogNameError, asyncpg.InvalidSchemaNameError) as error:
        raise BadConfiguration(f"{what}: {error}; was deploy/postgres/ledger.sql applied?") from error
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise BadConfiguration(f"{what}: the login is refused: {error}") from error
    except _LOST as error:
        raise lost(f"{what}: {error or type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class Batch:
    """Records to archive, in tape order without a gap, with the entries booked because of them."""

    records: Sequence[Record]
    entries: Sequence[JournalEntry] = ()
    snapshot: Snapshot | None = None
    """The core's state at or before the last record; none leaves the older one."""
    rows: Sequence[Row] = ()
    """What is read off the books because of them."""


@dataclass(frozen=True, slots=True)
class Place:
    """How far archive and journal reach, and each one's hash there."""

    archived: int
    chain: bytes
    entry: int
    entry_hash: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where the service goes on: the archive's end and the newest state of the core."""

    place: Place
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a commit writes, from where, and to where."""

    begin: Place
    archived: list[tuple[object, ...]]
    booked: list[tuple[object, ...]]
    end: Place


class Store:
    """The books of one desk in one database; one connection, one writer."""

    def __init__(self, dsn: str, desk: str) -> None:
        self._dsn = dsn
        self._desk = desk
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._place: Place | None = None
        self._doubt: tuple[Place, ...] = ()
        """While the place is not known, those that it can be: before the commit in doubt, or after it."""

    async def open(self) -> Checkpoint:
        """Connect, check that the database is fit for the books, and return where to go on.

        Raises ``BadConfiguration`` for a database that is not ours or not durable, and ``Halt`` when the last
        archived row or the last entry is not what its chain says.
        """
        connection = await self._connected()
        with _explained("opening the books"):
            row = _the_one(await connection.fetchrow(sql.READ_CHECKPOINT))
        if row["desk"] not in {None, self._desk}:
            raise BadConfiguration(f"the database has the books of desk {row['desk']}, not of {self._desk}")
        place = _place(row)
        await self._check_last_row(connection, place)
        await self._check_last_entry(connection, place)
        self._place = place
        if row["state"] is None:
            return Checkpoint(place, None)
        try:
            message_id = text_of(row["state_message_id"])
        except ValueError as error:
            raise BooksContradicted(f"the checkpoint's state is of no message: {error}") from error
        return Checkpoint(place, Snapshot(row["state_sequence"], message_id, json.loads(row["state"])))

    async def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def commit(self, batch: Batch) -> None:
        """Make ``batch`` durable, all of it or nothing; a batch that is there already is left as it is.

        Raises ``CommitInDoubt`` when the outcome is not known, ``LostRace`` when another ledger writes these
        books, and ``Halt`` when the batch contradicts them or does not follow the archive's end.
        """
        place = self._place or await self._settle_doubt()
        last = batch.records[-1].sequence
        if last <= place.archived:
            await self._check_is_archived(batch)
            return
        if batch.records[0].sequence != place.archived + 1:
            raise BooksContradicted(
                f"the archive ends at {place.archived}; a batch that begins at {batch.records[0].sequence} is refused"
            )
        plan = _planned(batch, place)
        self._place, self._doubt = None, (plan.begin, plan.end)
        try:
            with _explained(f"committing records up to {last}", CommitInDoubt):
                self._place = await self._write(batch, plan)
        finally:
            # Also when cancelled: what the connection still does is read back before the next commit.
            if self._place is None:
                await self.close()

    async def _write(self, batch: Batch, plan: _Plan) -> Place:
        connection = await self._connected()
        # Not asyncpg's transaction(): after a failure the connection is closed, which rolls back, and its attempt
        # to roll back by itself on a dead connection would hide that the caller was cancelled.
        await connection.execute("BEGIN")
        found = _place(_the_one(await connection.fetchrow(sql.LOCK_PLACE)))
        if found != plan.begin:
            raise LostRace(f"{_ends(found)}, and not as before: it ended at {plan.begin.archived}")
        await connection.execute(sql.INSERT_ARCHIVE, *columns(plan.archived))
        if plan.booked:
            await connection.execute(sql.INSERT_ENTRIES, *columns(plan.booked))
            await connection.execute(sql.INSERT_POSTINGS, *columns(posting_rows(batch.entries)))
        for statement, values in statements_of(batch.rows):
            await connection.execute(statement, *columns(values))
        await self._advance(connection, plan.end, batch.snapshot)
        answer = await connection.execute("COMMIT")
        if answer != "COMMIT":
            raise CommitInDoubt(f"the database answered {answer} to COMMIT")
        return plan.end

    async def _advance(
        self, connection: "asyncpg.Connection[asyncpg.Record]", place: Place, snapshot: Snapshot | None
    ) -> None:
        end = (place.archived, place.chain, place.entry, place.entry_hash)
        await connection.execute(sql.ADVANCE_ARCHIVE, self._desk, *end)
        if snapshot is not None:
            await _write_state(connection, snapshot)

    async def save_state(self, snapshot: Snapshot) -> None:
        """Keep ``snapshot`` as the newest state; it must be at or before the archive's end."""
        connection = await self._connected()
        with _explained(f"keeping the state at {snapshot.sequence}"):
            await _write_state(connection, snapshot)

    async def check_kept(self, kept: KeptSeal | None) -> None:
        """Raise ``BooksContradicted`` unless the database has the last seal, and both chains as it says.

        Else it was put back to an earlier time, or rewritten, and the tape is not to be trusted to show it. With no
        seal kept there is nothing to hold it against.
        """
        if kept is None:
            return
        seal, connection = kept.seal, await self._connected()
        with _explained(f"reading seal {seal.number}"):
            row = await connection.fetchrow(sql.READ_SEAL, seal.number, seal.archived_sequence, seal.entry)
        booked = GENESIS if row is not None and seal.entry == 0 else row and row["booked"]
        for what, is_there in (
            ("the database has no such seal", row is not None),
            ("the database has another one", row is not None and row["signature"] == kept.signature),
            (f"the archive is another up to {seal.archived_sequence}", row and row["archived"] == seal.archive_hash),
            (f"the journal is another up to entry {seal.entry}", booked == seal.entry_hash),
        ):
            if not is_there:
                raise BooksContradicted(
                    f"seal {seal.number} was kept outside the database, and {what}: it was rewritten or put back to an "
                    "earlier time; `tollgate audit verify` says more"
                )

    async def seal(self, sealer: Sealer, at_us: int) -> None:
        """Sign where archive and journal stand; does nothing where nothing came since the last seal.

        Raises ``BooksContradicted`` rather than to sign books that are not those of the last seal.
        """
        place = self._place
        if place is None or place.archived == 0:
            return
        await self.check_kept(await asyncio.to_thread(sealer.kept))
        connection = await self._connected()
        with _explained(f"sealing at {place.archived}"):
            last = await connection.fetchrow(sql.READ_LAST_SEAL)
            number, sealed = (last["number"], last["archived_sequence"]) if last else (0, 0)
            if sealed >= place.archived:
                return
            ends = (place.archived, place.chain, place.entry, place.entry_hash)
            seal = Seal(self._desk, number + 1, *ends, at_us, sealer.key_id)
            signature = sealer.sign(seal)
            await connection.execute(sql.INSERT_SEAL, seal.number, *ends, at_us, seal.key_id, signature)
        await asyncio.to_thread(sealer.keep, seal, signature)

    async def _settle_doubt(self) -> Place:
        """Read where the archive ends, after whatever transaction still holds the checkpoint has ended.

        Raises ``LostRace`` where that is neither before nor after what was to be committed.
        """
        connection = await self._connected()
        try:
            with _explained("reading the checkpoint back", CommitInDoubt):
                # Autocommit: the lock is waited for, and given back with the answer.
                found = _place(_the_one(await connection.fetchrow(sql.LOCK_PLACE)))
            if found not in self._doubt:
                ends = " nor ".join(str(place.archived) for place in self._doubt)
                raise LostRace(f"{_ends(found)}, and neither as before nor as it was to be: neither {ends}")
            self._place = found
        finally:
            if self._place is None:
                await self.close()
        return self._place

    async def _check_is_archived(self, batch: Batch) -> None:
        last = batch.records[-1]
        chain = await self.chain_at(batch.records[0].sequence - 1)
        for record in batch.records:
            chain = continued(chain, record)
        if chain != await self.chain_at(last.sequence):
            raise BooksContradicted(f"the archive holds other records than the tape up to {last.sequence}")

    async def chain_at(self, sequence: int) -> bytes:
        """Return the chain's hash after the archived row ``sequence``; 0 is before the first."""
        if sequence == 0:
            return GENESIS
        connection = await self._connected()
        with _explained(f"reading archive row {sequence}"):
            found: bytes | None = await connection.fetchval(sql.READ_CHAIN, sequence)
        if found is None:
            raise BooksContradicted(f"archive row {sequence} is not there")
        return found

    async def entries_after(self, number: int, limit: int) -> list[JournalEntry]:
        """Return the entries booked after entry ``number``, in order and at most ``limit`` of them."""
        connection = await self._connected()
        with _explained(f"reading entries after {number}"):
            entries = await connection.fetch(sql.READ_ENTRIES, number, limit)
            last = entries[-1]["number"] if entries else number
            postings = await connection.fetch(sql.READ_POSTINGS, number, last)
        lines: dict[int, list[Posting]] = {}
        for row in postings:
            lines.setdefault(row["entry_id"], []).append(Posting(row["account"], row["currency"], row["amount"]))
        return [entry_of(row, tuple(lines.get(row["number"], ()))) for row in entries]

    async def _check_last_row(self, connection: "asyncpg.Connection[asyncpg.Record]", place: Place) -> None:
        if place.archived == 0:
            return
        with _explained(f"reading archive row {place.archived}"):
            row = await connection.fetchrow(sql.READ_ARCHIVE_ROW, place.archived)
        if row is None:
            raise BooksContradicted(f"the checkpoint is at {place.archived}, but that row is not in the archive")
        if row_hash(await self.chain_at(place.archived - 1), row) != row["chain_hash"]:
            raise BooksContradicted(f"archive row {place.archived} was changed: the chain's hash differs")
        if row["chain_hash"] != place.chain:
            raise BooksContradicted(f"the checkpoint's hash is not that of archive row {place.archived}")

    async def _check_last_entry(self, connection: "asyncpg.Connection[asyncpg.Record]", place: Place) -> None:
        with _explained(f"reading the journal from entry {place.entry}"):
            ends = await connection.fetch(sql.READ_JOURNAL_END, place.entry)
        chains = {row["id"]: row["chain_hash"] for row in ends}
        if max(chains, default=0) != place.entry:
            raise BooksContradicted(f"the checkpoint is at entry {place.entry}, but the journal ends elsewhere")
        if place.entry == 0:
            return
        previous = GENESIS if place.entry == 1 else chains.get(place.entry - 1)
        (entry,) = await self.entries_after(place.entry - 1, 1)
        if previous is None or entry_hash(previous, entry) != chains[place.entry]:
            raise BooksContradicted(f"entry {place.entry} was changed: the chain's hash differs")
        if place.entry_hash != chains[place.entry]:
            raise BooksContradicted(f"the checkpoint's hash is not that of entry {place.entry}")

    async def _connected(self) -> "asyncpg.Connection[asyncpg.Record]":
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        return self._connection

    async def _connect(self) -> "asyncpg.Connection[asyncpg.Record]":
        with _explained("connecting to the ledger's database"):
            connection = await asyncpg.connect(
                self._dsn,
                timeout=_CONNECT_S,
                command_timeout=_STATEMENT_S,
                server_settings={
                    "application_name": "tollgate-ledger",
                    "synchronous_commit": "on",
                    "lock_timeout": f"{_LOCK_MS}",
                    "idle_in_transaction_session_timeout": f"{_IDLE_MS}",
                },
            )
        try:
            await _check_fitness(connection)
        except ProcessEnd:
            connection.terminate()
            raise
        return connection


async def _check_fitness(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    with _explained("checking the ledger's database"):
        settings = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in _DURABILITY}
        version = await connection.fetchval("SELECT version FROM ledger.schema_version")
    wrong = [
        f"  {name}: {settings[name]}, expected {expected}"
        for name, expected in _DURABILITY.items()
        if settings[name] != expected
    ]
    if wrong:
        raise BadConfiguration("the ledger's database is not safe for money:\n" + "\n".join(wrong))
    if version != SCHEMA_VERSION:
        raise BadConfiguration(f"the ledger's schema has version {version}, this program needs {SCHEMA_VERSION}")


async def _write_state(connection: "asyncpg.Connection[asyncpg.Record]", snapshot: Snapshot) -> None:
    state = json.dumps(snapshot.state, separators=(",", ":"))
    await connection.execute(sql.ADVANCE_STATE, snapshot.sequence, archived_text(snapshot.message_id), state)


def _planned(batch: Batch, place: Place) -> _Plan:
    """Return the rows of ``batch``, which follows ``place``."""
    chain, archived = place.chain, []
    for record in batch.records:
        chain = continued(chain, record)
        archived.append(archive_row(record, chain))
    booked, journal = entry_rows(place.entry_hash, batch.entries)
    last = batch.entries[-1].number if booked else place.entry
    return _Plan(place, archived, booked, Place(batch.records[-1].sequence, chain, last, journal))


def _ends(place: Place) -> str:
    return f"another ledger writes it, or somebody has rewritten it: the archive ends at {place.archived}"


def _place(row: asyncpg.Record) -> Place:
    return Place(row["archived_sequence"], row["chain_hash"], row["entry"], row["entry_hash"])


def _the_one(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise BooksContradicted("the checkpoint's one row is not there")
    return row
