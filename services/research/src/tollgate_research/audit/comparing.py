"""One table against the rows that it must hold, both in the order in which they are written."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import asyncpg

from tollgate_contracts.money import plain
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.reading import Connection, rows

_SHOWN_MAX = 200


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the ledger's schema."""

    name: str
    key: tuple[str, ...]
    part: Part
    written: tuple[str, ...] = ()
    """What the rows are written in the order of, where that is not the key."""

    @property
    def order(self) -> tuple[str, ...]:
        """The columns in whose order the rows are written."""
        return self.written or self.key

    @property
    def statement(self) -> str:
        """Return what selects all rows in the order in which they are written."""
        return f"SELECT * FROM ledger.{self.name} ORDER BY {', '.join(self.order)}"  # noqa: S608 - our own names


class Comparison:
    """Takes the rows that must be there one after the other, and notes the first that is not."""

    def __init__(self, table: Table, connection: Connection, audit: Audit) -> None:
        self._table = table
        self._audit = audit
        self._rows: AsyncIterator[asyncpg.Record] = rows(connection, table.statement)
        self._is_over = False

    async def expect(self, expected: Mapping[str, Any]) -> None:
        """Compare the next row with ``expected``; after a finding nothing more is compared."""
        if self._is_over:
            return
        stored = await anext(self._rows, None)
        self._audit.checked[self._table.part] += 1
        what = _difference(self._table, expected, stored)
        if what:
            self._note(expected if stored is None else _earlier(self._table, expected, stored), what)

    async def finish(self) -> None:
        """Note a row that is there beyond what must be."""
        if self._is_over:
            return
        stored = await anext(self._rows, None)
        if stored is not None:
            self._note(stored, "is in the database, and nothing on the tape leads to it")

    def give_up(self) -> None:
        """Compare nothing more: what the rows must be is not known any further."""
        self._is_over = True

    def _note(self, row: Mapping[str, Any] | asyncpg.Record, what: str) -> None:
        self._is_over = True
        self._audit.note(self._table.part, self._table.name, "/".join(str(row[name]) for name in self._table.key), what)


def _earlier(table: Table, expected: Mapping[str, Any], stored: asyncpg.Record) -> Mapping[str, Any] | asyncpg.Record:
    """Return the one that comes first: a row too many comes before, a missing one after."""
    return stored if _place(table, stored) <= _place(table, expected) else expected


def _place(table: Table, row: Mapping[str, Any] | asyncpg.Record) -> tuple[Any, ...]:
    return tuple(row[name] for name in table.order)


def _difference(table: Table, expected: Mapping[str, Any], stored: asyncpg.Record | None) -> str:
    """Say how ``stored`` differs, in the order of the columns; empty where it does not."""
    if stored is None or _place(table, stored) > _place(table, expected):
        return "is missing"
    if _place(table, stored) < _place(table, expected):
        return "is in the database, and nothing on the tape leads to it"
    for name, value in stored.items():
        if name not in expected:
            return f"{name}: this program does not know the column"
        if not is_equal(value, expected[name]):
            return f"{name} is {shown(value)}, the archive leads to {shown(expected[name])}"
    return ""


def is_equal(one: Any, other: Any) -> bool:
    """Say whether two values of a column are the same; true is not one, and NaN is nothing's equal."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def shown(value: Any) -> str:
    """Return a value as a person reads it, cut short where it is long."""
    if isinstance(value, Decimal) and value.is_finite():
        return plain(value)
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
