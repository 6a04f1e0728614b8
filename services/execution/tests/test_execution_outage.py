"""The venue goes away and comes back: for seconds, as a process, and for hours, in virtual time."""

import asyncio
import importlib.util
import json
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import execution_platform
import pytest
from execution_platform import Platform
from execution_samples import SECOND_US, TRUSTED, Desk, order_id, trade
from execution_venue_world import KEY, MARKET, exchange_process
from virtual_time import run_virtually, virtual_clock

from tollgate_chassis.clock import Clock
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.tape import MemoryTape
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import decode
from tollgate_contracts.execution import Order, ReportSource, ReportStatus
from tollgate_contracts.safety import Dependency, SafeMode
from tollgate_execution.core import Cancel, ExecutionCore, Query
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.last_look import LastLook
from tollgate_execution.permits import PermitHolder
from tollgate_execution.reports import Reporter
from tollgate_execution.safe_mode import Eyes, Lookout, SafeModeWatch
from tollgate_execution.settings import ExecutionSection, SafeModeSection, SyncSection, WatchSection
from tollgate_execution.venues.manners import Manner
from tollgate_execution.venues.signed_calls import SignedCalls
from tollgate_execution.venues.simulated import SimulatedVenue
from tollgate_execution.verification import Verifier

D = Dependency
HOUR_US = 3_600 * SECOND_US
# Far from the market, and on the grid of the exchange.
RESTING = {"symbol": MARKET.symbol, "quantity": str(MARKET.quantity), "limit_price": str(MARKET.far_price)}


@pytest.fixture
async def platform(
    database: Any, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Platform]:
    """Execution whole, against the exchange that runs as a process."""
    if importlib.util.find_spec("tollgate_simvenue") is None:
        pytest.skip("tollgate-simvenue is not installed here")
    # A breaker opens for seconds, and a busy machine takes its time.
    monkeypatch.setattr(execution_platform, "WAIT_S", 40.0)
    home = tmp_path / "exchange"
    home.mkdir()
    with exchange_process(home, Manner.TOLLGATE) as exchange:
        platform = Platform(database, nats_url, tmp_path)
        platform.venue = SimulatedVenue(exchange.url, KEY, timeout_s=1.0)  # type: ignore[assignment]
        platform.door_of_the_exchange = SignedCalls(exchange.url, KEY, 5.0)  # type: ignore[attr-defined]
        platform.arm()
        yield platform
        await platform.door_of_the_exchange.close()  # type: ignore[attr-defined]
        await platform.stop()


async def test_maintenance_of_the_venue_is_sat_out_in_safe_mode_and_left_once_a_round_agrees(
    platform: Platform,
) -> None:
    """The entry that rested is cancelled when the venue answers again, and only then is another one taken."""
    safe_mode = SafeModeSection(
        orders_ms=200, account_ms=None, stream_ms=200, market_data_ms=None, permit_ms=None, recover_ms=200, check_ms=20
    )
    section = ExecutionSection(
        safe_mode=safe_mode,
        sync=SyncSection(interval_ms=300),
        watch=WatchSection(silent_ms=200, delay_ms_max=400),
        quote_age_ms_max=None,
    )
    platform.settings = platform.settings.model_copy(update={"execution": section})
    platform.quote("3000", "3001", MARKET.symbol)
    await platform.start()
    await platform.has_permit()
    # On a busy machine the stream may come up later than safe mode allows.
    await platform.until(lambda: platform.shell.not_ready() == [] and not platform.core.safety.engaged)
    platform.approve(1, **RESTING)
    await platform.until(lambda: platform.state(1) == "ACKNOWLEDGED")
    plan = {"seed": 1, "rules": [{"fault": "maintenance", "for_ms": 3_000}]}
    await platform.door_of_the_exchange.call(  # type: ignore[attr-defined]
        "PUT", "/sim/v1/faults", json.dumps(plan).encode()
    )
    await platform.until(lambda: platform.core.safety.engaged)
    platform.approve(2, **RESTING)
    await platform.until(lambda: "refusal" in platform.kinds())
    async with asyncio.timeout(40):
        while platform.core.safety.engaged or platform.state(1) != "CANCELLED":
            _pass_time(platform)
            await asyncio.sleep(0.05)
    assert _last_reason(platform, 1) == "gate.safe_mode"
    platform.approve(3, **RESTING)
    await platform.until(lambda: platform.state(3) == "ACKNOWLEDGED")
    words = [message for message in platform.messages() if isinstance(message, SafeMode)]
    assert [word.engaged for word in words][-1] is False
    assert not {*words[0].degraded} - {D.VENUE_ORDERS, D.USER_STREAM}


def _pass_time(platform: Platform) -> None:
    platform.quote("3000", "3001", MARKET.symbol)


def _last_reason(platform: Platform, number: int) -> str | None:
    ours = order_id(number)
    last = [
        message for message in platform.messages() if isinstance(message, Order) and message.client_order_id == ours
    ]
    return last[-1].reason and last[-1].reason.value


def say(desk: Desk, *degraded: Dependency) -> list[str]:
    """Put safe mode on the tape; returns the orders that are to be cancelled."""
    step = desk.step(
        SafeMode(
            id=f"execution:simulated:safe-mode-{desk.sequence}",
            engaged=bool(degraded),
            degraded=degraded,
            detail="",
            **desk.envelope(),
        )
    )
    return [effect.client_order_id for effect in step.effects if isinstance(effect, Cancel)]


def test_hours_without_the_venue_leave_position_and_exit_and_cost_a_bounded_number_of_calls() -> None:
    """Six hours on the tape, with a position held, an exit and an entry at the venue, and nobody to ask."""
    desk = Desk()
    desk.approve(9)
    bought = trade(9, "2")
    desk.hear(ReportStatus.FILLED, ReportSource.SUBMIT, number=9, filled="2", trades=(bought,), venue_order_id="v9")
    for number, changes in ((1, {}), (2, {"side": "SELL", "reduce_only": True, "limit_price": "120"})):
        desk.approve(number, time_in_force="GTC", **changes)
        desk.hear(ReportStatus.OPEN, ReportSource.SUBMIT, number=number, filled="0", venue_order_id=f"v{number}")
    assert say(desk, D.VENUE_ORDERS, D.USER_STREAM) == [order_id(1)]
    desk.asked.clear()
    for _ in range(6 * 360):
        desk.wait(10 * SECOND_US)
    assert desk.state(1) == "CANCELLING", "it was asked for, and nobody has said what came of it"
    assert desk.state(2) == "ACKNOWLEDGED"
    assert desk.core.status()["positions"] == {"BTC-USDT": "2"}
    calls = [effect for effect in desk.asked if isinstance(effect, Cancel | Query)]
    assert 100 < len(calls) < 6 * 360 + 100, "asking on, and no faster than the watch allows"
    desk.approve(3)
    assert desk.refusals()[-1].codes[0].value == "gate.safe_mode"
    assert len(desk.notes()) <= 2, "said once, and not every time"
    # It is back: the exit has filled meanwhile, and the entry was cancelled.
    sold = trade(2, "2", "120")
    desk.hear(ReportStatus.TRADED, ReportSource.FILLS, number=2, trades=(sold,))
    desk.hear(ReportStatus.CANCELLED, ReportSource.QUERY, number=1, filled="0")
    assert (desk.state(1), desk.state(2)) == ("CANCELLED", "FILLED")
    assert say(desk) == []
    desk.approve(4)
    assert desk.state(4) == "SUBMITTING"


def test_safe_mode_over_six_hours_is_a_few_words_and_ends_only_with_a_round_that_agrees(tmp_path: Path) -> None:
    """Virtual hours: stream and orders are gone at once, come back, and the first round finds them in agreement."""

    async def outage() -> list[SafeMode]:
        clock = virtual_clock()
        began_us = clock.monotonic_us()
        gone_us, back_us = began_us + 60 * SECOND_US, began_us + 60 * SECOND_US + 6 * HOUR_US
        agreed_from_us = back_us + 90 * SECOND_US

        def is_well() -> bool:
            return not gone_us <= clock.monotonic_us() < back_us

        def agreed_us() -> int | None:
            now_us = clock.monotonic_us()
            return now_us if now_us < gone_us or now_us >= agreed_from_us else gone_us - 1

        watch, tape, runner, ends = _watch(tmp_path, clock, Eyes(is_well, clock.monotonic_us, agreed_us))
        running = asyncio.create_task(runner.run())
        await runner.live.wait()
        watching = asyncio.create_task(watch().run())
        await asyncio.sleep((agreed_from_us - began_us) / SECOND_US - 1)
        still = [decode(record.data) for record in tape._records]
        assert [message.engaged for message in still if isinstance(message, SafeMode)][-1]
        await asyncio.sleep(3_600)
        for task in (watching, running):
            task.cancel()
        await asyncio.gather(watching, running, return_exceptions=True)
        ends()
        return [message for message in map(_read, tape._records) if isinstance(message, SafeMode)]

    words = run_virtually(outage)
    both = (D.USER_STREAM, D.RECONCILIATION)
    assert [word.degraded for word in words] == [(D.USER_STREAM,), both, (D.RECONCILIATION,), ()]
    assert 6 * HOUR_US < words[-1].ts_us - words[0].ts_us < 6 * HOUR_US + 120 * SECOND_US


def _read(record: Any) -> Any:
    return decode(record.data)


class PatientTape(MemoryTape):
    """Wakes its reader when there is something to read, and not many times a second for hours."""

    async def follow(self, start: int, wakes: Any = None) -> AsyncGenerator[list[Any], None]:
        """Yield batches of records from ``start`` on."""
        position = start
        while True:
            grown = self._grown
            batch = await self.read(position, 100)
            position += len(batch)
            yield batch
            if not batch:
                await grown.wait()


def _watch(directory: Path, clock: Clock, eyes: Eyes) -> Any:
    """Return what makes the watch once live, the tape, its runner, and what closes the files."""
    tape, core, mark = PatientTape(), ExecutionCore(Verifier(TRUSTED).approval), HighWaterMark(directory)
    permits = PermitHolder("main", lambda _signed: None)
    identity, tracing = Identity("execution", "main", "test"), Tracing("execution", "test", None)
    runner = Runner(identity, core, Shell(), tape, FileSnapshots(directory), mark, tracing, clock=clock)
    reporter = Reporter("main", "test", "simulated", "main", clock.wall_us, lambda: 0)
    section = ExecutionSection()
    look = LastLook(core, runner, permits, KillDoor(directory), section.to_caps(), 100, clock)
    off = SafeModeSection(market_data_ms=None, permit_ms=None, account_ms=None, check_ms=1_000)

    def make() -> SafeModeWatch:
        lookout = Lookout(core, permits, eyes, 5 * SECOND_US, clock)
        return SafeModeWatch(core, runner, reporter, look, lookout, off, clock)

    return make, tape, runner, mark.close
