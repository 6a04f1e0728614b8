"""What is read off the books, as rows of the database: which statement writes which row, and in which order."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import fields

from tollgate_ledger import statements as sql
from tollgate_ledger.core.rows import DayClosed, EquityPoint, Row, TradeCost, TripEnded

_STATEMENTS: tuple[tuple[type[Row], str], ...] = (
    (TradeCost, sql.INSERT_TRADE_COSTS),
    (TripEnded, sql.INSERT_TRIPS),
    (EquityPoint, sql.INSERT_EQUITY),
    (DayClosed, sql.INSERT_DAYS),
)
_EPOCH = datetime.date(1970, 1, 1)


def statements_of(rows: Sequence[Row]) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """Yield each statement that has rows to write, with the rows as tuples, in their order."""
    for kind, statement in _STATEMENTS:
        found = [row_of(row) for row in rows if isinstance(row, kind)]
        if found:
            yield statement, found


def row_of(row: Row) -> tuple[object, ...]:
    """Return a row's values in the order of its columns."""
    values = tuple(getattr(row, each.name) for each in fields(row))
    if isinstance(row, DayClosed):
        return (_EPOCH + datetime.timedelta(days=row.day), *values[1:])
    return values
