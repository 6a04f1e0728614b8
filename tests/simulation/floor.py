"""The venue's own side: the simulated exchange with its own faults and manners, and whoever listens to it.

The exchange is ``tollgate_simvenue.core.exchange`` and what goes wrong there is ``tollgate_simvenue.core.faults``, as
the simulator's process has them. It outlives every process of execution.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal

from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Link, Network
from tollgate_contracts.execution import ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.money import plain
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import MovementType
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.faults import CancelTrick, CloseStreams, Faults, SetStatus, Verdict, frame_kind, part_of
from tollgate_simvenue.core.model import (
    Bust,
    Event,
    Fill,
    InstrumentChanged,
    MoneyMoved,
    Movement,
    Order,
    OrderBusted,
    OrderChanged,
    OrderFilled,
    OrderReason,
    OrderRequest,
    OrderStatus,
    Refusal,
    Refused,
)
from tollgate_simvenue.core.plan import CallKind, CancelAnswer, FaultPlan, Stream
from tollgate_simvenue.core.units import atoms_text, parse_units, units_text
from tollgate_venues.adapter import VenueOrder
from tollgate_venues.evidence import Evidence

# Everything is some ten times as fast as at a real venue, so that a run is short.
RECEIVE_WINDOW_US = 400_000
_FRAME_US_MAX = 2_000
_REASONS = {
    OrderReason.POST_ONLY_WOULD_TAKE: Reason.PRICE_CROSSED_POST_ONLY,
    OrderReason.INSUFFICIENT_BALANCE: Reason.CASH_INSUFFICIENT,
}


class Floor:
    """The exchange, its faults, what it has registered, and who is connected."""

    def __init__(
        self,
        loop: SimulatedLoop,
        network: Network,
        exchange: Exchange,
        plan: FaultPlan,
        now_us: Callable[[], int],
        on_status: Callable[[str, str], None],
    ) -> None:
        """``on_status`` is told a symbol and its new status, as market data is."""
        self.exchange = exchange
        self.faults: Faults | None = None
        self.now_us = now_us
        self.registered: dict[str, list[Order]] = {}
        """Every order ever registered, by client order id; more than one is what must not happen."""
        self.rows: list[Fill | Bust] = []
        """The account's list of fills."""
        self.movements: list[Movement] = []
        self.connections: dict[int, Connection] = {}
        """User streams by the number of their process."""
        self._loop = loop
        self._network = network
        self._on_status = on_status
        self._trades: dict[int, VenueTrade] = {}
        if plan.rules:
            self.faults = Faults(plan, now_us(), tuple(each.symbol for each in exchange.instruments()))
            self._follow_faults()

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        if self.faults is not None:
            faults, self.faults = self.faults, None
            for action in faults.withdraw():
                self._act(action)

    def _follow_faults(self) -> None:
        if self.faults is None:
            return
        for action in self.faults.advance(self.now_us()):
            self._act(action)
        due_us = self.faults.next_due_us(self.now_us())
        if due_us is not None:
            self._loop.after(due_us - self.now_us(), self._follow_faults)

    def _act(self, action: SetStatus | CloseStreams) -> None:
        if isinstance(action, SetStatus):
            self.tell(self.exchange.set_status(action.symbol, action.status, self.now_us()))
        else:
            for connection in self.connections.values():
                connection.lose()

    def verdict(self, kind: CallKind, symbol: str | None) -> Verdict | None:
        """Return what is to be done with a call, or null for what it asks."""
        return None if self.faults is None else self.faults.call(kind, symbol, self.now_us())

    @property
    def said_us(self) -> int:
        """Return the venue's own clock."""
        return self.now_us() + (self.faults.skew_us(self.now_us()) if self.faults else 0)

    def move(self, act: Callable[[Exchange, int], list[Event]]) -> None:
        """Let something happen at the exchange, and tell of it."""
        self.tell(act(self.exchange, self.now_us()))

    def place(self, order: VenueOrder, signed_us: int, hidden_us: int) -> Order | Refused:
        """Register an order as it arrives."""
        now_us = self.now_us()
        if abs(self.said_us - signed_us) > RECEIVE_WINDOW_US:
            return Refused(Refusal.TIMESTAMP_TOO_OLD, "it was on its way for too long")
        if hidden_us and self.faults is not None:
            self.faults.hide(order.client_order_id, now_us + hidden_us)
        request = OrderRequest(
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            quantity=parse_units(plain(order.quantity)),
            limit_price=_units(order.limit_price),
            time_in_force=order.time_in_force,
            post_only=order.post_only,
            received_us=now_us,
            trigger_price=_units(order.trigger_price),
        )
        placed, events = self.exchange.place(request, now_us)
        if isinstance(placed, Order):
            known = self.registered.setdefault(order.client_order_id, [])
            if placed not in known:
                known.append(placed)
        self.tell(events)
        self._follow_timers()
        return placed

    def cancel(self, order: Order, trick: CancelTrick | None) -> None:
        """Cancel an order, at once or a moment later, with or without a fill on the way."""
        now_us = self.now_us()
        if trick is None or order.status is not OrderStatus.OPEN:
            self.tell(self.exchange.cancel_order(order, now_us))
        else:
            step = next(each.step for each in self.exchange.instruments() if each.symbol == order.request.symbol)
            quantity = part_of(order.rest, step, trick.fills)
            if trick.answer is CancelAnswer.TAKEN:
                self.exchange.cancel_later(order, now_us + trick.late_us, quantity)
            else:
                self.tell(self.exchange.cancel_order(order, now_us, trades_first=quantity), trick.late_us)
        self._follow_timers()

    def _follow_timers(self) -> None:
        due_us = self.exchange.next_due_us
        if due_us is not None:
            self._loop.after(due_us - self.now_us(), self.move, Exchange.advance)

    def find(self, client_order_id: str) -> Order | None:
        """Return an order, once it is visible."""
        if self.hides(client_order_id):
            return None
        return self.exchange.order(client_order_id)

    def hides(self, client_order_id: str) -> bool:
        """Say whether an order cannot be seen yet."""
        return self.faults is not None and self.faults.hides(client_order_id, self.now_us())

    def bust(self) -> None:
        """Take the newest trade back that can be."""
        for row in reversed(self.rows):
            order = self.exchange.order_of_venue_id(row.venue_order_id)
            if isinstance(row, Fill) and order is not None and row in order.fills:
                busted, events = self.exchange.bust(order, row.trade_id, self.now_us())
                if isinstance(busted, Bust):
                    self.tell(events)
                return

    def deposit(self, currency: str, atoms: int) -> None:
        """Let money come in without an order."""
        self.tell(self.exchange.move_money(MovementType.DEPOSIT, currency, atoms, None, self.now_us())[1])

    def trade(self, fill: Fill) -> VenueTrade:
        """Return a fill as the venue says it."""
        known = self._trades.get(fill.fill_sequence)
        if known is None:
            known = self._trades[fill.fill_sequence] = VenueTrade(
                trade_id=fill.trade_id,
                price=Decimal(units_text(fill.price)),
                quantity=Decimal(units_text(fill.quantity)),
                fee=Decimal(atoms_text(fill.fee)),
                fee_currency=fill.fee_currency,
                liquidity=fill.liquidity,
                venue_ts_us=fill.venue_ts_us,
            )
        return known

    def evidence(self, order: Order, source: ReportSource) -> Evidence:
        """Return an order as it stands, with all its trades."""
        return self._say(OrderChanged.now(order), source, tuple(map(self.trade, order.fills)))

    def tell(self, events: list[Event], late_us: int = 0) -> None:
        """Remember what happened and send its frames to whoever listens."""
        for event in events:
            frame: Evidence | None = None
            match event:
                case OrderFilled(order, fill):
                    self.rows.append(fill)
                    count = Decimal(units_text(fill.cumulative_quantity))
                    frame = self._trade_frame(order, (self.trade(fill),), (), count, fill.venue_ts_us)
                case OrderBusted(order, bust):
                    self.rows.append(bust)
                    frame = self._trade_frame(order, (), (bust.trade_id,), None, bust.venue_ts_us)
                case OrderChanged():
                    frame = self._say(event, ReportSource.STREAM, ())
                case MoneyMoved(movement):
                    self.movements.append(movement)
                case InstrumentChanged(instrument):
                    self._on_status(instrument.symbol, instrument.status.value)
            for connection in self.connections.values() if frame is not None else ():
                self._send(connection, event, frame, late_us)

    def _send(self, connection: "Connection", event: Event, frame: Evidence, late_us: int) -> None:
        if self.faults is None:
            connection.push(frame, late_us)
            return
        verdict = self.faults.frame(*frame_kind(event), self.now_us())
        if verdict.skips_number:
            # Whoever reads notices the gap and connects again.
            connection.lose()
        for delay_us in verdict.delays_us:
            connection.push(frame, late_us + delay_us, in_order=not delay_us)

    def is_silent(self) -> bool:
        """Say whether the user stream sends nothing."""
        return self.faults is not None and self.faults.is_silent(Stream.USER, self.now_us())

    @staticmethod
    def _trade_frame(
        order: Order, trades: tuple[VenueTrade, ...], busted: tuple[str, ...], count: Decimal | None, at_us: int
    ) -> Evidence:
        return Evidence(
            order.request.client_order_id,
            ReportSource.STREAM,
            ReportStatus.TRADED,
            order.venue_order_id,
            count,
            trades,
            busted,
            venue_ts_us=at_us,
        )

    @staticmethod
    def _say(change: OrderChanged, source: ReportSource, trades: tuple[VenueTrade, ...]) -> Evidence:
        is_rejected = change.status is OrderStatus.REJECTED
        reason = _REASONS.get(change.reason, Reason.VENUE_REJECTED) if is_rejected and change.reason else None
        return Evidence(
            change.order.request.client_order_id,
            source,
            ReportStatus(change.status.value),
            change.order.venue_order_id,
            Decimal(units_text(change.cumulative_quantity)),
            trades,
            reason=reason,
            detail=str(change.reason or ""),
            venue_ts_us=change.venue_ts_us,
        )


class Connection:
    """One process's user stream; frames keep their order unless a fault takes one aside."""

    def __init__(self, loop: SimulatedLoop, network: Network) -> None:
        self.frames: asyncio.Queue[Evidence | None] = asyncio.Queue()
        self._loop = loop
        self._network = network
        self._last_us = 0
        self._is_lost = False

    def push(self, frame: Evidence, late_us: int = 0, *, in_order: bool = True) -> None:
        """Send a frame."""
        if self._is_lost:
            return
        at_us = self._loop.now_us + late_us + self._network.delay_us(Link(_FRAME_US_MAX))
        if in_order:
            at_us = self._last_us = max(self._last_us, at_us)
        self._loop.after(at_us - self._loop.now_us, self.frames.put_nowait, frame)

    def lose(self) -> None:
        """End it, as its reader notices a moment later."""
        self._is_lost = True
        self._loop.after(self._network.delay_us(Link(_FRAME_US_MAX)), self.frames.put_nowait, None)


def _units(price: Decimal | None) -> int | None:
    return None if price is None else parse_units(plain(price))
