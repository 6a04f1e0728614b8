"""The adapter against the exchange's own fault plan: what the two say to each other when things go wrong."""

import importlib.util
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import httpx
import pytest
from execution_venue_world import KEY, MARKET, Between, Exchange, SimulatedWorld, exchange_process

from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_execution.venues.manners import Manner
from tollgate_execution.venues.signed_calls import SignedCalls
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.conformance.bench import Bench, wait_until
from tollgate_venues.evidence import Evidence, Failure

NO_ANSWER, REJECTED = ReportStatus.NO_ANSWER, ReportStatus.REJECTED


@pytest.fixture(scope="module", params=[Manner.TOLLGATE])
def exchange(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    if importlib.util.find_spec("tollgate_simvenue") is None:
        pytest.skip("tollgate-simvenue is not installed here")
    with exchange_process(tmp_path_factory.mktemp("faults"), request.param) as running:
        yield running


class Drill:
    """An adapter, and a hand on the exchange's fault plan."""

    def __init__(self, exchange: Exchange, bench: Bench) -> None:
        self.bench = bench
        self.url = exchange.url
        self._door = SignedCalls(exchange.url, KEY, 5.0)

    async def plan(self, *rules: dict[str, Any]) -> None:
        await self._door.call("PUT", "/sim/v1/faults", json.dumps({"rules": rules}).encode())

    async def end(self) -> None:
        await self._door.call("DELETE", "/sim/v1/faults")
        await self.bench.tidy()
        await self._door.close()


@pytest.fixture
async def drill(exchange: Exchange) -> AsyncIterator[Drill]:
    between = Between(exchange.url)
    async with between.serving() as url:
        world = SimulatedWorld(exchange, between, url)
        adapter = world.adapter()
        drill = Drill(exchange, Bench(adapter, world))
        yield drill
        await drill.end()
        await adapter.close()
        await world.close()


PLANS: list[tuple[dict[str, Any], ReportStatus, Failure, int | None]] = [
    ({"fault": "rate_limit", "retry_after_s": 2}, REJECTED, Failure.RATE_LIMITED, 2_000_000),
    ({"fault": "rate_limit"}, REJECTED, Failure.RATE_LIMITED, None),
    ({"fault": "maintenance", "for_ms": 60_000}, NO_ANSWER, Failure.MAINTENANCE, None),
    ({"fault": "server_error", "accepts": "none"}, NO_ANSWER, Failure.NO_ANSWER, None),
    ({"fault": "server_error", "accepts": "all"}, NO_ANSWER, Failure.NO_ANSWER, None),
    ({"fault": "accept_then_drop"}, NO_ANSWER, Failure.NO_ANSWER, None),
    ({"fault": "accept_then_timeout"}, NO_ANSWER, Failure.NO_ANSWER, None),
    ({"fault": "clock_skew", "skew_ms": 60_000}, REJECTED, Failure.OUT_OF_TIME, None),
    ({"fault": "clock_skew", "skew_ms": -60_000}, REJECTED, Failure.OUT_OF_TIME, None),
    ({"fault": "instrument_status", "status": "HALTED", "for_ms": 60_000}, REJECTED, Failure.REFUSED, None),
]


@pytest.mark.parametrize(("rule", "status", "failure", "retry_after_us"), PLANS, ids=lambda each: str(each)[:60])
async def test_a_fault_of_the_exchange_is_told_by_its_name(
    drill: Drill, rule: dict[str, Any], status: ReportStatus, failure: Failure, retry_after_us: int | None
) -> None:
    await drill.plan(rule)
    said = await drill.bench.venue.submit(drill.bench.resting())
    assert (said.status, said.failure, said.retry_after_us) == (status, failure, retry_after_us)


async def test_a_storm_of_refusals_becomes_a_ban_that_every_call_tells(drill: Drill) -> None:
    await drill.plan({"fault": "rate_limit_storm", "calls_max": 3, "ban_ms": 30_000, "retry_after_s": 1})
    venue = drill.bench.venue
    failures = [(await venue.submit(drill.bench.resting())).failure for _ in range(5)]
    assert failures == [Failure.RATE_LIMITED] * 3 + [Failure.BANNED] * 2
    with pytest.raises(VenueUnavailable) as unavailable:
        await venue.account()
    assert unavailable.value.failure is Failure.BANNED
    assert 0 < (unavailable.value.retry_after_us or 0) <= 30_000_000


async def test_an_order_that_is_late_to_be_seen_is_absent_until_then(drill: Drill) -> None:
    """Why absence is believed only after the venue's visibility: nothing the adapter could do would find it."""
    await drill.plan({"fault": "late_visibility", "late_ms": 500, "last": 1})
    order = drill.bench.resting()
    placed = await drill.bench.place(order)
    reference = drill.bench.named(order)
    assert (await drill.bench.venue.query(reference)).status is ReportStatus.ABSENT
    found = await drill.bench.until(reference, lambda each: each.status is ReportStatus.OPEN)
    assert found.venue_order_id == placed.venue_order_id


@pytest.mark.parametrize("exchange", [Manner.BTCTURK, Manner.COINBASE], indirect=True)
async def test_an_order_that_is_late_to_be_seen_is_found_by_a_scan_within_its_promise(drill: Drill) -> None:
    late_ms = 800
    assert late_ms * 1_000 <= drill.bench.venue.capabilities.visibility_us
    await drill.plan({"fault": "late_visibility", "late_ms": late_ms, "last": 1})
    order = drill.bench.resting()
    await drill.bench.place(order)
    assert (await drill.bench.venue.query(drill.bench.named(order))).status is ReportStatus.ABSENT
    found = await drill.bench.until(drill.bench.named(order), lambda each: each.status is ReportStatus.OPEN)
    await drill.bench.venue.cancel(drill.bench.named(order))
    ended = await drill.bench.ended(drill.bench.named(order, found))
    assert ended.status is ReportStatus.CANCELLED


@pytest.mark.parametrize("exchange", [Manner.TOLLGATE, Manner.BTCTURK], indirect=True)
async def test_a_cancel_that_loses_to_a_fill_comes_out_as_the_fill(drill: Drill) -> None:
    await drill.plan({"fault": "cancel_then_fill", "cancel_answer": "taken", "fills": "all", "late_ms": 50})
    order = drill.bench.resting()
    reference = drill.bench.named(order, await drill.bench.place(order))
    assert (await drill.bench.venue.cancel(reference)).status is ReportStatus.OPEN
    ended = await drill.bench.ended(reference)
    assert (ended.status, ended.cumulative_quantity) == (ReportStatus.FILLED, order.quantity)


FRAMES: list[tuple[dict[str, Any], bool]] = [
    ({"fault": "duplicate_frames"}, False),
    ({"fault": "delay_frames", "late_ms": 200}, False),
    ({"fault": "drop_frames"}, False),
    ({"fault": "sequence_gap", "last": 1}, True),
    ({"fault": "silent_stream", "stream": "user"}, True),
    ({"fault": "maintenance", "for_ms": 60_000}, True),
]


@pytest.mark.parametrize(("rule", "is_lost"), FRAMES, ids=lambda each: str(each)[:60])
async def test_a_stream_is_lost_for_what_can_be_seen_to_be_wrong_with_it(
    drill: Drill, rule: dict[str, Any], is_lost: bool
) -> None:
    """A frame that is dropped without a gap cannot be seen here: reconciliation is there for it."""
    async with drill.bench.listening() as heard:
        await drill.plan(rule)
        await drill.bench.venue.submit(drill.bench.taking())
        if is_lost:
            await wait_until(lambda: heard.lost is not None, "the loss")
            return
        await drill.plan()
        order = drill.bench.resting()
        await drill.bench.place(order)
        await wait_until(lambda: bool(heard.of(order.client_order_id)), "an order after the fault")
        assert heard.lost is None


async def test_a_stop_works_once_a_trade_has_printed_at_its_trigger(drill: Drill) -> None:
    """It waits with its trigger above the market, and trades as a limit order when a large order moves through it."""
    bench = drill.bench
    await bench.world.move(MARKET.quote, Decimal(10_000_000))
    async with httpx.AsyncClient(trust_env=False) as client:
        book = (await client.get(f"{drill.url}/api/v1/book/{MARKET.symbol}")).json()
    asks = [(Decimal(price), Decimal(quantity)) for price, quantity in book["asks"]]
    stop = replace(bench.resting(), limit_price=MARKET.crossing_price, trigger_price=asks[1][0])
    placed = await bench.place(stop)
    through = replace(bench.taking(), quantity=sum((quantity for _, quantity in asks), Decimal(0)))
    taken = await bench.venue.submit(replace(through, limit_price=asks[-1][0] + 100))
    assert taken.trades, taken
    ended = await bench.ended(bench.named(stop, placed))
    assert (ended.status, ended.cumulative_quantity) == (ReportStatus.FILLED, stop.quantity)


async def test_a_stop_that_the_account_cannot_pay_for_is_rejected_by_name(drill: Drill) -> None:
    crossing = MARKET.crossing_price
    stop = replace(drill.bench.resting(), quantity=MARKET.beyond_quantity, limit_price=crossing, trigger_price=crossing)
    said: Evidence = await drill.bench.venue.submit(stop)
    assert (said.status, said.reason) == (REJECTED, Reason.CASH_INSUFFICIENT)
