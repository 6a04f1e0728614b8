"""What waits for the first round of reconciliation: an exit only for the orders, and an entry for all of it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from execution_platform import Platform, _now_us
from execution_samples import SECOND_US, order_id, signed_approval, submit_of, trade

from tollgate_contracts.execution import Order, ReportSource, ReportStatus
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Sync, SyncCause
from tollgate_execution import reconciliation, rounds
from tollgate_execution.core import Submit
from tollgate_execution.holding import Holding
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.evidence import Evidence

LOST = VenueUnavailable("the connection broke")
ENTRY, EXIT = submit_of(signed_approval(1)), submit_of(signed_approval(2))


def holding() -> Holding:
    """Return one to which the second order is an exit."""
    return Holding(lambda submit: submit is EXIT)


def ids(submits: list[Submit]) -> list[str]:
    return [submit.placing.venue_id for submit in submits]


def test_it_begins_by_holding_everything_back() -> None:
    held = holding()
    assert held.keeps(ENTRY)
    assert held.keeps(EXIT)


def test_open_to_exits_it_hands_them_over_once_and_keeps_entries() -> None:
    held = holding()
    held.keeps(ENTRY)
    held.keeps(EXIT)
    assert ids(held.open_to_exits()) == [order_id(2)]
    assert held.open_to_exits() == []
    assert held.keeps(ENTRY)
    assert not held.keeps(EXIT)


def test_open_to_everything_it_keeps_nothing_ever_again() -> None:
    held = holding()
    held.keeps(ENTRY)
    held.keeps(EXIT)
    assert ids(held.open_to_everything()) == [order_id(1), order_id(2)]
    held.open_to_exits()
    assert not held.keeps(ENTRY)
    assert held.open_to_everything() == []


def test_what_may_still_be_sent_is_not_taken_for_expired_whatever_its_approval_says() -> None:
    """A stop is good for as long as what it protects is held, long past the approval that it was signed with."""
    held = holding()
    until_us = ENTRY.placing.until_us
    stop = replace(EXIT, placing=replace(EXIT.placing, until_us=until_us + SECOND_US))
    held.keeps(ENTRY)
    held.keeps(stop)
    assert held.take_expired(until_us - 1) == []
    assert ids(held.take_expired(until_us)) == [order_id(1)]
    assert ids(held.open_to_everything()) == [order_id(2)]


@pytest.fixture
async def platform(database: Any, nats_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(database, nats_url, tmp_path)
    section = platform.settings.execution
    section = section.model_copy(update={"sync": section.sync.model_copy(update={"interval_ms": 150})})
    platform.settings = platform.settings.model_copy(update={"execution": section})
    platform.arm()
    yield platform
    await platform.stop()


async def hold_a_position(platform: Platform) -> None:
    """Have bought, and then have the process killed."""
    filled = (trade(1, "2", fee=ZERO),)
    platform.venue.answers["submit"] = lambda each: Evidence(
        each, ReportSource.SUBMIT, ReportStatus.FILLED, f"v-{each}", ZERO + 2, filled
    )
    await platform.start()
    await platform.has_permit()
    platform.approve(1)
    await platform.until(lambda: platform.state(1) == "FILLED")
    del platform.venue.answers["submit"]
    await platform.kill_9()
    platform.venue.submitted.clear()


def sell(platform: Platform, number: int) -> None:
    platform.approve(number, side="SELL", reduce_only=True, limit_price="100")


def sent(platform: Platform) -> list[str]:
    return [order.client_order_id for order in platform.venue.submitted]


@pytest.mark.parametrize("call", ["movements", "account"])
async def test_an_exit_does_not_wait_for_a_list_of_money_that_fails_and_an_entry_does(
    platform: Platform, call: str
) -> None:
    await hold_a_position(platform)
    platform.venue.failing[call] = LOST
    await platform.start()
    await platform.has_permit()
    platform.quote()
    platform.approve(3)
    sell(platform, 2)
    await platform.until(lambda: platform.state(2) == "ACKNOWLEDGED")
    # What was read of the orders is said, and that something was not: nothing counts as agreed.
    await platform.until(lambda: platform.shell.status()["reconciliation"]["failed"] == str(LOST))
    assert any("first round" in reason for reason in platform.shell.not_ready())
    assert sent(platform) == [order_id(2)]
    last = [message for message in platform.messages() if isinstance(message, Sync)][-1]
    assert (last.sync_cause, last.open_differences >= 1) == (SyncCause.START, True)
    running = platform.shell._running
    assert running is not None
    assert running.reconciliation.agreed_us() is None
    platform.venue.failing.clear()
    await platform.until(lambda: platform.shell.not_ready() == [])


async def test_an_exit_waits_for_the_venue_s_orders_but_not_for_ever(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciliation, "EXITS_WAIT_S", 1.5)
    await hold_a_position(platform)
    platform.venue.failing["open_orders"] = LOST
    await platform.start()
    await platform.has_permit()
    platform.quote()
    platform.approve(3, expires_us=_now_us() + 20 * SECOND_US)
    sell(platform, 2)
    await platform.until(lambda: platform.state(2) == "SUBMITTING")
    await asyncio.sleep(0.3)
    assert sent(platform) == []
    await platform.until(lambda: platform.state(2) == "ACKNOWLEDGED")
    assert sent(platform) == [order_id(2)]


async def test_a_reader_that_is_behind_completes_no_round(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was reported and not read back may be the order that is about to be sent."""
    monkeypatch.setattr(rounds, "_READ_BACK_S", 0.05)
    await platform.start()
    await platform.until(lambda: platform.shell.not_ready() == [])
    running = platform.shell._running
    assert running is not None
    monkeypatch.setattr(running.reconciliation._rounds, "applied", lambda: None)
    monkeypatch.setattr(type(platform.runner), "tip", property(lambda self: self.position + 1))
    await platform.until(lambda: "the reader is at" in platform.shell.status()["reconciliation"]["failed"])


async def test_an_order_that_the_venue_shows_before_it_was_sent_is_not_sent_again(platform: Platform) -> None:
    """The journal was lost or put back, and the tape asks for the order to be sent: the venue has it already."""
    platform.venue.open = [Evidence(order_id(1), ReportSource.QUERY, ReportStatus.OPEN, "v1", ZERO)]
    platform.venue.failing["fills"] = LOST
    await platform.start()
    await platform.has_permit()
    platform.approve(1)
    await platform.until(lambda: platform.state(1) == "SUBMITTING")
    platform.venue.failing.clear()
    await platform.until(lambda: platform.shell.not_ready() == [])
    await platform.until(lambda: platform.state(1) == "ACKNOWLEDGED" and platform.venue.queried)
    assert platform.venue.submitted == []
    assert await platform.rows() == {}


async def test_an_order_that_is_taken_back_while_it_waits_is_never_sent(platform: Platform) -> None:
    platform.venue.answers["cancel"] = lambda each: Evidence(each, ReportSource.CANCEL, ReportStatus.ABSENT)
    platform.venue.failing["open_orders"] = LOST
    await platform.start()
    await platform.has_permit()
    platform.approve(1)
    await platform.until(lambda: platform.state(1) == "SUBMITTING")
    platform.approve(1, action="CANCEL")
    await platform.until(lambda: platform.state(1) == "CANCELLING")
    platform.venue.failing.clear()
    await platform.until(lambda: platform.state(1) == "REJECTED")
    assert platform.venue.submitted == []
    last = [message for message in platform.messages() if isinstance(message, Order)][-1]
    assert last.reason == "approval.expired"


async def test_a_market_that_opened_again_is_left_though_the_venue_s_lists_fail(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tollgate_execution.last_look._EXITS_WAIT_US", SECOND_US)
    await hold_a_position(platform)
    await platform.start()
    await platform.has_permit()
    await platform.until(lambda: platform.shell.not_ready() == [])
    platform.venue.failing["recent_orders"] = LOST
    platform.instrument(InstrumentStatus.CANCEL_ONLY)
    platform.instrument(InstrumentStatus.OPEN)
    platform.quote()
    sell(platform, 2)
    await platform.until(lambda: platform.state(2) == "REJECTED")
    await asyncio.sleep(1.2)
    platform.approve(3)
    sell(platform, 4)
    await platform.until(lambda: platform.state(4) == "ACKNOWLEDGED" and platform.state(3) == "REJECTED")
