"""However long the venue is away, what waits for it stays small: one cancel an order, and one report an order."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from execution_platform import Platform
from execution_samples import SECOND_US, order_id

from tollgate_chassis.exits import Restart
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.safety import Breaker, BreakerState, EndpointGroup
from tollgate_execution.core import Cancel
from tollgate_execution.core.circuits import Circuits
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.lanes import Track
from tollgate_execution.sender import Sender
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.evidence import Evidence, Failure


@pytest.fixture
async def platform(database: Any, nats_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(database, nats_url, tmp_path)
    platform.arm()
    yield platform
    await platform.stop()


async def ready(platform: Platform) -> Sender:
    await platform.start()
    await platform.has_permit()
    await platform.until(lambda: platform.shell.not_ready() == [])
    running = platform.shell._running
    assert running is not None
    return running.sender


async def work(platform: Platform, number: int) -> None:
    platform.approve(number, limit_price="99")
    await platform.until(lambda: platform.state(number) == "ACKNOWLEDGED")


async def test_cancels_that_are_asked_for_while_one_waits_are_one(platform: Platform) -> None:
    """An outage of hours asks for each cancel again and again; afterwards it is asked of the venue once."""
    sender = await ready(platform)
    await work(platform, 1)
    gate = asyncio.Event()

    async def block() -> None:
        await gate.wait()

    running = platform.shell._running
    assert running is not None
    running.lanes.run(order_id(1), block, Track.ASK)
    for until_us in (1, None, 2):
        sender.carry_out(Cancel(order_id(1), Reason.ORDER_STALE, until_us), platform.messages()[-1])
    gate.set()
    # The one that is wanted for longest counts: the others were past already.
    await platform.until(lambda: platform.state(1) == "CANCELLED")
    await running.lanes.idle()
    assert platform.venue.cancelled == [order_id(1)]
    assert sender._cancels == {}


async def test_what_is_remembered_of_reports_goes_once_they_are_read_back(platform: Platform) -> None:
    sender = await ready(platform)
    for number in range(1, 9):
        await work(platform, number)
    assert len(sender._saying._under_way) <= 2


async def test_the_reader_waits_for_an_order_that_waits_for_its_turn_once_and_not_at_each_step(
    platform: Platform,
) -> None:
    sender = await ready(platform)
    running = platform.shell._running
    assert running is not None
    gate = asyncio.Event()

    async def block() -> None:
        await gate.wait()

    for number in range(100):
        running.lanes.run(f"busy {number}", block, Track.SUBMIT)
    platform.approve(1)
    await platform.until(lambda: platform.state(1) == "SUBMITTING")
    began = time.monotonic()
    for _ in range(100):
        await sender.until_written()
    assert time.monotonic() - began < 1
    gate.set()
    await platform.until(lambda: platform.state(1) == "ACKNOWLEDGED")


async def test_a_call_that_is_cancelled_from_within_ends_the_process(platform: Platform) -> None:
    """A lane that stopped without a word would leave its order in the state that it is in."""
    await ready(platform)

    def cancelled(_client_order_id: str) -> Evidence:
        raise asyncio.CancelledError

    platform.venue.answers["submit"] = cancelled
    platform.approve(1)
    assert platform.process is not None
    with pytest.raises(Restart, match="cancelled from within"):
        await asyncio.wait_for(asyncio.shield(platform.process), 5)


async def test_an_order_that_waits_for_the_venue_s_limit_does_not_leave_after_the_end_has_begun(
    platform: Platform,
) -> None:
    await ready(platform)
    said = Evidence(
        order_id(1),
        ReportSource.SUBMIT,
        ReportStatus.REJECTED,
        reason=Reason.VENUE_RATE_LIMITED,
        failure=Failure.RATE_LIMITED,
        retry_after_us=SECOND_US // 2,
    )
    platform.venue.answers["submit"] = lambda _: said
    platform.approve(1)
    await platform.until(lambda: platform.venue.submitted)
    await platform.shell.stop()
    assert len(platform.venue.submitted) == 1


async def test_a_ban_outlives_the_process_that_was_told_of_it(platform: Platform) -> None:
    await ready(platform)
    platform.venue.failing["account"] = VenueUnavailable("banned", Failure.BANNED, 600 * SECOND_US)
    running = platform.shell._running
    assert running is not None
    running.reconciliation.want_account()
    await platform.until(lambda: platform.core.circuits.banned_until_us)
    platform.venue.failing.clear()
    await platform.kill_9()
    calls, submits = len(platform.venue.calls), len(platform.venue.submitted)
    await platform.start()
    await platform.has_permit()
    await platform.until(lambda: platform.shell.status()["calls"]["banned_ms"] > 590_000)
    await asyncio.sleep(0.5)
    assert (len(platform.venue.calls), len(platform.venue.submitted)) == (calls, submits)


def test_the_latest_end_of_a_ban_counts_and_is_kept() -> None:
    circuits = Circuits()
    envelope: dict[str, Any] = {"desk": "main", "run_id": "test", "ts_us": 1, "cause": None, "cycle_id": 0}
    for number, until_us in enumerate((7, 9, None, 8)):
        states = {"from_state": BreakerState.OPEN, "to_state": BreakerState.OPEN, "detail": ""}
        circuits.on_breaker(
            Breaker(
                id=f"execution:x:{number}", group=EndpointGroup.ORDERS, banned_until_us=until_us, **states, **envelope
            )
        )
    again = Circuits()
    again.restore(circuits.snapshot())
    assert (again.banned_until_us, again.breakers) == (9, {EndpointGroup.ORDERS: BreakerState.OPEN})


def test_a_shut_door_is_on_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose name is lost with the power would be an open door."""
    synced: list[bool] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(Path(f"/proc/self/fd/{descriptor}").is_dir()))
    KillDoor(tmp_path).shut("ann", "test", 1)
    assert synced == [False, True]
