"""One table against the rows that it must hold, both in the order in which they are written."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any

import asyncpg

from tollgate_contracts.money import plain
from tollgate_research.audit.reading import Row, Table

_SHOWN_MAX = 200


class Comparison:
    """Takes the rows that must be there one after the other, and tells of the first that is not."""

    def __init__(self, table: Table, stored: AsyncIterator[asyncpg.Record], note: Callable[[str, str], None]) -> None:
        """Compare with the rows of ``stored``; ``note`` is told which row differs, and how."""
        self._table = table
        self._stored = stored
        self._tell = note
        self._is_over = False
        self.count = 0
        """Rows that were compared."""

    async def expect(self, expected: Row) -> None:
        """Compare the next row with ``expected``; after a finding nothing more is compared."""
        if self._is_over:
            return
        stored = await anext(self._stored, None)
        self.count += 1
        what = _difference(self._table, expected, stored)
        if what:
            # A row too many comes before, a missing one after.
            is_ours = stored is not None and self._table.place(stored) <= self._table.place(expected)
            self._note(stored if is_ours and stored is not None else expected, what)

    async def finish(self) -> None:
        """Tell of a row that is there beyond what must be."""
        if self._is_over:
            return
        stored = await anext(self._stored, None)
        if stored is not None:
            self._note(stored, "is in the database, and nothing on the tape leads to it")

    def give_up(self) -> None:
        """Compare nothing more: what the rows must be is not known any further."""
        self._is_over = True

    def _note(self, row: Row, what: str) -> None:
        self._is_over = True
        self._tell(self._table.name_of(row), what)


def _difference(table: Table, expected: Row, stored: asyncpg.Record | None) -> str:
    """Say how ``stored`` differs, in the order of the columns; empty where it does not."""
    if stored is None or table.place(stored) > table.place(expected):
        return "is missing"
    if table.place(stored) < table.place(expected):
        return "is in the database, and nothing on the tape leads to it"
    for name, value in stored.items():
        if name not in expected:
            return f"{name}: this program does not know the column"
        if not is_equal(value, expected[name]):
            return f"{name} is {shown(value)}, the archive leads to {shown(expected[name])}"
    return "" if len(stored) == len(expected) else f"has {len(stored)} columns, expected {len(expected)}"


def is_equal(one: Any, other: Any) -> bool:
    """Say whether two values of a column are the same; true is not one, and NaN is nothing's equal."""
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def shown(value: Any) -> str:
    """Return a value as a person reads it, cut short where it is long."""
    if isinstance(value, Decimal) and value.is_finite():
        return _short(plain(value))
    return _short(value.hex() if isinstance(value, bytes) else str(value))


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def first_difference(one: Any, other: Any, path: str = "") -> str:
    """Return where two JSON values differ first, in the order of the keys; empty where they do not."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            found = first_difference(one.get(key), other.get(key), f"{path}.{key}" if path else key)
            if found:
                return found
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return next((found for place, pair in pairs if (found := first_difference(*pair, f"{path}[{place}]"))), "")
    return "" if type(one) is type(other) and one == other else f"{path} is {shown(one)}, expected {shown(other)}"
