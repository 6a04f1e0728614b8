"""What the books are worth: marks, equity, and the fall from the peak.

The mark is the mid of the last quote, rounded half-even to the 18 places that wire and books hold; so is each
position's value. What has no mark yet is worth its cost. At every moment and exactly::

    equity == cash + cost of positions + unrealized
"""

from decimal import Decimal
from typing import Any

from tollgate_contracts.ledger import Position
from tollgate_contracts.marketdata import Quote
from tollgate_contracts.money import ZERO, divide, plain, round_to_places
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import Portfolio

_PLACES = 18
_TWO = Decimal(2)


class Valuation:
    """Marks by symbol, and the peak of equity since the opening."""

    def __init__(self) -> None:
        self._marks: dict[str, Decimal] = {}
        self.equity = ZERO
        self.peak = ZERO

    @property
    def drawdown(self) -> Decimal:
        """Fall from the peak, in quote currency; never below zero."""
        return self.peak - self.equity

    def mark(self, quote: Quote) -> None:
        """Take the mid of each symbol in ``quote``."""
        for line in quote.quotes:
            self._marks[line.symbol] = divide(line.bid + line.ask, _TWO, _PLACES)

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

    def positions(self, portfolio: Portfolio) -> tuple[Position, ...]:
        """Return what is held, with its mark and unrealized result, sorted by symbol."""
        return tuple(
            Position(
                symbol=symbol,
                quantity=holding.quantity,
                cost=holding.cost,
                mark=self._marks.get(symbol),
                unrealized=unrealized,
            )
            for (symbol, holding), unrealized in zip(
                portfolio.holdings().items(), self.unrealized(portfolio), strict=True
            )
        )

    def _equity_of(self, portfolio: Portfolio) -> Decimal:
        values = (
            self._value(symbol, holding.quantity, holding.cost) for symbol, holding in portfolio.holdings().items()
        )
        return sum(values, portfolio.cash)

    def _value(self, symbol: str, quantity: Decimal, cost: Decimal) -> Decimal:
        mark = self._marks.get(symbol)
        return cost if mark is None else round_to_places(notional(mark, quantity), _PLACES)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        marks = {symbol: plain(mark) for symbol, mark in sorted(self._marks.items())}
        return {"marks": marks, "equity": plain(self.equity), "peak": plain(self.peak)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self._marks = {symbol: Decimal(mark) for symbol, mark in state["marks"].items()}
        self.equity, self.peak = Decimal(state["equity"]), Decimal(state["peak"])
