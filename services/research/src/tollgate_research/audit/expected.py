"""Which rows the effects of the ledger's core must have led to; a second way there, beside the one that wrote them."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from tollgate_contracts.money import ZERO
from tollgate_ledger.chain import GENESIS, entry_hash
from tollgate_ledger.core import JournalEntry
from tollgate_ledger.core.rows import DayClosed, EquityPoint, Row, TradeCost, TripEnded
from tollgate_research.audit.findings import Part
from tollgate_research.audit.journal import fault_of
from tollgate_research.audit.reading import DAYS, ENTRIES, EQUITY, POSTINGS, TRADE_COSTS, TRIPS, Table

_TABLE_OF: dict[type[Row], Table] = {
    TradeCost: TRADE_COSTS,
    TripEnded: TRIPS,
    EquityPoint: EQUITY,
    DayClosed: DAYS,
}
PART_OF = {
    ENTRIES: Part.BOOKS,
    POSTINGS: Part.BOOKS,
    **dict.fromkeys((TRADE_COSTS, TRIPS, EQUITY, DAYS), Part.READ_MODEL),
}
"""The tables that the archive leads to, and what is proved when they are as it says."""
_EPOCH = date(1970, 1, 1)

Expected = tuple[Table, dict[str, Any]]


class ExpectedRows:
    """Turns one effect after the other into rows; of the journal it carries chain and sums."""

    def __init__(self) -> None:
        self.chain = GENESIS
        """The journal's hash after the last entry."""
        self.totals: dict[tuple[str, str], Decimal] = {}
        """What the postings of each account sum to, by account and currency."""
        self.fault = ""
        """What is wrong with the sums of the first entry whose postings do not sum to zero."""

    def of(self, effect: object) -> Iterator[Expected]:
        """Yield the rows of an effect, none for one that is not written down."""
        if isinstance(effect, JournalEntry):
            yield from self._entry(effect)
        elif isinstance(effect, TradeCost | TripEnded | EquityPoint | DayClosed):
            yield _TABLE_OF[type(effect)], _row(effect)

    def _entry(self, entry: JournalEntry) -> Iterator[Expected]:
        self.chain = entry_hash(self.chain, entry)
        if not self.fault and (what := fault_of(entry.postings)):
            self.fault = f"entry {entry.number}: {what}"
        row = {each.name: _value(getattr(entry, each.name)) for each in fields(entry)}
        row["id"], row["lines"], row["chain_hash"] = row.pop("number"), len(row.pop("postings")), self.chain
        yield ENTRIES, row
        for line, posting in enumerate(entry.postings, start=1):
            account = (posting.account, posting.currency)
            self.totals[account] = self.totals.get(account, ZERO) + posting.amount
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
