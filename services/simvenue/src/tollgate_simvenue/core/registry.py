"""The orders that the exchange remembers: all that are open, and the newest of those that are over."""

from tollgate_simvenue.core.model import Order

# Final orders that stay in memory to be asked after; older ones are in the store.
FINAL_ORDERS_KEPT = 10_000


class Registry:
    """Orders by the venue's id, and by the client's: the newest where several have the same."""

    def __init__(self, remembers_from_us: int) -> None:
        self.open: dict[str, Order] = {}
        self.remembers_from_us = remembers_from_us
        """Every order that has changed at or after this is here."""
        self._final: dict[str, Order] = {}
        self._by_client: dict[str, Order] = {}

    def add(self, order: Order) -> None:
        """Remember a new order under its client's id."""
        self._by_client[order.request.client_order_id] = order

    def by_client(self, client_order_id: str) -> Order | None:
        """Return the newest order of an id that is remembered."""
        return self._by_client.get(client_order_id)

    def by_venue(self, venue_order_id: str) -> Order | None:
        """Return an order that is remembered."""
        return self.open.get(venue_order_id) or self._final.get(venue_order_id)

    def finish(self, order: Order) -> None:
        """Take an order out of the open ones; forget the oldest of the others when there are too many."""
        self.open.pop(order.venue_order_id, None)
        self._final[order.venue_order_id] = order
        if len(self._final) > FINAL_ORDERS_KEPT:
            self._forget(self._final.pop(next(iter(self._final))))

    def changed_since(self, since_us: int) -> list[Order]:
        """Return the orders that have changed at or after ``since_us``, as far as they are here, oldest first."""
        found = [
            order for orders in (self._final, self.open) for order in orders.values() if order.updated_us >= since_us
        ]
        return sorted(found, key=lambda order: order.updated_us)

    def _forget(self, order: Order) -> None:
        self.remembers_from_us = max(self.remembers_from_us, order.updated_us + 1)
        if self._by_client.get(order.request.client_order_id) is order:
            del self._by_client[order.request.client_order_id]
