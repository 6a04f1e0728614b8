"""The adapter of the venue in process: what ``VenueAdapter`` promises, over a network that fails."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from tests.simulation.floor import RECEIVE_WINDOW_US, Connection, Floor
from tests.simulation.loop import PROCESS, SimulatedLoop
from tests.simulation.network import Link, Lost, Network
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Balance
from tollgate_simvenue.core.flavours import Duplicates
from tollgate_simvenue.core.model import Fill, Order, Refusal, Refused
from tollgate_simvenue.core.plan import CallKind, CancelAnswer
from tollgate_simvenue.core.units import FEE_RATE_PER_BPS, atoms_text
from tollgate_venues.adapter import Capabilities, OrderReference, UserStreamLost, VenueOrder, VenueUnavailable
from tollgate_venues.evidence import (
    AccountEvidence,
    Evidence,
    Failure,
    FillEvidence,
    FillPage,
    MovementEvidence,
    MovementPage,
    OrderPage,
)
from tollgate_venues.scan import Scanner

T = TypeVar("T")

VISIBILITY_US = 400_000
_PAGE_ROWS = 3
_HEARTBEAT_S = 0.3
_SECOND_US = 1_000_000
_FAILURES = {
    Refusal.RATE_LIMITED: Failure.RATE_LIMITED,
    Refusal.BANNED: Failure.BANNED,
    Refusal.MAINTENANCE: Failure.MAINTENANCE,
    Refusal.SERVER_ERROR: Failure.NO_ANSWER,
}
# The venue has said that it did not take the order, and why.
_NOT_TAKEN = {
    Refusal.RATE_LIMITED: Reason.VENUE_RATE_LIMITED,
    Refusal.BANNED: Reason.VENUE_RATE_LIMITED,
    Refusal.INSTRUMENT_NOT_OPEN: Reason.VENUE_NOT_OPEN,
}
_DUPLICATES = {Refusal.DUPLICATE_CLIENT_ORDER_ID, Refusal.BINGX_DUPLICATE}


class _Failed(Exception):
    """The call was not answered as it should."""

    def __init__(self, code: Refusal | None, retry_after_us: int | None = None) -> None:
        super().__init__(str(code))
        self.code = code
        self.failure = Failure.NO_ANSWER if code is None else _FAILURES.get(code, Failure.REFUSED)
        self.retry_after_us = retry_after_us


class Venue:
    """One process's adapter."""

    def __init__(
        self,
        loop: SimulatedLoop,
        network: Network,
        floor: Floor,
        link: Link,
        before_sending: Callable[[VenueOrder], None],
    ) -> None:
        """``before_sending`` sees each order as its first byte leaves."""
        self._loop = loop
        self._network = network
        self._floor = floor
        self._link = link
        self._before_sending = before_sending
        self._manners = floor.exchange.manners
        self._scanner = Scanner(self)

    @property
    def capabilities(self) -> Capabilities:
        """Say what the venue offers."""
        return Capabilities(
            looks_up_by_client_id=self._manners.looks_up_by_client_id,
            refuses_duplicate_ids=self._manners.duplicates is not Duplicates.ACCEPTED,
            cancels_at_once=not self._manners.cancel_delay_us,
            has_post_only=True,
            has_stops=True,
            has_fill_cursor=True,
            visibility_us=VISIBILITY_US,
            receive_window_us=RECEIVE_WINDOW_US,
            client_id_length_max=64,
            client_id_pattern=r"[A-Za-z0-9_-]{1,64}",
        )

    async def connect(self) -> None:
        """Do nothing: the network opens nothing beforehand."""

    async def close(self) -> None:
        """Do nothing."""

    async def submit(self, order: VenueOrder) -> Evidence:
        """Place ``order`` once."""
        self._before_sending(order)
        signed_us = self._floor.now_us()

        def act() -> Evidence:
            verdict = self._floor.verdict(CallKind.PLACE, order.symbol)
            if verdict is not None and not verdict.acts:
                raise _failed(verdict.refused, verdict.retry_after_s)
            placed = self._floor.place(order, signed_us, 0 if verdict is None else verdict.hidden_us)
            if verdict is not None and (verdict.refused or verdict.silent or verdict.drops):
                raise _failed(None)
            if isinstance(placed, Refused):
                raise _failed(placed)
            return self._floor.evidence(placed, ReportSource.SUBMIT)

        try:
            return await self._network.call(self._link, act)
        except (_Failed, Lost) as error:
            return _not_placed(order.client_order_id, error)

    async def cancel(self, reference: OrderReference) -> Evidence:
        """Ask for a cancel."""
        source, client_order_id = ReportSource.CANCEL, reference.client_order_id
        if not self._manners.looks_up_by_client_id and reference.venue_order_id is None:
            found = await self._scanner.find(reference)
            if found.venue_order_id is None:
                return replace(found, source=source)
            reference = replace(reference, venue_order_id=found.venue_order_id)

        def act() -> Evidence:
            verdict = self._floor.verdict(CallKind.CANCEL, reference.symbol)
            if verdict is not None and not verdict.acts:
                raise _failed(verdict.refused, verdict.retry_after_s)
            order = self._find(reference)
            if order is None:
                return Evidence(client_order_id, source, ReportStatus.ABSENT)
            refused = self._floor.exchange.refuses_cancel(order)
            if refused is not None:
                raise _failed(refused)
            trick = None if verdict is None else verdict.cancel_trick
            if trick is not None and trick.answer is CancelAnswer.DONE and self._manners.cancel_delay_us:
                # Such a venue never says that a cancel is done: one that lies about that is not to be lived with.
                trick = None
            before = self._floor.evidence(order, source)
            is_open = before.status is ReportStatus.OPEN
            self._floor.cancel(order, trick)
            if verdict is not None and (verdict.refused or verdict.silent or verdict.drops):
                raise _failed(None)
            if trick is not None and is_open and trick.answer is CancelAnswer.DONE:
                # What has traded on the way is said later.
                return replace(before, status=ReportStatus.CANCELLED)
            return self._floor.evidence(order, source)

        return await self._answered(client_order_id, source, act)

    async def query(self, reference: OrderReference) -> Evidence:
        """Ask what became of an order."""
        source, client_order_id = ReportSource.QUERY, reference.client_order_id
        if not self._manners.looks_up_by_client_id and reference.venue_order_id is None:
            return await self._scanner.find(reference)

        def act() -> Evidence:
            self._serve(CallKind.QUERY, reference.symbol)
            order = self._find(reference)
            if order is None:
                return Evidence(client_order_id, source, ReportStatus.ABSENT)
            return self._floor.evidence(order, source)

        return await self._answered(client_order_id, source, act)

    def _find(self, reference: OrderReference) -> Order | None:
        if reference.venue_order_id is not None:
            order = self._floor.exchange.order_of_venue_id(reference.venue_order_id)
            return None if order is None or self._floor.hides(order.request.client_order_id) else order
        return self._floor.find(reference.client_order_id)

    async def _answered(self, client_order_id: str, source: ReportSource, act: Callable[[], Evidence]) -> Evidence:
        try:
            return await self._network.call(self._link, act)
        except (_Failed, Lost) as error:
            return _no_answer(client_order_id, source, error)

    async def open_orders(self) -> list[Evidence]:
        """Return every open order."""
        return await self._ask(CallKind.ORDERS, lambda: self._visible(self._floor.exchange.open_orders()))

    async def recent_orders(self, since_us: int) -> OrderPage:
        """Return orders that changed lately."""
        return await self._ask(
            CallKind.ORDERS,
            lambda: OrderPage(tuple(self._visible(self._floor.exchange.changed_since(since_us))), is_complete=True),
        )

    def _visible(self, orders: list[Order]) -> list[Evidence]:
        floor = self._floor
        seen = [order for order in orders if not floor.hides(order.request.client_order_id)]
        return [floor.evidence(order, ReportSource.QUERY) for order in seen]

    async def fills_since(self, cursor: str) -> FillPage:
        """Return fills after ``cursor``."""

        def act() -> FillPage:
            rows = [row for row in self._floor.rows if row.fill_sequence > int(cursor or "0")][:_PAGE_ROWS]
            last = str(rows[-1].fill_sequence) if rows else cursor
            fills = tuple(
                FillEvidence(
                    client_order_id=row.client_order_id,
                    symbol=row.symbol,
                    side=row.side,
                    trade=self._floor.trade(row) if isinstance(row, Fill) else None,
                    busts=None if isinstance(row, Fill) else row.trade_id,
                    venue_order_id=row.venue_order_id,
                )
                for row in rows
            )
            return FillPage(fills, last, len(rows) < _PAGE_ROWS)

        return await self._ask(CallKind.FILLS, act)

    async def movements_since(self, cursor: str) -> MovementPage:
        """Return money that moved without an order."""

        def act() -> MovementPage:
            rows = [row for row in self._floor.movements if row.movement_sequence > int(cursor or "0")]
            last = str(rows[-1].movement_sequence) if rows else cursor
            movements = tuple(
                MovementEvidence(
                    row.movement_id, row.type, row.currency, _amount(row.amount), row.symbol, row.venue_ts_us
                )
                for row in rows
            )
            return MovementPage(movements, last, is_last=True)

        return await self._ask(CallKind.MOVEMENTS, act)

    async def account(self) -> AccountEvidence:
        """State the account."""

        def act() -> AccountEvidence:
            floor, account = self._floor, self._floor.exchange.account
            fees = self._floor.exchange.fees.at(floor.now_us())
            offsets = floor.faults.balance_offsets(floor.now_us()) if floor.faults is not None else {}
            balances = tuple(
                Balance(
                    currency=currency,
                    free=_amount(max(account.free[currency] + offsets.get(currency, 0), 0)),
                    locked=_amount(account.locked[currency]),
                )
                for currency in account.currencies()
            )
            rates = (Decimal(rate) / FEE_RATE_PER_BPS for rate in (fees.maker_rate, fees.taker_rate))
            return AccountEvidence(balances, *rates, floor.said_us)

        return await self._ask(CallKind.ACCOUNT, act)

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Yield frames from one connection until it is lost."""
        number = PROCESS.get()

        def act() -> Connection:
            refused = None if self._floor.faults is None else self._floor.faults.refuses_streams(self._floor.now_us())
            if refused is not None:
                raise _failed(refused.refused)
            connection = self._floor.connections[number] = Connection(self._loop, self._network)
            return connection

        try:
            connection = await self._network.call(self._link, act)
        except (Lost, _Failed) as error:
            raise UserStreamLost(f"not connected: {type(error).__name__}") from error
        if listening is not None:
            listening.set()
        while True:
            frame = await self._next(connection)
            if frame is None:
                raise UserStreamLost("the connection is gone")
            yield frame

    async def _next(self, connection: Connection) -> Evidence | None:
        while True:
            try:
                async with asyncio.timeout(_HEARTBEAT_S):
                    return await connection.frames.get()
            except TimeoutError:
                if self._floor.is_silent():
                    return None

    def _serve(self, kind: CallKind, symbol: str | None = None) -> None:
        verdict = self._floor.verdict(kind, symbol)
        if verdict is not None and (verdict.refused or verdict.silent or verdict.drops):
            raise _failed(verdict.refused, verdict.retry_after_s)

    async def _ask(self, kind: CallKind, act: Callable[[], T]) -> T:
        def serve() -> T:
            self._serve(kind)
            return act()

        try:
            return await self._network.call(self._link, serve)
        except _Failed as error:
            raise VenueUnavailable(str(error), error.failure, error.retry_after_us) from error
        except Lost as error:
            raise VenueUnavailable("no answer") from error


def _failed(refused: Refused | None, retry_after_s: int | None = None) -> _Failed:
    code = None if refused is None else refused.code
    return _Failed(code, None if retry_after_s is None else retry_after_s * _SECOND_US)


def _no_answer(client_order_id: str, source: ReportSource, error: _Failed | Lost) -> Evidence:
    return Evidence(
        client_order_id,
        source,
        ReportStatus.NO_ANSWER,
        reason=Reason.VENUE_UNKNOWN_OUTCOME,
        detail=str(error),
        failure=error.failure if isinstance(error, _Failed) else Failure.NO_ANSWER,
        retry_after_us=error.retry_after_us if isinstance(error, _Failed) else None,
    )


def _not_placed(client_order_id: str, error: _Failed | Lost) -> Evidence:
    source = ReportSource.SUBMIT
    is_word = isinstance(error, _Failed) and error.code not in {None, Refusal.SERVER_ERROR, Refusal.MAINTENANCE}
    if not isinstance(error, _Failed) or not is_word or error.code in _DUPLICATES:
        return _no_answer(client_order_id, source, error)
    reason = Reason.VENUE_REJECTED if error.code is None else _NOT_TAKEN.get(error.code, Reason.VENUE_REJECTED)
    return Evidence(
        client_order_id,
        source,
        ReportStatus.REJECTED,
        reason=reason,
        detail=str(error),
        failure=error.failure,
        retry_after_us=error.retry_after_us,
    )


def _amount(atoms: int) -> Decimal:
    return Decimal(atoms_text(atoms))
