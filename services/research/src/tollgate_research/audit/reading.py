"""How an audit reads books that go on growing: their ends at one moment, and then page by page up to those.

The tables only grow, so what lies at or before the ends stays as it is, and each page may be a statement of its own. A
view held open for the length of an audit would keep every older version of the checkpoint alive, and each commit of the
ledger would have to pass them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import asyncpg

from tollgate_research.books import Connection

# Rows in one round trip: enough to hide the trip, few enough to stay in memory.
ROWS = 1_000

Key: TypeAlias = tuple[Any, ...]
Row: TypeAlias = Mapping[str, Any] | asyncpg.Record


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the ledger's schema."""

    name: str
    key: tuple[str, ...]
    written: tuple[str, ...] = ()
    """What the rows are written in the order of, where that is not the key."""
    beside: str = ""
    """What is selected beside the columns."""

    @property
    def order(self) -> tuple[str, ...]:
        """The columns in whose order the rows are written."""
        return self.written or self.key

    def place(self, row: Row) -> Key:
        """Return where a row stands in that order."""
        return tuple(row[name] for name in self.order)

    def name_of(self, row: Row) -> str:
        """Return the row's key as findings name it, such as ``17/2``."""
        return "/".join(str(row[name]) for name in self.key)

    @property
    def end(self) -> str:
        """Return what selects the place of the last row, null where there is none."""
        columns = ", ".join(self.order)
        backwards = ", ".join(f"{name} DESC" for name in self.order)
        return f"(SELECT ROW({columns}) FROM ledger.{self.name} ORDER BY {backwards} LIMIT 1)"  # noqa: S608 - our own names

    def page(self, *, is_first: bool) -> str:
        """Return what selects the next rows up to an end, behind a place unless it is the first page."""
        columns, count = ", ".join(self.order), len(self.order)
        end, place = (", ".join(f"${count * part + each + 1}" for each in range(count)) for part in (0, 1))
        behind = "" if is_first else f"AND ({columns}) > ({place})"
        where = f"({columns}) <= ({end}) {behind}"
        return f"SELECT *{self.beside} FROM ledger.{self.name} WHERE {where} ORDER BY {columns} LIMIT {ROWS}"  # noqa: S608 - our own names


ARCHIVE = Table("archive", ("tape_sequence",))
ENTRIES = Table("entries", ("id",))
POSTINGS = Table("postings", ("entry_id", "line"))
TRADE_COSTS = Table("trade_costs", ("tape_sequence",))
TRIPS = Table("trips", ("number",), written=("closed_sequence", "number"))
EQUITY = Table("equity", ("tape_sequence",))
DAYS = Table("days", ("day",))
SEALS = Table(
    "seals",
    ("number",),
    # The hashes that the chains have there; their rows are proved by the chains themselves.
    beside=""",
    (SELECT chain_hash FROM ledger.archive WHERE tape_sequence = seals.archived_sequence) AS archived,
    (SELECT chain_hash FROM ledger.entries WHERE id = seals.entry) AS booked""",
)
TABLES = (ARCHIVE, ENTRIES, POSTINGS, TRADE_COSTS, TRIPS, EQUITY, DAYS, SEALS)


@dataclass(frozen=True, slots=True)
class Moment:
    """Where everything stood at one moment."""

    checkpoints: Sequence[asyncpg.Record]
    """The rows of the checkpoint; there must be one."""
    ends: dict[str, Key | None]
    """By table the place of its last row; none where it has no row."""

    def rows(self, connection: Connection, table: Table) -> AsyncIterator[asyncpg.Record]:
        """Yield the table's rows up to its end; several may be read in turns."""
        return _rows(connection, table, self.ends[table.name])


async def the_moment(connection: Connection) -> Moment:
    """Return where everything stands now, by one statement, so that it fits together."""
    ends = ", ".join(f"{table.end} AS end_of_{table.name}" for table in TABLES)
    statement = f"SELECT checkpoint.*, {ends} FROM (SELECT) AS now LEFT JOIN ledger.checkpoint ON true LIMIT 2"  # noqa: S608 - our own names
    found = await connection.fetch(statement)
    ends_of = {table.name: found[0][f"end_of_{table.name}"] for table in TABLES}
    return Moment(
        [row for row in found if row["single"] is not None],
        {name: tuple(end) if end is not None else None for name, end in ends_of.items()},
    )


async def _rows(connection: Connection, table: Table, end: Key | None) -> AsyncIterator[asyncpg.Record]:
    if end is None:
        return
    page = await connection.fetch(table.page(is_first=True), *end)
    following = table.page(is_first=False)
    while page:
        for row in page:
            yield row
        if len(page) < ROWS:
            return
        page = await connection.fetch(following, *end, *table.place(page[-1]))
