"""Where a UTC day's result came from: what moved the books is summed up as it happens, and the rest is the marks.

The law: what equity has changed by over the day, less what was transferred, is the sum of the parts, exactly. It holds
because at every moment, with what was held at opening counted from the mark at which it was taken in::

    equity == opening + transfers + results of all trips + funding + other - charges + unrealized
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.money import ZERO, Exact
from tollgate_domain.portfolio import Portfolio
from tollgate_domain.round_trips import RoundTrips
from tollgate_ledger.core.journal import CHARGES, DUST, FUNDING, TRANSFERS
from tollgate_ledger.core.rows import DayClosed
from tollgate_ledger.core.valuation import Valuation

DAY_US = 86_400_000_000


class Worth(NamedTuple):
    """What the books are worth at one moment."""

    equity: Decimal
    unrealized: Decimal
    """Of the open trips, over what they have cost."""
    pending: Decimal
    """Value of what was held at opening and is not taken in yet."""
    exposure: Decimal


def worth_of(portfolio: Portfolio, valuation: Valuation, trips: RoundTrips) -> Worth:
    """Return what the books are worth now."""
    unrealized, pending, exposure = ZERO, ZERO, ZERO
    holdings = portfolio.holdings().items()
    for (symbol, holding), over_cost in zip(holdings, valuation.unrealized(portfolio), strict=True):
        value = holding.cost + over_cost
        exposure += abs(value)
        trip = trips.open.get(symbol)
        if trip is None:
            pending += value
        else:
            unrealized += value - trip.cost
    return Worth(valuation.equity, unrealized, pending, exposure)


@dataclass(slots=True)
class Moved:
    """What has moved of the quote currency without a trade, since the opening."""

    transferred: Exact = ZERO
    """With what the account held at opening, at the mark at which it was taken in."""
    funding: Exact = ZERO
    """Above zero was received."""
    charges: Exact = ZERO
    """Above zero was paid."""
    dust: Exact = ZERO
    suspense: Exact = ZERO
    """What no evidence explains."""

    @property
    def transfers(self) -> Decimal:
        """What is neither won nor lost; of what nobody can explain, as much as is there too much in sum."""
        return self.transferred + max(self.suspense, ZERO)

    @property
    def other(self) -> Decimal:
        """Dust, and of what nobody can explain as much as is missing in sum."""
        return self.dust + min(self.suspense, ZERO)

    def take(self, account: str, amount: Decimal) -> None:
        """Take in what has come in, or below zero gone out, and is booked as ``account`` says."""
        if account == TRANSFERS:
            self.transferred += amount
        elif account == FUNDING:
            self.funding += amount
        elif account == CHARGES:
            self.charges -= amount
        elif account == DUST:
            self.dust += amount
        else:
            self.suspense += amount


@dataclass(slots=True)
class Day:
    """One UTC day so far; amounts in quote currency."""

    number: int
    """Since the epoch."""
    equity_first: Exact
    unrealized_first: Exact
    pending_first: Exact
    moved_first: Moved
    gross: Exact = ZERO
    slippage: Exact = ZERO
    fees: Exact = ZERO
    """Of trades."""

    @classmethod
    def begin(cls, number: int, worth: Worth, moved: Moved) -> "Day":
        """Begin a day with what the books are worth, and what has moved before it."""
        return cls(number, worth.equity, worth.unrealized, worth.pending, replace(moved))

    def closed(self, worth: Worth, moved: Moved) -> DayClosed:
        """Return the day's row, at what the books are worth, and what has moved, when it ends."""
        before = self.moved_first
        edge = self.gross + self.slippage + worth.unrealized - self.unrealized_first
        fees = self.fees + moved.charges - before.charges
        funding, other = moved.funding - before.funding, moved.other - before.other
        return DayClosed(
            day=self.number,
            edge=edge,
            slippage=self.slippage,
            fees=fees,
            funding=funding,
            other=other,
            net=edge - self.slippage - fees + funding + other,
            transfers=moved.transfers - before.transfers + worth.pending - self.pending_first,
            equity_first=self.equity_first,
            equity_last=worth.equity,
        )
