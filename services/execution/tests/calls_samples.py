"""A venue that answers as a test tells it to, counting what reached it, for the tests of the calls around it."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

from tollgate_chassis.clock import Clock
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.money import ZERO
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_venues.adapter import Capabilities, OrderReference, VenueOrder, VenueUnavailable
from tollgate_venues.evidence import AccountEvidence, Evidence, Failure, FillPage, MovementPage, OrderPage

SECOND_US = 1_000_000
CAPABILITIES = Capabilities(
    looks_up_by_client_id=True,
    refuses_duplicate_ids=True,
    cancels_at_once=True,
    has_post_only=True,
    has_stops=True,
    has_fill_cursor=True,
    visibility_us=0,
    receive_window_us=2 * SECOND_US,
    client_id_length_max=64,
    client_id_pattern=".*",
)
Outcome = tuple[Failure | None, int | None]
"""How a call fails, if it does, and what the venue asks to wait."""


class CountingVenue:
    """Stands where the network ends: each call takes its time, is counted, and comes out as it was told."""

    def __init__(self, clock: Clock, *, call_s: float = 0.01, capabilities: Capabilities = CAPABILITIES) -> None:
        self.capabilities = capabilities
        self.calls: Counter[str] = Counter()
        self.times_us: dict[str, list[int]] = defaultdict(list)
        self.next: dict[str, deque[Outcome]] = defaultdict(deque)
        """What becomes of the next calls; then they succeed."""
        self.always: dict[str, Outcome] = {}
        """What becomes of every call of a kind."""
        self.is_connected = False
        self._clock = clock
        self._call_s = call_s

    async def decide(self, call: str) -> Outcome:
        """Say what becomes of a call that has arrived."""
        self.calls[call] += 1
        self.times_us[call].append(self._clock.monotonic_us())
        await self._clock.sleep(self._call_s)
        planned = self.next[call]
        return planned.popleft() if planned else self.always.get(call, (None, None))

    async def connect(self) -> None:
        """Note it."""
        self.is_connected = True

    async def close(self) -> None:
        """Note it."""
        self.is_connected = False

    async def submit(self, order: VenueOrder) -> Evidence:
        """Take an order."""
        return await self._say("submit", order.client_order_id, ReportSource.SUBMIT, ReportStatus.OPEN)

    async def cancel(self, reference: OrderReference) -> Evidence:
        """Cancel an order."""
        return await self._say("cancel", reference.client_order_id, ReportSource.CANCEL, ReportStatus.CANCELLED)

    async def query(self, reference: OrderReference) -> Evidence:
        """Look an order up."""
        return await self._say("query", reference.client_order_id, ReportSource.QUERY, ReportStatus.OPEN)

    async def _say(self, call: str, client_order_id: str, source: ReportSource, usual: ReportStatus) -> Evidence:
        failure, wait_us = await self.decide(call)
        evidence = Evidence(client_order_id, source, usual, f"v-{client_order_id}", ZERO)
        if failure is None:
            return evidence
        refused = source is ReportSource.SUBMIT and failure in {Failure.RATE_LIMITED, Failure.REFUSED, Failure.BANNED}
        status = ReportStatus.REJECTED if refused else ReportStatus.NO_ANSWER
        return replace(evidence, status=status, venue_order_id=None, failure=failure, retry_after_us=wait_us)

    async def _read(self, call: str) -> None:
        failure, wait_us = await self.decide(call)
        if failure is not None:
            raise VenueUnavailable(f"{call} failed", failure, wait_us)

    async def open_orders(self) -> list[Evidence]:
        """Return no order."""
        await self._read("open_orders")
        return []

    async def recent_orders(self, since_us: int) -> OrderPage:
        """Return no order."""
        await self._read("recent_orders")
        return OrderPage((), True)

    async def fills_since(self, cursor: str) -> FillPage:
        """Return no fill."""
        await self._read("fills")
        return FillPage((), cursor, True)

    async def movements_since(self, cursor: str) -> MovementPage:
        """Return no movement."""
        await self._read("movements")
        return MovementPage((), cursor, True)

    async def account(self) -> AccountEvidence:
        """Return an empty account."""
        await self._read("account")
        return AccountEvidence((), ZERO, ZERO, self._clock.wall_us())

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Say that one order is open."""
        if listening is not None:
            listening.set()
        yield Evidence("tg1", ReportSource.STREAM, ReportStatus.OPEN)


def an_order(number: int = 1, *, reduce_only: bool = False) -> VenueOrder:
    """Return an order of 2 BTC."""
    return VenueOrder(
        client_order_id=f"tg{number:030x}",
        symbol="BTC-USDT",
        side=Side.SELL if reduce_only else Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(2),
        limit_price=Decimal(100),
        time_in_force=TimeInForce.GTC,
        post_only=False,
        reduce_only=reduce_only,
    )


def a_reference(number: int = 1, venue_order_id: str | None = None) -> OrderReference:
    """Return how the order is found."""
    return OrderReference(f"tg{number:030x}", "BTC-USDT", venue_order_id, 0)
