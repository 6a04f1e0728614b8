"""What the cases have in common: orders that are sure to rest or to trade, and waiting that is bounded by looks."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from decimal import Decimal

from tollgate_contracts.execution import ReportStatus, VenueTrade
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_venues.adapter import OrderReference, UserStreamLost, VenueAdapter, VenueOrder
from tollgate_venues.conformance.verdict import expect, expect_equal
from tollgate_venues.conformance.world import World
from tollgate_venues.evidence import Evidence, FillPage, MovementPage

FINAL = frozenset({ReportStatus.FILLED, ReportStatus.CANCELLED, ReportStatus.EXPIRED, ReportStatus.REJECTED})
# What a venue has taken is visible, and what it was asked to cancel has ended, within this many looks.
_LOOKS, _LOOK_S = 250, 0.02
# More pages than any test account has.
_PAGES_MAX = 1_000


class Heard:
    """What a user stream has brought so far, and how it ended."""

    def __init__(self) -> None:
        self.evidence: list[Evidence] = []
        self.lost: UserStreamLost | None = None

    def of(self, client_order_id: str) -> list[Evidence]:
        """Return what was said of one order, in order."""
        return [each for each in self.evidence if each.client_order_id == client_order_id]

    def trades(self, client_order_id: str) -> tuple[VenueTrade, ...]:
        """Return the trades of one order, in order, as often as they came."""
        return tuple(trade for each in self.of(client_order_id) for trade in each.trades)


class Bench:
    """One adapter in one world."""

    def __init__(self, venue: VenueAdapter, world: World) -> None:
        self.venue = venue
        self.world = world
        self._began_us = time.time_ns() // 1_000
        self._to_cancel: list[OrderReference] = []

    def resting(self) -> VenueOrder:
        """Return a limit order far from the market, under an id of its own."""
        market = self.world.market
        return VenueOrder(
            client_order_id=self.world.new_id(),
            symbol=market.symbol,
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            quantity=market.quantity,
            limit_price=market.far_price,
            time_in_force=TimeInForce.GTC,
            post_only=False,
            reduce_only=False,
        )

    def taking(self) -> VenueOrder:
        """Return an immediate order that trades in full."""
        crossing = self.world.market.crossing_price
        return replace(self.resting(), limit_price=crossing, time_in_force=TimeInForce.IOC)

    def named(self, order: VenueOrder, evidence: Evidence | None = None) -> OrderReference:
        """Return what is known of an order: with the venue's own id only where ``evidence`` has it."""
        venue_order_id = None if evidence is None else evidence.venue_order_id
        return OrderReference(order.client_order_id, order.symbol, venue_order_id, self._began_us)

    async def place(self, order: VenueOrder) -> Evidence:
        """Submit an order that must be taken and stay open."""
        evidence = await self.venue.submit(order)
        self._to_cancel.append(self.named(order, evidence))
        expect_equal(evidence.status, ReportStatus.OPEN, f"status of a resting order ({evidence.detail})")
        return evidence

    async def fill(self) -> tuple[VenueOrder, Evidence]:
        """Submit an order that trades in full, and return it with how it ended."""
        order = self.taking()
        ended = await self.ended(self.named(order, await self.venue.submit(order)))
        expect_equal(ended.status, ReportStatus.FILLED, f"status of a taking order ({ended.detail})")
        return order, ended

    async def ended(self, reference: OrderReference) -> Evidence:
        """Return an order once the venue says that it is over."""
        return await self.until(reference, lambda evidence: evidence.status in FINAL)

    async def until(self, reference: OrderReference, is_so: Callable[[Evidence], bool]) -> Evidence:
        """Look an order up until it stands as expected; raises ``NotConformant`` when it never does."""
        evidence = await self.venue.query(reference)
        for _ in range(_LOOKS):
            if is_so(evidence):
                break
            await asyncio.sleep(_LOOK_S)
            evidence = await self.venue.query(reference)
        expect(is_so(evidence), f"{reference.client_order_id} stays as it is: {evidence}")
        return evidence

    async def quote_and_base(self) -> tuple[Decimal, Decimal]:
        """Return all that the account has of the market's quote and base currency, free and locked."""
        total = {each.currency: each.free + each.locked for each in (await self.venue.account()).balances}
        market = self.world.market
        return total.get(market.quote, Decimal(0)), total.get(market.base, Decimal(0))

    async def end_of_fills(self) -> str:
        """Return the cursor behind the last fill there is."""
        cursor = ""
        for _ in range(_PAGES_MAX):
            page: FillPage = await self.venue.fills_since(cursor)
            if page.is_last:
                return page.cursor
            expect(page.cursor != cursor, "a page of fills that is not the last moves the cursor")
            cursor = page.cursor
        raise AssertionError(f"more than {_PAGES_MAX} pages of fills")

    async def end_of_movements(self) -> str:
        """Return the cursor behind the last movement there is."""
        cursor = ""
        for _ in range(_PAGES_MAX):
            page: MovementPage = await self.venue.movements_since(cursor)
            if page.is_last:
                return page.cursor
            expect(page.cursor != cursor, "a page of movements that is not the last moves the cursor")
            cursor = page.cursor
        raise AssertionError(f"more than {_PAGES_MAX} pages of movements")

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Heard]:
        """Listen to the user stream from when the venue has accepted us until the end of the block."""
        heard, accepted = Heard(), asyncio.Event()
        listener = asyncio.create_task(self._listen(heard, accepted))
        waiter = asyncio.create_task(accepted.wait())
        try:
            await asyncio.wait({listener, waiter}, timeout=_LOOKS * _LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            expect(accepted.is_set(), f"the user stream was not accepted: {heard.lost}")
            yield heard
        finally:
            for task in (listener, waiter):
                task.cancel()
            await asyncio.gather(listener, waiter, return_exceptions=True)

    async def _listen(self, heard: Heard, accepted: asyncio.Event) -> None:
        try:
            async for evidence in self.venue.user_stream(accepted):
                heard.evidence.append(evidence)
        except UserStreamLost as error:
            heard.lost = error

    async def tidy(self) -> None:
        """Cancel what was placed to rest, so that the next case finds no more than it has placed."""
        for reference in self._to_cancel:
            await self.venue.cancel(reference)


async def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait until something has come; raises ``NotConformant`` when it never does."""
    for _ in range(_LOOKS):
        if is_so():
            return
        await asyncio.sleep(_LOOK_S)
    expect(is_so(), f"never came: {what}")
