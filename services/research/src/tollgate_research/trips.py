"""Round trips as the tape tells them: per symbol, from nothing held until nothing is held again."""

from dataclasses import dataclass, field
from decimal import Decimal

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import notional

# A trip of more orders than this is told by their number.
ORDERS_MAX = 16


@dataclass(slots=True)
class Trip:
    """One round trip so far; amounts in quote currency, quantities in base currency."""

    symbol: str
    opened_us: int
    closed_us: int | None = None
    """Null while something is held."""
    found_open: bool = False
    """Whether the position was there before the first fill that the tape tells of: its cost is not known."""
    orders: dict[str, None] = field(default_factory=dict)
    """Client order ids, in the order of their first fill; at most ``ORDERS_MAX``."""
    fills: int = 0
    bought: Decimal = ZERO
    sold: Decimal = ZERO
    bought_for: Decimal = ZERO
    sold_for: Decimal = ZERO
    realized: Decimal = ZERO
    """Before fees."""
    fees: Decimal = ZERO
    foreign_fees: int = 0
    """Fills whose fee was taken in another currency, and is not in ``fees``."""


class Trips:
    """The trip under way in each symbol."""

    def __init__(self, quote_currency: str) -> None:
        self.quote_currency = quote_currency
        self._open: dict[str, Trip] = {}

    def apply(self, fill: Fill, before: Decimal, after: Decimal, realized: Decimal) -> Trip:
        """Count a fill and return its trip.

        ``before`` and ``after`` are what was held around it, ``realized`` its result as the portfolio booked it.
        """
        trip = self._open.get(fill.symbol)
        if trip is None:
            trip = self._open[fill.symbol] = Trip(fill.symbol, fill.ts_us, found_open=bool(before))
        trip.fills += 1
        if len(trip.orders) < ORDERS_MAX:
            trip.orders[fill.client_order_id] = None
        value = notional(fill.trade.price, fill.trade.quantity)
        if fill.side is Side.BUY:
            trip.bought += fill.trade.quantity
            trip.bought_for += value
        else:
            trip.sold += fill.trade.quantity
            trip.sold_for += value
        trip.realized += realized
        if fill.trade.fee_currency == self.quote_currency:
            trip.fees += fill.trade.fee
        else:
            trip.foreign_fees += 1
        if not after or (before and (before > 0) != (after > 0)):
            # A fill that turns a long into a short ends the trip; what it opens counts from the next fill on.
            trip.closed_us = fill.ts_us
            del self._open[fill.symbol]
        return trip

    def undo(self, bust: Bust, after: Decimal, realized: Decimal) -> None:
        """Take a fill back out of the trip under way; one that has ended stays as it was told.

        ``after`` is what is held without it, ``realized`` what the portfolio has realized more because of that.
        """
        trip = self._open.get(bust.symbol)
        if trip is None:
            return
        trip.fills -= 1
        value = notional(bust.trade.price, bust.trade.quantity)
        if bust.side is Side.BUY:
            trip.bought -= bust.trade.quantity
            trip.bought_for -= value
        else:
            trip.sold -= bust.trade.quantity
            trip.sold_for -= value
        trip.realized += realized
        if bust.trade.fee_currency == self.quote_currency:
            trip.fees -= bust.trade.fee
        else:
            trip.foreign_fees -= 1
        if not after:
            trip.closed_us = bust.ts_us
            del self._open[bust.symbol]
