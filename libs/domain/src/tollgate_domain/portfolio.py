"""Cash and positions from what the venue opened with and every fill since; average cost, long only.

Strategy, risk and ledger use this one arithmetic, so that they can only agree. At every moment and exactly::

    cash + cost of positions == opening cash + opening cost + realized - fees

because whatever rounding takes from the cost of a partial sale it gives to the realized result.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from tollgate_contracts.execution import Account, Fill
from tollgate_contracts.money import ZERO, divide, plain
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import notional

# Costs are kept to as many places as the books' database columns hold.
COST_PLACES = 18


class OversoldError(ValueError):
    """A fill sells more than is held: what we believe and what the venue did differ."""


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of one symbol: quantity in base currency, its whole cost in quote currency, fees excluded."""

    quantity: Decimal
    cost: Decimal


EMPTY = Holding(ZERO, ZERO)


class Portfolio:
    """The holdings of one account in one quote currency."""

    def __init__(self, quote_currency: str) -> None:
        self.quote_currency = quote_currency
        self.opened = False
        self.cash = ZERO
        self.realized = ZERO
        """Sum of sale proceeds minus the cost of what was sold, before fees."""
        self.fees = ZERO
        self._holdings: dict[str, Holding] = {}

    def open(self, account: Account, symbols: tuple[str, ...]) -> bool:
        """Take the opening balances from the first account message; say whether this was it.

        What was held before is opened at no cost: its price is not known to us.
        """
        if self.opened:
            return False
        held = {balance.currency: balance.free + balance.locked for balance in account.balances}
        self.cash = held.get(self.quote_currency, ZERO)
        for symbol in symbols:
            base, quote = symbol.split("-")
            if quote == self.quote_currency and held.get(base, ZERO) > 0:
                self._holdings[symbol] = Holding(held[base], ZERO)
        self.opened = True
        return True

    def holding(self, symbol: str) -> Holding:
        """Return what is held of ``symbol``; nothing is a holding of zero."""
        return self._holdings.get(symbol, EMPTY)

    def holdings(self) -> dict[str, Holding]:
        """Return every holding above zero, sorted by symbol."""
        return {symbol: self._holdings[symbol] for symbol in sorted(self._holdings)}

    def apply(self, fill: Fill) -> Decimal:
        """Book one fill and return its realized result before fees, in quote currency.

        Raises ``OversoldError`` when it sells more than is held, and ``ValueError`` for a fee in a currency
        other than the quote currency.
        """
        trade = fill.trade
        if trade.fee_currency != self.quote_currency:
            raise ValueError(f"fill {trade.trade_id}: fee in {trade.fee_currency}, expected {self.quote_currency}")
        value = notional(trade.price, trade.quantity)
        before = self.holding(fill.symbol)
        if fill.side is Side.BUY:
            self._hold(fill.symbol, Holding(before.quantity + trade.quantity, before.cost + value))
            self.cash -= value + trade.fee
            self.fees += trade.fee
            return ZERO
        if trade.quantity > before.quantity:
            raise OversoldError(f"fill {trade.trade_id} sells {trade.quantity} {fill.symbol}, held {before.quantity}")
        sold_cost = self._cost_of(before, trade.quantity)
        self._hold(fill.symbol, Holding(before.quantity - trade.quantity, before.cost - sold_cost))
        self.cash += value - trade.fee
        self.fees += trade.fee
        self.realized += value - sold_cost
        return value - sold_cost

    @staticmethod
    def _cost_of(holding: Holding, quantity: Decimal) -> Decimal:
        if quantity == holding.quantity:
            return holding.cost
        return divide(holding.cost * quantity, holding.quantity, COST_PLACES)

    def _hold(self, symbol: str, holding: Holding) -> None:
        if holding.quantity:
            self._holdings[symbol] = holding
        else:
            self._holdings.pop(symbol, None)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "opened": self.opened,
            "cash": plain(self.cash),
            "realized": plain(self.realized),
            "fees": plain(self.fees),
            "holdings": {
                symbol: [plain(holding.quantity), plain(holding.cost)] for symbol, holding in self.holdings().items()
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self.opened = state["opened"]
        self.cash = Decimal(state["cash"])
        self.realized = Decimal(state["realized"])
        self.fees = Decimal(state["fees"])
        self._holdings = {
            symbol: Holding(Decimal(quantity), Decimal(cost)) for symbol, (quantity, cost) in state["holdings"].items()
        }


def _state_of(portfolio: Portfolio | None) -> dict[str, Any] | None:
    if portfolio is None:
        return None
    return {"quote_currency": portfolio.quote_currency, "state": portfolio.snapshot()}


def _portfolio_of(state: dict[str, Any] | Portfolio | None) -> Portfolio | None:
    if not isinstance(state, dict):
        return state
    portfolio = Portfolio(state["quote_currency"])
    portfolio.restore(state["state"])
    return portfolio


OptionalPortfolio = Annotated[Portfolio | None, PlainValidator(_portfolio_of), PlainSerializer(_state_of)]
"""A core's portfolio as a field of its state, kept whole in a snapshot."""
