"""Sending under the venue's limits and failures, with the whole of execution around it: what leaves, and how often."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from calls_samples import SECOND_US
from execution_platform import Platform, _now_us
from execution_samples import order_id, trade
from protection_samples import PROTECTED

from tollgate_contracts.execution import Order, Report, ReportSource, ReportStatus
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Reason
from tollgate_contracts.safety import Breaker, BreakerState, EndpointGroup
from tollgate_execution.core.protection import stop_id
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.evidence import Evidence, Failure

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


@pytest.fixture
async def platform(database: Any, nats_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(database, nats_url, tmp_path)
    # Rounds of reconciliation are the probes of a breaker: often enough for a test.
    section = platform.settings.execution
    section = section.model_copy(update={"sync": section.sync.model_copy(update={"interval_ms": 200})})
    platform.settings = platform.settings.model_copy(update={"execution": section})
    platform.arm()
    yield platform
    await platform.stop()


def refuse(platform: Platform, times: int, failure: Failure, retry_after_us: int | None) -> None:
    """Let the venue refuse the next submits, and take the one after them."""
    left = iter(range(times))

    def say(client_order_id: str) -> Evidence:
        if next(left, None) is None:
            return Evidence(client_order_id, ReportSource.SUBMIT, ReportStatus.OPEN, "v1", ZERO)
        reason = Reason.VENUE_RATE_LIMITED
        status = ReportStatus.NO_ANSWER if failure is Failure.NO_ANSWER else ReportStatus.REJECTED
        said = {"reason": reason, "detail": "slower", "failure": failure, "retry_after_us": retry_after_us}
        return Evidence(client_order_id, ReportSource.SUBMIT, status, **said)

    platform.venue.answers["submit"] = say


def last_order(platform: Platform) -> Order:
    """Return the last order message on the tape."""
    return [message for message in platform.messages() if isinstance(message, Order)][-1]


def breakers(platform: Platform, group: EndpointGroup) -> list[tuple[BreakerState, BreakerState]]:
    """Return the moves of a breaker on the tape."""
    said = [message for message in platform.messages() if isinstance(message, Breaker) and message.group is group]
    return [(message.from_state, message.to_state) for message in said]


async def test_an_order_refused_for_speed_alone_is_sent_again_with_the_same_id_after_the_wait(platform: Platform):
    refuse(platform, 2, Failure.RATE_LIMITED, SECOND_US // 4)
    await platform.start()
    await platform.has_permit()
    began_us = _now_us()
    platform.approve()
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    assert _now_us() - began_us >= SECOND_US // 2
    assert [order.client_order_id for order in platform.venue.submitted] == [order_id(1)] * 3
    assert list(await platform.rows()) == [order_id(1)]
    reports = [message for message in platform.messages() if isinstance(message, Report)]
    assert {report.status for report in reports if report.source is ReportSource.SUBMIT} == {ReportStatus.OPEN}


async def test_an_order_refused_for_speed_is_sent_a_few_times_and_then_is_rejected(platform: Platform):
    refuse(platform, 100, Failure.RATE_LIMITED, 0)
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "REJECTED")
    assert last_order(platform).reason is Reason.VENUE_RATE_LIMITED
    assert len(platform.venue.submitted) == 3


async def test_the_last_checks_are_made_again_before_each_sending(platform: Platform):
    """The kill door is shut while the order waits; that it was refused by the venue is still what the tape says."""
    refuse(platform, 1, Failure.RATE_LIMITED, SECOND_US // 2)
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.venue.submitted)
    platform.door.shut("ann", "test", 1)
    await platform.until(lambda: platform.state() == "REJECTED")
    assert len(platform.venue.submitted) == 1
    report = [message for message in platform.messages() if isinstance(message, Report)][-1]
    assert report.status is ReportStatus.REJECTED
    assert report.reason is Reason.VENUE_RATE_LIMITED
    assert report.detail == "slower; not sent again: gate.kill_switch"


async def test_it_is_not_waited_for_beyond_the_approval_s_expiry(platform: Platform):
    refuse(platform, 1, Failure.RATE_LIMITED, 60 * SECOND_US)
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "REJECTED")
    assert len(platform.venue.submitted) == 1
    # The next one waits no longer than it lives either, and nothing of it has left.
    platform.approve(2)
    await platform.until(lambda: platform.state(2) == "REJECTED")
    assert last_order(platform).reason is Reason.PACE_RATE
    assert len(platform.venue.submitted) == 1


async def test_an_order_that_was_not_answered_is_not_sent_again(platform: Platform):
    refuse(platform, 1, Failure.NO_ANSWER, 0)
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "UNKNOWN")
    await platform.until(lambda: platform.venue.queried)
    assert len(platform.venue.submitted) == 1


async def test_a_breaker_s_moves_are_on_the_tape_and_entries_end_while_it_is_open(platform: Platform):
    await platform.start()
    await platform.has_permit()
    platform.venue.failing["open_orders"] = VenueUnavailable("down for maintenance", Failure.MAINTENANCE)
    await platform.until(lambda: platform.shell.status()["calls"]["breakers"]["ORDERS"] == "OPEN")
    platform.approve()
    await platform.until(lambda: platform.state() == "REJECTED")
    assert last_order(platform).reason is Reason.VENUE_BREAKER_OPEN
    assert platform.venue.submitted == []
    platform.venue.failing.clear()
    await platform.until(lambda: breakers(platform, EndpointGroup.ORDERS)[-1:] == [(HALF_OPEN, CLOSED)])
    moves = breakers(platform, EndpointGroup.ORDERS)
    assert moves[:2] == [(CLOSED, OPEN), (OPEN, HALF_OPEN)]
    assert all(before[1] is after[0] for before, after in pairwise(moves))


async def test_a_process_that_starts_anew_begins_with_the_breakers_as_the_tape_has_them(platform: Platform):
    await platform.start()
    platform.venue.failing["account"] = VenueUnavailable("no such key", Failure.UNAUTHORIZED)
    await platform.until(lambda: breakers(platform, EndpointGroup.ACCOUNT) == [(CLOSED, OPEN)])
    await platform.kill_9()
    platform.venue.failing.clear()
    await platform.start()
    assert platform.core.circuits.breakers == {EndpointGroup.ACCOUNT: OPEN}
    await platform.until(lambda: breakers(platform, EndpointGroup.ACCOUNT)[-1] == (HALF_OPEN, CLOSED))
    assert breakers(platform, EndpointGroup.ACCOUNT) == [(CLOSED, OPEN), (OPEN, HALF_OPEN), (HALF_OPEN, CLOSED)]


async def test_banned_nothing_leaves_until_it_is_over(platform: Platform):
    await platform.start()
    await platform.has_permit()
    platform.venue.failing["open_orders"] = VenueUnavailable("banned", Failure.BANNED, 2 * SECOND_US)
    await platform.until(lambda: platform.shell.status()["calls"]["banned_ms"] > 0)
    calls = len(platform.venue.calls)
    platform.venue.failing.clear()
    platform.approve()
    await platform.until(lambda: platform.state() == "REJECTED")
    assert last_order(platform).reason is Reason.VENUE_RATE_LIMITED
    assert platform.venue.submitted == []
    assert len(platform.venue.calls) == calls
    await platform.until(lambda: {*platform.shell.status()["calls"]["breakers"].values()} == {"CLOSED"})


async def test_an_order_whose_end_was_said_while_it_waited_for_its_turn_gets_no_row_and_is_not_sent(platform: Platform):
    """The venue is slow, one call at a time is made, and a row written now would be open for ever."""
    platform.settings = platform.settings.model_copy(
        update={"execution": platform.settings.execution.model_copy(update={"concurrency_max": 1})}
    )
    answered = asyncio.Event()
    platform.venue.before_answering = answered.wait
    await platform.start()
    await platform.has_permit()
    platform.approve(1)
    await platform.until(lambda: platform.venue.submitted)
    platform.approve(2)
    await platform.until(lambda: platform.state(2) == "SUBMITTING")
    await platform.venue.frames.put(Evidence(order_id(2), ReportSource.STREAM, ReportStatus.REJECTED))
    await platform.until(lambda: platform.state(2) == "REJECTED")
    answered.set()
    await platform.until(lambda: platform.state(1) == "ACKNOWLEDGED")
    platform.approve(3)
    await platform.until(lambda: platform.state(3) == "ACKNOWLEDGED")
    assert list(await platform.rows()) == [order_id(1), order_id(3)]
    assert [order.client_order_id for order in platform.venue.submitted] == [order_id(1), order_id(3)]


async def test_a_stop_that_has_waited_for_its_turn_beyond_its_time_is_not_sent_and_the_next_one_is(platform: Platform):
    """Past that time its absence counts as proof: sent all the same, it and the one after it could both sell."""
    platform.settings = platform.settings.model_copy(
        update={"execution": platform.settings.execution.model_copy(update={"concurrency_max": 1})}
    )
    turn = asyncio.Event()
    turn.set()
    platform.venue.before_answering = turn.wait
    await platform.start()
    await platform.has_permit()
    platform.instrument(InstrumentStatus.OPEN)
    platform.approve(1, expires_us=_now_us() + SECOND_US, **PROTECTED)
    await platform.until(lambda: platform.state(1) == "ACKNOWLEDGED")
    turn.clear()
    platform.approve(2)
    await platform.until(lambda: len(platform.venue.submitted) == 2)
    await platform.venue.frames.put(
        Evidence(order_id(1), ReportSource.STREAM, ReportStatus.FILLED, "v1", ZERO + 2, (trade(1, "2", fee=ZERO),))
    )
    first, second = stop_id(order_id(1), 1), stop_id(order_id(1), 2)
    await platform.until(lambda: platform.core.orders.get(first) is not None)
    until_us = platform.core.orders.get(first).placing.until_us  # type: ignore[union-attr]
    await platform.until(lambda: _now_us() > until_us)
    turn.set()
    await platform.until(lambda: any(order.client_order_id == second for order in platform.venue.submitted))
    assert [order.client_order_id for order in platform.venue.submitted] == [order_id(1), order_id(2), second]
