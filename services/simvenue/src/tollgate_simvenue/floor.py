"""The trading floor: the exchange with its clock, its faults, its store and its listeners.

The law of this module: the exchange changes, then the store has it, then everyone hears of it, and nothing is
awaited in between. When the store cannot take it, memory and file differ, and the process must end. Faults change
what is answered and said, never what is stored.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.reconciliation import MovementType
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.faults import Action, CancelTrick, CloseStreams, Faults, SetStatus, part_of
from tollgate_simvenue.core.flavours import Duplicates
from tollgate_simvenue.core.market import MarketEvent
from tollgate_simvenue.core.model import Bust, Event, Fill, Movement, Order, OrderRequest, Refusal, Refused
from tollgate_simvenue.core.plan import CancelAnswer, FaultPlan, Stream
from tollgate_simvenue.delivery import Delivery
from tollgate_simvenue.hub import Hub
from tollgate_simvenue.store import Store
from tollgate_simvenue.wire import heartbeat_frame

_UNKNOWN_TRADE = Refused(Refusal.UNKNOWN_TRADE, "no trade of this id was made", "trade_id")


def wall_us() -> int:
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
    """Everything that the API and the control door may do; ``clock`` gives the true time in microseconds."""

    def __init__(
        self,
        exchange: Exchange,
        store: Store,
        hub: Hub,
        session: int,
        market: MarketStatus,
        clock: Callable[[], int] = wall_us,
    ) -> None:
        self.exchange = exchange
        self.hub = hub
        self.market = market
        self.faults: Faults | None = None
        """None while nothing is to go wrong, which then costs nothing."""
        self.true_us = clock
        self.failed = asyncio.Event()
        """Set when the store has failed."""
        self.rescheduled = asyncio.Event()
        """Set when ``next_wait_us`` may have changed."""
        self._store = store
        self._session = session
        self._delivery = Delivery(hub)

    def now_us(self) -> int:
        """Return the venue's clock, which a fault may have set wrong."""
        now_us = self.true_us()
        return now_us if self.faults is None else now_us + self.faults.skew_us(now_us)

    def place(self, request: OrderRequest, hidden_us: int = 0) -> Order | Refused:
        """Place an order, which cannot be seen for ``hidden_us``."""
        if hidden_us and self.faults is not None and self.order(request.client_order_id) is None:
            client_order_id = self.exchange.manners.client_order_id(request.client_order_id)
            self.faults.hide(client_order_id, self.true_us() + hidden_us)
        outcome, events = self.exchange.place(request, self.now_us())
        self._commit(events)
        self._reschedule()
        answers_used = self.exchange.manners.duplicates is Duplicates.ANSWERED
        if answers_used and isinstance(outcome, Refused) and outcome.code is Refusal.DUPLICATE_CLIENT_ORDER_ID:
            return self.order(request.client_order_id) or outcome
        return outcome

    def cancel(self, order: Order) -> None:
        """Cancel an order if it is open."""
        self._commit(self.exchange.cancel_order(order, self.now_us()))
        self._reschedule()

    def cancel_with_fill(self, order: Order, trick: CancelTrick) -> None:
        """Cancel an open order that trades first: soon, or now and said only later."""
        (step,) = (each.step for each in self.exchange.instruments() if each.symbol == order.request.symbol)
        quantity = part_of(order.rest, step, trick.fills)
        if trick.answer is CancelAnswer.TAKEN:
            self.exchange.cancel_later(order, self.now_us() + trick.late_us, quantity)
        else:
            self._commit(self.exchange.cancel_order(order, self.now_us(), trades_first=quantity), trick.late_us)
        self._reschedule()

    def order(self, client_order_id: str) -> Order | None:
        """Return an order, however old; the newest where several have the id."""
        client_order_id = self.exchange.manners.client_order_id(client_order_id)
        return self.exchange.order(client_order_id) or self._store.order(client_order_id)

    def order_of_venue_id(self, venue_order_id: str) -> Order | None:
        """Return an order by the exchange's own id, however old."""
        return self.exchange.order_of_venue_id(venue_order_id) or self._store.order_of_venue_id(venue_order_id)

    def can_be_seen(self, client_order_id: str) -> bool:
        """Say whether no fault hides an order."""
        return self.faults is None or not self.faults.hides(client_order_id, self.true_us())

    def orders_since(self, since_us: int, limit: int) -> tuple[list[Order], bool]:
        """Return at most ``limit`` orders that changed at or after ``since_us``, and whether these are all."""
        if since_us >= self.exchange.remembers_from_us:
            orders = self.exchange.changed_since(since_us)
        else:
            orders = self._store.orders_since(since_us, limit + 1)
        return orders[:limit], len(orders) <= limit

    def fills_since(self, fill_sequence: int, limit: int) -> list[Fill | Bust]:
        """Return fills and busts after ``fill_sequence``, oldest first."""
        return self._store.fills_since(fill_sequence, limit)

    def movements_since(self, movement_sequence: int, limit: int) -> list[Movement]:
        """Return movements after ``movement_sequence``, oldest first."""
        return self._store.movements_since(movement_sequence, limit)

    def balance_offsets(self) -> dict[str, int]:
        """Return by how many atoms the account is misstated now, by currency."""
        return {} if self.faults is None else self.faults.balance_offsets(self.true_us())

    def bust(self, trade_id: str) -> Bust | Refused:
        """Take a trade back."""
        stored = self._store.order_of_trade(trade_id)
        if stored is None:
            return _UNKNOWN_TRADE
        order = self.exchange.order_of_venue_id(stored.venue_order_id) or stored
        outcome, events = self.exchange.bust(order, trade_id, self.now_us())
        self._commit(events)
        return outcome

    def move_money(
        self, movement_type: MovementType, currency: str, amount: int, symbol: str | None
    ) -> Movement | Refused:
        """Let money come in or go out without an order."""
        outcome, events = self.exchange.move_money(movement_type, currency, amount, symbol, self.now_us())
        self._commit(events)
        return outcome

    def set_status(self, symbol: str, status: InstrumentStatus) -> None:
        """Change what may be done with an instrument."""
        self._commit(self.exchange.set_status(symbol, status, self.now_us()))

    def move(self, symbol: str, event: MarketEvent) -> None:
        """Let the market do something."""
        self._commit(self.exchange.apply(symbol, event, self.now_us()))

    def tick(self) -> None:
        """Close candles and send heartbeats."""
        now_us = self.now_us()
        self._commit(self.exchange.tick(now_us))
        frame = heartbeat_frame(now_us)
        if self.speaks(Stream.MARKET):
            self.hub.say_to_markets(frame)
        if self.speaks(Stream.USER):
            self.hub.say_to_users(frame)

    def speaks(self, stream: Stream) -> bool:
        """Say whether a stream is not silenced by a fault."""
        return self.faults is None or not self.faults.is_silent(stream, self.true_us())

    def put_faults(self, plan: FaultPlan | None) -> None:
        """Put a plan in force from now on, in the place of the one before; null ends it."""
        before, self.faults = self.faults, None
        if before is not None:
            self._act(before.withdraw())
        if plan is not None:
            symbols = tuple(instrument.symbol for instrument in self.exchange.instruments())
            self.faults = Faults(plan, self.true_us(), symbols)
        self.advance()
        self.rescheduled.set()

    def advance(self) -> None:
        """Do what the clock has made due, of orders and of faults."""
        if self.faults is not None:
            self._act(self.faults.advance(self.true_us()))
        self._commit(self.exchange.advance(self.now_us()))

    def next_wait_us(self) -> int | None:
        """Return after how long ``advance`` has something to do, or null."""
        waits: list[int] = []
        if self.exchange.next_due_us is not None:
            waits.append(self.exchange.next_due_us - self.now_us())
        if self.faults is not None:
            now_us = self.true_us()
            due_us = self.faults.next_due_us(now_us)
            waits += [] if due_us is None else [due_us - now_us]
        return max(min(waits), 0) if waits else None

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case SetStatus(symbol, status):
                    self.set_status(symbol, status)
                case CloseStreams():
                    self.hub.dismiss_all()

    def _reschedule(self) -> None:
        if self.exchange.next_due_us is not None:
            self.rescheduled.set()

    def _commit(self, events: list[Event], late_us: int = 0) -> None:
        if not events:
            return
        try:
            self._store.save(self._session, self.exchange.account, events)
        except sqlite3.Error:
            self.failed.set()
            raise
        if self.faults is None:
            self.hub.publish(events)
        else:
            self._delivery.publish(events, self.faults, self.true_us(), late_us)
