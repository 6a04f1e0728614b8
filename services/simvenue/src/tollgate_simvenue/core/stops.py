"""Stops: orders that wait outside the book, their money locked, until the market trades at or through a price."""

from tollgate_contracts.strategy import Side
from tollgate_simvenue.core.model import Order


class Stops:
    """The stops of one symbol, in the order of their coming."""

    def __init__(self) -> None:
        self._waiting: dict[str, Order] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, order: Order) -> None:
        """Let an order wait."""
        self._waiting[order.venue_order_id] = order

    def drop(self, order: Order) -> None:
        """Take out an order, if it waits here."""
        self._waiting.pop(order.venue_order_id, None)

    def take(self, prices: list[int]) -> list[Order]:
        """Take out the orders that trades at ``prices`` set to work, the longest waiting first."""
        hit = [order for order in self._waiting.values() if _reached(order, prices)]
        for order in hit:
            del self._waiting[order.venue_order_id]
        return hit


def _reached(order: Order, prices: list[int]) -> bool:
    """Say whether a buy's trigger is reached from below, or a sell's from above."""
    trigger = order.request.trigger_price
    if trigger is None:
        return True
    return max(prices) >= trigger if order.request.side is Side.BUY else min(prices) <= trigger
