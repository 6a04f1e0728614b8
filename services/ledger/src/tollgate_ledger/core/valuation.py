"""What the books are worth: marks, equity, and the fall from the peak.

The mark is the mid of the last quote, rounded half-even to the 18 places that wire and books hold; so is each
position's value. What has no mark yet is worth its cost. A mark that grows old stays in force, and the books say so.
At every moment and exactly::

    equity == cash + cost of positions + unrealized
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tollgate_contracts.ledger import Position
from tollgate_contracts.marketdata import Quote
from tollgate_contracts.money import ZERO, divide, plain, round_to_places
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import Portfolio

_PLACES = 18
_TWO = Decimal(2)


@dataclass(frozen=True, slots=True)
class Mark:
    """A mid, the venue's time of its quote, and the time of the message that brought it."""

    price: Decimal
    venue_us: int
    told_us: int


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the tape, and from what age on a mark is stale at it."""

    now_us: int
    stale_after_us: int

    def is_stale(self, mark: Mark | None) -> bool:
        """Say whether a mark is too old, or is none; by the tape's time, because the venue's clock may be another."""
        return mark is None or self.now_us - mark.told_us > self.stale_after_us


class Valuation:
    """Marks by symbol, and the peak of equity since the opening."""

    def __init__(self) -> None:
        self._marks: dict[str, Mark] = {}
        self.equity = ZERO
        self.peak = ZERO

    @property
    def drawdown(self) -> Decimal:
        """Fall from the peak, in quote currency; never below zero."""
        return self.peak - self.equity

    def mark(self, quote: Quote) -> None:
        """Take the mid of each symbol in ``quote``."""
        for line in quote.quotes:
            mid = divide(line.bid + line.ask, _TWO, _PLACES)
            self._marks[line.symbol] = Mark(mid, line.venue_ts_us, quote.ts_us)

    def opened(self, portfolio: Portfolio) -> None:
        """Begin with the equity that the books were opened with."""
        self.equity = self.peak = self._equity_of(portfolio)

    def transferred(self, amount: Decimal) -> None:
        """Move the peak with money that was neither won nor lost."""
        self.peak += amount

    def update(self, portfolio: Portfolio) -> None:
        """Value the portfolio and move the peak up with it."""
        self.equity = self._equity_of(portfolio)
        self.peak = max(self.peak, self.equity)

    def unrealized(self, portfolio: Portfolio) -> tuple[Decimal, ...]:
        """Return the unrealized result of each position, in the order of ``positions``."""
        return tuple(
            self._value(symbol, holding.quantity, holding.cost) - holding.cost
            for symbol, holding in portfolio.holdings().items()
        )

    def positions(self, portfolio: Portfolio, moment: Moment) -> tuple[Position, ...]:
        """Return what is held, with its mark and unrealized result, sorted by symbol."""
        held = []
        for (symbol, holding), unrealized in zip(portfolio.holdings().items(), self.unrealized(portfolio), strict=True):
            mark = self._marks.get(symbol)
            held.append(
                Position(
                    symbol=symbol,
                    quantity=holding.quantity,
                    cost=holding.cost,
                    mark=None if mark is None else mark.price,
                    mark_us=None if mark is None else mark.venue_us,
                    stale=moment.is_stale(mark),
                    unrealized=unrealized,
                )
            )
        return tuple(held)

    def stale(self, portfolio: Portfolio, moment: Moment) -> tuple[str, ...]:
        """Return the symbols held whose marks are stale, sorted."""
        return tuple(symbol for symbol in portfolio.holdings() if moment.is_stale(self._marks.get(symbol)))

    def _equity_of(self, portfolio: Portfolio) -> Decimal:
        values = (
            self._value(symbol, holding.quantity, holding.cost) for symbol, holding in portfolio.holdings().items()
        )
        return sum(values, portfolio.cash)

    def _value(self, symbol: str, quantity: Decimal, cost: Decimal) -> Decimal:
        mark = self._marks.get(symbol)
        return cost if mark is None else round_to_places(notional(mark.price, quantity), _PLACES)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        marks = {
            symbol: [plain(mark.price), mark.venue_us, mark.told_us] for symbol, mark in sorted(self._marks.items())
        }
        return {"marks": marks, "equity": plain(self.equity), "peak": plain(self.peak)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self._marks = {
            symbol: Mark(Decimal(price), venue_us, told_us)
            for symbol, (price, venue_us, told_us) in state["marks"].items()
        }
        self.equity, self.peak = Decimal(state["equity"]), Decimal(state["peak"])
