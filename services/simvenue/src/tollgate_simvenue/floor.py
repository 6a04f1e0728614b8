"""The trading floor: the exchange with its clock, its store and its listeners.

The law of this module: the exchange changes, then the store has it, then everyone hears of it, and nothing is
awaited in between. When the store cannot take it, memory and file differ, and the process must end.
"""

import asyncio
import sqlite3
import time
from dataclasses import dataclass

from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.market import MarketEvent
from tollgate_simvenue.core.model import Event, Fill, Order, OrderRequest, Refused
from tollgate_simvenue.hub import Hub
from tollgate_simvenue.store import Store


def now_us() -> int:
    """Return the wall clock."""
    return time.time_ns() // 1_000


@dataclass(slots=True)
class MarketStatus:
    """What drives the market of the recorded symbol, or of all of them."""

    source: str
    started: bool = False
    finished: bool = False
    events: int = 0


class Floor:
    """Everything that the API may do."""

    def __init__(self, exchange: Exchange, store: Store, hub: Hub, session: int, market: MarketStatus) -> None:
        self.exchange = exchange
        self.hub = hub
        self.market = market
        self.failed = asyncio.Event()
        """Set when the store has failed."""
        self._store = store
        self._session = session

    def place(self, request: OrderRequest) -> Order | Refused:
        """Place an order."""
        outcome, events = self.exchange.place(request, now_us())
        self._commit(events)
        return outcome

    def cancel(self, client_order_id: str) -> Order | None:
        """Cancel an order if it is open and return how it stands; null when it was never registered."""
        self._commit(self.exchange.cancel(client_order_id, now_us()))
        return self.order(client_order_id)

    def order(self, client_order_id: str) -> Order | None:
        """Return an order, however old."""
        return self.exchange.order(client_order_id) or self._store.order(client_order_id)

    def fills_since(self, fill_sequence: int, limit: int) -> list[Fill]:
        """Return fills after ``fill_sequence``, oldest first."""
        return self._store.fills_since(fill_sequence, limit)

    def move(self, symbol: str, event: MarketEvent) -> None:
        """Let the market do something."""
        self._commit(self.exchange.apply(symbol, event, now_us()))

    def tick(self) -> None:
        """Let time pass."""
        self._commit(self.exchange.tick(now_us()))

    def _commit(self, events: list[Event]) -> None:
        if not events:
            return
        try:
            self._store.save(self._session, self.exchange.account, events)
        except sqlite3.Error:
            self.failed.set()
            raise
        self.hub.publish(events)
