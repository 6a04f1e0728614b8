"""Budgets, retries and breakers against the real simulated exchange with its faults, over HTTP."""

import asyncio
import importlib.util
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import pytest
from calls_samples import SECOND_US, a_reference, an_order
from execution_venue_world import KEY, MARKET, Exchange, exchange_process

from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.safety import BreakerState, EndpointGroup
from tollgate_execution.calls import CallRules, GuardedVenue
from tollgate_execution.venues.manners import Manner
from tollgate_execution.venues.signed_calls import SignedCalls
from tollgate_execution.venues.simulated import SimulatedVenue
from tollgate_venues.adapter import OrderReference, VenueOrder, VenueUnavailable
from tollgate_venues.evidence import Evidence, Failure

# How long the adapter waits for an answer that does not come.
_TIMEOUT_S = 1.0
_numbers = count(time.time_ns())


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    """The real exchange as a process."""
    if importlib.util.find_spec("tollgate_simvenue") is None:
        pytest.skip("tollgate-simvenue is not installed here")
    with exchange_process(tmp_path_factory.mktemp("exchange"), Manner.TOLLGATE) as running:
        yield running


@dataclass
class Drill:
    """A guarded adapter, and the door by which the exchange is made to fail."""

    guarded: GuardedVenue
    door: SignedCalls

    async def plan(self, *rules: dict[str, Any]) -> None:
        """Put a plan of faults in force."""
        await self.door.call("PUT", "/sim/v1/faults", json.dumps({"seed": 1, "rules": rules}).encode())

    def order(self) -> VenueOrder:
        """Return an order that rests far from the market."""
        fields = {"symbol": MARKET.symbol, "quantity": MARKET.quantity, "limit_price": MARKET.far_price}
        return replace(an_order(next(_numbers)), **fields)

    async def until(self, condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
        """Read lists and the account, as reconciliation does, until ``condition`` holds."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.guarded.describe()
            for read in (self.guarded.open_orders, self.guarded.account):
                try:
                    await read()
                except VenueUnavailable:
                    await asyncio.sleep(0.02)
            await asyncio.sleep(0.02)


@pytest.fixture
async def drill(exchange: Exchange) -> AsyncIterator[Drill]:
    venue = SimulatedVenue(exchange.url, KEY, timeout_s=_TIMEOUT_S)
    door = SignedCalls(exchange.url, KEY, 5.0)
    yield Drill(GuardedVenue(venue, CallRules()), door)
    await door.call("DELETE", "/sim/v1/faults")
    await venue.close()
    await door.close()


def refer_to(order: VenueOrder) -> OrderReference:
    return OrderReference(order.client_order_id, order.symbol, None, 0)


async def test_maintenance_opens_the_breakers_and_they_close_by_themselves_when_it_is_over(drill: Drill):
    await drill.plan({"fault": "maintenance", "for_ms": 1_500})
    await drill.until(lambda: drill.guarded.breakers[EndpointGroup.ACCOUNT] is BreakerState.OPEN)
    evidence = await drill.guarded.submit(drill.order())
    assert (evidence.status, evidence.reason) == (ReportStatus.NOT_SENT, Reason.VENUE_BREAKER_OPEN)
    await drill.until(lambda: {*drill.guarded.breakers.values()} == {BreakerState.CLOSED})
    evidence = await drill.guarded.submit(drill.order())
    assert evidence.status is ReportStatus.OPEN


async def test_a_look_up_refused_for_speed_is_made_again_after_the_wait_that_the_venue_asks_for(drill: Drill):
    order = drill.order()
    await drill.guarded.submit(order)
    await drill.plan({"fault": "rate_limit", "calls": ["query"], "last": 1, "retry_after_s": 1})
    began = time.monotonic()
    evidence = await drill.guarded.query(refer_to(order))
    assert evidence.status is ReportStatus.OPEN
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize("fault", ["accept_then_timeout", "accept_then_drop"])
async def test_an_order_that_was_taken_without_an_answer_is_there_once(drill: Drill, fault: str):
    await drill.plan({"fault": fault, "last": 1})
    order = drill.order()
    evidence = await drill.guarded.submit(order)
    assert (evidence.status, evidence.failure) == (ReportStatus.NO_ANSWER, Failure.NO_ANSWER)
    ours = [each for each in await drill.guarded.open_orders() if each.client_order_id == order.client_order_id]
    assert len(ours) == 1
    assert (await drill.guarded.query(refer_to(order))).status is ReportStatus.OPEN


async def test_a_storm_of_refusals_is_sat_out_without_a_ban(drill: Drill):
    """Every call is refused for two seconds, and one after the twelfth is banned; four callers ask all the time."""
    await drill.plan({"fault": "rate_limit_storm", "for_ms": 2_000, "calls_max": 12, "ban_ms": 60_000})
    end = time.monotonic() + 4

    async def keep_asking() -> None:
        while time.monotonic() < end:
            await drill.guarded.query(a_reference())
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(keep_asking())
    assert drill.guarded.describe()["banned_ms"] == 0
    assert (await drill.guarded.query(a_reference())).status is ReportStatus.ABSENT


async def test_banned_nothing_is_asked_until_it_is_over(drill: Drill):
    await drill.plan({"fault": "rate_limit_storm", "for_ms": 500, "calls_max": 1, "ban_ms": 1_500})
    first, second = await asyncio.gather(
        drill.guarded.cancel(a_reference()), drill.guarded.query(a_reference()), return_exceptions=True
    )
    assert isinstance(first, Evidence)
    assert isinstance(second, Evidence)
    assert Failure.BANNED in {first.failure, second.failure}
    evidence = await drill.guarded.submit(drill.order())
    assert (evidence.status, evidence.reason) == (ReportStatus.NOT_SENT, Reason.VENUE_RATE_LIMITED)
    held = await drill.guarded.cancel(a_reference())
    assert held.detail.startswith("not asked: banned")
    assert held.retry_after_us is not None
    assert 0 < held.retry_after_us <= 3 * SECOND_US
    await drill.until(lambda: {*drill.guarded.breakers.values()} == {BreakerState.CLOSED})
    assert (await drill.guarded.submit(drill.order())).status is ReportStatus.OPEN
