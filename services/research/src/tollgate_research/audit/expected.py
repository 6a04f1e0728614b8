"""Which rows the effects of the ledger's core must have led to; a second way there, beside the one that wrote them."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import date, timedelta
from enum import Enum
from typing import Any

from tollgate_ledger.chain import GENESIS, entry_hash
from tollgate_ledger.core import JournalEntry
from tollgate_ledger.core.rows import DayClosed, EquityPoint, Row, TradeCost, TripEnded
from tollgate_research.audit.comparing import Table
from tollgate_research.audit.findings import Part

ENTRIES = Table("entries", ("id",), Part.BOOKS)
POSTINGS = Table("postings", ("entry_id", "line"), Part.BOOKS)
_TABLE_OF: dict[type[Row], Table] = {
    TradeCost: Table("trade_costs", ("tape_sequence",), Part.READ_MODEL),
    TripEnded: Table("trips", ("number",), Part.READ_MODEL, written=("closed_sequence", "number")),
    EquityPoint: Table("equity", ("tape_sequence",), Part.READ_MODEL),
    DayClosed: Table("days", ("day",), Part.READ_MODEL),
}
TABLES = (ENTRIES, POSTINGS, *_TABLE_OF.values())
_EPOCH = date(1970, 1, 1)

Expected = tuple[Table, dict[str, Any]]


class ExpectedRows:
    """Turns one effect after the other into rows; of the journal it carries the chain."""

    def __init__(self) -> None:
        self.chain = GENESIS
        """The journal's hash after the last entry."""

    def of(self, effect: object) -> Iterator[Expected]:
        """Yield the rows of an effect, none for one that is not written down."""
        if isinstance(effect, JournalEntry):
            yield from self._entry(effect)
        elif isinstance(effect, TradeCost | TripEnded | EquityPoint | DayClosed):
            yield _TABLE_OF[type(effect)], _row(effect)

    def _entry(self, entry: JournalEntry) -> Iterator[Expected]:
        self.chain = entry_hash(self.chain, entry)
        row = {each.name: _value(getattr(entry, each.name)) for each in fields(entry)}
        row["id"], row["lines"], row["chain_hash"] = row.pop("number"), len(row.pop("postings")), self.chain
        yield ENTRIES, row
        for line, posting in enumerate(entry.postings, start=1):
            place = {"entry_id": entry.number, "line": line}
            yield (
                POSTINGS,
                {**place, "account": posting.account, "currency": posting.currency, "amount": posting.amount},
            )


def _row(effect: Row) -> dict[str, Any]:
    row = {each.name: _value(getattr(effect, each.name)) for each in fields(effect)}
    if isinstance(effect, DayClosed):
        row["day"] = _EPOCH + timedelta(days=effect.day)
    return row


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value
