"""Execution's shell against a real database and broker: nothing unsigned, unpermitted, unjournaled or twice is sent."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import nats
import pytest
from execution_platform import Platform
from execution_samples import (
    SECOND_US,
    STRANGER,
    TRUSTED,
    order_id,
    signed_approval,
    signed_permit,
    submit_of,
    trade,
)

from tollgate_chassis.exits import Exit, Restart
from tollgate_chassis.runner import Runner
from tollgate_contracts.codec import encode
from tollgate_contracts.execution import Order, Report, ReportSource, ReportStatus
from tollgate_contracts.money import ZERO
from tollgate_contracts.subjects import permit_subject
from tollgate_execution.core import ExecutionCore
from tollgate_execution.store import Fenced, Journal, JournalLost
from tollgate_execution.verification import Verifier
from tollgate_venues.adapter import UserStreamLost
from tollgate_venues.evidence import Evidence


@pytest.fixture
async def platform(database: Any, nats_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(database, nats_url, tmp_path)
    platform.arm()
    yield platform
    await platform.stop()


def filled(client_order_id: str) -> Evidence:
    return Evidence(
        client_order_id,
        ReportSource.SUBMIT,
        ReportStatus.FILLED,
        "v1",
        Decimal(2),
        (trade(1, "2", trade_id=f"trade-{client_order_id}"),),
    )


async def test_an_order_goes_its_whole_way_and_its_row_is_committed_before_the_venue_is_called(
    platform: Platform,
) -> None:
    platform.venue.answers["submit"] = filled
    rows_at_the_call: dict[str, Any] = {}

    async def look() -> None:
        rows_at_the_call.update(await platform.rows())

    platform.venue.before_answering = look
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "FILLED")
    assert rows_at_the_call[order_id(1)]["state"] == "PREPARED"
    assert rows_at_the_call[order_id(1)]["epoch"] == 1
    assert [order.quantity for order in platform.venue.submitted] == [Decimal(2)]
    # A round of reconciliation may end at any moment.
    kinds = [kind for kind in platform.kinds() if kind not in {"account", "sync"}]
    assert kinds[kinds.index("decision") :][:5] == ["decision", "order", "report", "fill", "order"]
    await _settled(platform, "FILLED")
    assert platform.core.status()["positions"] == {"BTC-USDT": "2"}


async def _settled(platform: Platform, state: str, number: int = 1) -> dict[str, Any]:
    for _ in range(500):
        row: dict[str, Any] = (await platform.rows())[order_id(number)]
        if row["answered_us"] is not None:
            assert row["state"] == state
            return row
        await asyncio.sleep(0.01)
    raise AssertionError("the row was not settled")


async def test_without_a_permit_nothing_is_sent_and_the_tape_says_so(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    platform.permits_on.clear()
    await platform.until(lambda: platform.shell.status()["permit"]["epoch"] is None)
    platform.approve()
    await platform.until(lambda: platform.state() == "REJECTED")
    assert platform.venue.submitted == []
    assert _last_order(platform).reason == "gate.no_permit"
    row = await _settled(platform, "REJECTED")
    assert row["sent_us"] is None


def _last_order(platform: Platform) -> Order:
    return [message for message in platform.messages() if isinstance(message, Order)][-1]


async def test_silence_of_risk_stops_sending_within_a_second(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    platform.permits_on.clear()
    clock = asyncio.get_running_loop().time
    began = last = clock()

    def lapsed() -> bool:
        nonlocal last
        looked = clock()
        if platform.shell.status()["permit"]["epoch"] is None:
            return True
        last = looked
        return False

    await platform.until(lapsed)
    # However late the look is that finds it gone, none later than a second has found it in force.
    assert last - began < 1.1


async def test_a_permit_of_another_kill_epoch_sends_nothing(platform: Platform) -> None:
    await platform.start()
    platform.permit_epoch = 7
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "REJECTED")
    assert platform.venue.submitted == []
    assert _last_order(platform).reason == "gate.kill_switch"


async def test_the_kill_door_holds_new_orders_and_lets_cancels_through(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    platform.approve(1)
    await platform.until(lambda: platform.state(1) == "ACKNOWLEDGED")
    platform.door.shut("ann", "test", 1)
    platform.approve(2)
    await platform.until(lambda: platform.state(2) == "REJECTED")
    assert len(platform.venue.submitted) == 1
    platform.approve(1, action="CANCEL")
    await platform.until(lambda: platform.state(1) == "CANCELLED")
    assert platform.venue.cancelled == [order_id(1)]


async def test_a_cancel_needs_no_permit_and_no_open_kill_switch(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    platform.permits_on.clear()
    platform.kill(1, engaged=True)
    platform.approve(action="CANCEL")
    await platform.until(lambda: platform.state() == "CANCELLED")


async def test_a_forged_approval_is_refused_on_the_tape_and_leaves_no_trace_elsewhere(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    signed = signed_approval(1, STRANGER)
    platform.write(platform.helper.decision(signed, id="risk:1:0", cause=1))
    await platform.until(lambda: "refusal" in platform.kinds())
    assert platform.venue.submitted == []
    assert await platform.rows() == {}


async def test_a_submit_without_answer_is_unknown_and_the_venue_s_word_ends_it(platform: Platform) -> None:
    def silent(client_order_id: str) -> Evidence:
        return Evidence(client_order_id, ReportSource.SUBMIT, ReportStatus.NO_ANSWER)

    platform.venue.answers["submit"] = silent
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "UNKNOWN")
    assert (await platform.rows())[order_id(1)]["answered_us"] is None
    await platform.venue.frames.put(filled(order_id(1)))
    await platform.until(lambda: platform.state() == "FILLED")
    await _settled(platform, "FILLED")
    assert len(platform.venue.submitted) == 1


async def test_what_the_venue_says_twice_is_on_the_tape_once(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    for _ in range(3):
        await platform.venue.frames.put(filled(order_id(1)))
    await platform.until(lambda: platform.state() == "FILLED" and platform.venue.frames.empty())
    assert platform.kinds().count("fill") == 1


_TWO_WAYS = {ReportSource.SUBMIT, ReportSource.STREAM}


async def test_what_comes_by_two_ways_at_once_is_on_the_tape_once(platform: Platform) -> None:
    """The frame is on its way to the tape when the answer to the submit says the same."""

    async def say_it_by_the_stream_too() -> None:
        await platform.venue.frames.put(filled(order_id(1)))

    platform.venue.before_answering = say_it_by_the_stream_too
    platform.venue.answers["submit"] = filled
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "FILLED" and platform.venue.frames.empty())
    # A look-up in between, on a slow machine, is another matter.
    told = [each for each in platform.messages() if isinstance(each, Report) and each.source in _TWO_WAYS]
    assert len(told) == 1


async def test_the_first_permit_of_a_process_is_awaited_and_no_other(platform: Platform) -> None:
    platform.permits_on.clear()
    await platform.start()
    platform.permits_on.clear()
    platform.approve()
    await platform.until(lambda: platform.state() == "SUBMITTING")
    platform.permits_on.set()
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")


async def test_a_user_stream_that_was_lost_is_taken_up_again_and_every_open_order_asked_after(
    platform: Platform,
) -> None:
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    stranger = Evidence(order_id(99), ReportSource.QUERY, ReportStatus.OPEN, "v99", ZERO)
    platform.venue.open = [stranger]
    await platform.venue.frames.put(UserStreamLost("closed"))
    await platform.until(lambda: platform.venue.streams == 2 and order_id(1) in platform.venue.queried)
    await platform.until(lambda: "reconcile" in platform.kinds())
    assert platform.shell.not_ready() == []


async def test_configuration_and_account_are_on_the_tape_before_anything_else_of_ours(platform: Platform) -> None:
    await platform.start()
    ours = [message.kind for message in platform.messages() if message.writer == "execution"]
    assert ours[:2] == ["config", "account"]
    await platform.kill_9()
    await platform.start()
    await platform.until(platform.shell._configured.is_set)
    assert platform.kinds().count("config") == 1


async def test_who_lost_the_lease_sends_nothing_more_and_ends(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    newer = await Journal.connect(platform.database.dsn("tollgate_execution"), "main")
    await newer.take_lease("a second instance")
    platform.approve()
    assert platform.process is not None
    with pytest.raises(Fenced) as caught:
        await asyncio.wait_for(asyncio.shield(platform.process), 5)
    assert caught.value.code is Exit.RESTART
    assert platform.venue.submitted == []
    await newer.close()


async def test_a_database_that_goes_away_ends_the_process_before_anything_is_sent(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    running = platform.shell._running
    assert running is not None
    await running.journal.close()
    platform.approve()
    assert platform.process is not None
    with pytest.raises(JournalLost):
        await asyncio.wait_for(asyncio.shield(platform.process), 5)
    assert platform.venue.submitted == []


async def test_killed_before_the_row_was_committed_the_order_is_sent_once_after_the_restart(
    platform: Platform,
) -> None:
    """The approval still holds, the journal proves that nothing left, and the first permit is awaited."""
    platform.venue.answers["submit"] = filled
    await platform.start()
    running = platform.shell._running
    assert running is not None
    # The process hangs right before its commit, and is killed there.
    await running.journal._turn.acquire()
    platform.approve()
    await platform.until(lambda: platform.state() == "SUBMITTING")
    await platform.kill_9()
    assert await platform.rows() == {}
    await platform.start()
    await platform.until(lambda: platform.state() == "FILLED")
    assert len(platform.venue.submitted) == 1
    assert (await platform.rows())[order_id(1)]["epoch"] == 2


async def restore_the_journal(platform: Platform) -> None:
    """Do to the journal what a restore from an old backup does: rows are gone, and the mark says so."""
    root = await platform.database.connect("postgres")
    await root.execute("DELETE FROM execution.journal")
    await root.execute("INSERT INTO execution.restored VALUES ('main', 1)")
    await root.close()


async def is_doubted(platform: Platform) -> bool:
    root = await platform.database.connect("postgres")
    count = await root.fetchval("SELECT count(*) FROM execution.restored")
    await root.close()
    return bool(count)


@pytest.mark.parametrize("lives_s", [2, 60])
async def test_sent_before_an_old_journal_was_restored_the_venue_is_asked_and_nothing_is_sent_again(
    platform: Platform, lives_s: float
) -> None:
    """On the tape it is SUBMITTING and the journal has no row of it: whether its approval still holds or not."""
    hang = asyncio.Event()
    platform.venue.before_answering = hang.wait
    await platform.start()
    await platform.has_permit()
    platform.approve(expires_us=_now_us() + int(lives_s * SECOND_US))
    await platform.until(lambda: platform.venue.submitted and platform.state() == "SUBMITTING")
    await platform.kill_9()
    await restore_the_journal(platform)
    await asyncio.sleep(lives_s if lives_s < 60 else 0)
    await platform.start()
    await platform.until(lambda: order_id(1) in platform.venue.queried)
    await platform.until(lambda: platform.shell._started().reconciliation.is_complete)
    # Nothing is known of it yet, and nothing is said of it: the next process doubts its journal as well.
    assert platform.state() == "SUBMITTING"
    assert await is_doubted(platform)
    await platform.kill_9()
    platform.venue.answers["query"] = filled_by_look_up
    await platform.start()
    await platform.until(lambda: platform.state() == "FILLED")
    while await is_doubted(platform):
        await asyncio.sleep(0.05)
    assert len(platform.venue.submitted) == 1


def filled_by_look_up(client_order_id: str) -> Evidence:
    """Answer a look-up as a venue does that has taken and filled the order."""
    trades = (trade(1, "2"),)
    return Evidence(client_order_id, ReportSource.QUERY, ReportStatus.FILLED, "v1", Decimal(2), trades)


async def test_killed_before_its_step_the_order_is_planned_and_sent_after_the_restart(platform: Platform) -> None:
    """The decision lies on the tape and nobody has read it."""
    platform.venue.answers["submit"] = filled
    await platform.start()
    await platform.kill_9()
    platform.approve()
    await platform.start()
    await platform.until(lambda: platform.state() == "FILLED")
    assert len(platform.venue.submitted) == 1


async def test_killed_before_the_row_and_found_too_late_the_order_is_said_to_be_never_sent(platform: Platform) -> None:
    await platform.start()
    running = platform.shell._running
    assert running is not None
    # The process hangs right before its commit, and is killed there.
    await running.journal._turn.acquire()
    platform.approve(expires_us=_now_us() + SECOND_US // 2)
    await platform.until(lambda: platform.state() == "SUBMITTING")
    await platform.kill_9()
    await asyncio.sleep(0.6)
    await platform.start()
    await platform.until(lambda: platform.state() == "REJECTED")
    assert _last_order(platform).reason == "approval.expired"
    assert platform.venue.submitted == []
    assert await platform.rows() == {}


def _now_us() -> int:
    return time.time_ns() // 1_000


@pytest.mark.parametrize("arrived", [True, False])
async def test_killed_between_the_commit_and_the_answer_the_venue_is_asked_and_nothing_is_sent_again(
    platform: Platform, arrived: bool
) -> None:
    hang = asyncio.Event()
    platform.venue.before_answering = hang.wait
    await platform.start()
    await platform.has_permit()
    platform.approve(expires_us=_now_us() + SECOND_US)
    await platform.until(lambda: platform.venue.submitted)
    await platform.kill_9()
    status = ReportStatus.FILLED if arrived else ReportStatus.ABSENT
    trades = (trade(1, "2"),) if arrived else ()

    def found(client_order_id: str) -> Evidence:
        count = Decimal(2) if arrived else None
        return Evidence(client_order_id, ReportSource.QUERY, status, "v1" if arrived else None, count, trades)

    platform.venue.answers["query"] = found
    await platform.start()
    if arrived:
        await platform.until(lambda: platform.state() == "FILLED")
        await _settled(platform, "FILLED")
    else:
        # Absence proves nothing while the submit could still arrive.
        await platform.until(lambda: platform.venue.queried)
        assert platform.state() == "SUBMITTING"
    assert len(platform.venue.submitted) == 1


async def test_killed_after_the_answer_was_on_the_tape_the_row_is_settled_from_it(platform: Platform) -> None:
    platform.venue.answers["submit"] = filled
    await platform.start()
    running = platform.shell._running
    assert running is not None
    # The write-behind never gets its turn.
    await running.journal._behind_turn.acquire()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.state() == "FILLED")
    await platform.kill_9()
    assert (await platform.rows())[order_id(1)]["answered_us"] is None
    await platform.start()
    await _settled(platform, "FILLED")
    assert platform.kinds().count("fill") == 1
    assert len(platform.venue.submitted) == 1


async def test_a_replay_of_the_tape_writes_every_caused_message_again_byte_for_byte(platform: Platform) -> None:
    platform.venue.answers["submit"] = filled
    await platform.start()
    await platform.has_permit()
    # A first round under way would ask the mute venue about each, or never end.
    await platform.until(lambda: platform.shell.not_ready() == [])
    for number in range(1, 21):
        platform.approve(number, side="BUY" if number % 3 else "SELL")
    await platform.until(lambda: platform.core.status()["orders"].get("FILLED") == 20)
    core = ExecutionCore(Verifier(TRUSTED).approval)
    regenerated: dict[str, bytes] = {}
    for sequence, message in enumerate(platform.messages(), 1):
        regenerated.update({output.id: encode(output) for output in core.step(sequence, message).outputs})
    recorded = {
        record.message_id: record.data
        for record, message in zip(platform.tape._records, platform.messages(), strict=True)
        if message.writer == "execution" and message.cause is not None
    }
    assert regenerated == recorded
    assert len(recorded) >= 60


async def test_a_forged_permit_on_the_broker_opens_nothing(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    platform.permits_on.clear()
    await platform.until(lambda: platform.shell.status()["permit"]["epoch"] is None)
    client = await nats.connect(platform.settings.nats_url)
    for body in (signed_permit(10**6, _now_us(), STRANGER), b"not a permit"):
        await client.publish(permit_subject("main"), body)
    await client.flush()
    await client.close()
    platform.approve()
    await platform.until(lambda: platform.state() == "REJECTED")
    assert platform.venue.submitted == []


async def test_a_cancel_that_comes_too_late_is_not_sent_and_the_order_works_on(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    hang = asyncio.Event()
    platform.venue.before_answering = hang.wait
    platform.approve()
    await platform.until(lambda: platform.venue.submitted)
    # The cancel waits behind the submit, and its approval runs out there.
    platform.approve(action="CANCEL", expires_us=_now_us() + SECOND_US // 5)
    await platform.until(lambda: platform.state() == "CANCELLING")
    await asyncio.sleep(0.25)
    hang.set()
    await platform.until(lambda: platform.state() == "ACKNOWLEDGED")
    assert platform.venue.cancelled == []


async def test_an_order_that_the_journal_has_already_is_asked_about_and_not_sent(platform: Platform) -> None:
    """The tape's memory was lost and the journal's was not."""
    await platform.start()
    await platform.has_permit()
    running = platform.shell._running
    assert running is not None
    await running.journal.prepare(submit_of(signed_approval(1), "risk:of:old"))
    platform.approve()
    await platform.until(lambda: order_id(1) in platform.venue.queried)
    assert platform.venue.submitted == []


async def test_a_row_of_an_order_that_the_tape_does_not_know_is_taken_back_with_its_trades(platform: Platform) -> None:
    def found(client_order_id: str) -> Evidence:
        return Evidence(client_order_id, ReportSource.QUERY, ReportStatus.CANCELLED, "v1", Decimal(1), (trade(1, "1"),))

    platform.venue.answers["query"] = found
    await platform.start()
    running = platform.shell._running
    assert running is not None
    await running.journal.prepare(submit_of(signed_approval(1), "risk:of:old"))
    await platform.kill_9()
    await platform.start()
    await platform.until(lambda: platform.state() == "CANCELLED")
    await _settled(platform, "CANCELLED")
    assert platform.kinds().count("adoption") == platform.kinds().count("fill") == 1


async def test_a_permit_connection_that_is_gone_ends_the_process(platform: Platform) -> None:
    await platform.start()
    await platform.shell._broker.stop()
    assert platform.process is not None
    with pytest.raises(Restart, match="permits"):
        await asyncio.wait_for(asyncio.shield(platform.process), 8)


async def test_a_venue_that_does_not_answer_keeps_the_service_unready_and_nothing_opens(platform: Platform) -> None:
    platform.venue.account_fails = 3
    await platform.start()
    assert platform.venue.account_fails == 0
    assert platform.core.portfolio is not None
    assert platform.core.portfolio.cash == Decimal(100_000)


async def test_a_database_that_comes_later_is_waited_for_and_the_kill_door_works_meanwhile(platform: Platform) -> None:
    good = platform.database
    platform.database = replace(good, name="not_yet_there")
    starting = asyncio.create_task(platform.start())
    await platform.until(lambda: platform.process is not None)
    await asyncio.sleep(0.3)
    assert not platform.runner.live.is_set()
    platform.door.shut("ann", "no database", 1)
    platform.shell._connect_journal = partial(Journal.connect, good.dsn("tollgate_execution"), "main")
    await starting
    assert platform.shell.status()["kill_door"]["engaged"] is True


async def test_stopping_lets_a_call_under_way_reach_the_tape(platform: Platform) -> None:
    hang = asyncio.Event()
    platform.venue.before_answering = hang.wait
    platform.venue.answers["submit"] = filled
    await platform.start()
    await platform.has_permit()
    platform.approve()
    await platform.until(lambda: platform.venue.submitted)
    platform.runner.stop()
    assert platform.process is not None
    await asyncio.gather(platform.process, return_exceptions=True)
    stopping = asyncio.create_task(platform.shell.stop())
    hang.set()
    await stopping
    assert "report" in platform.kinds()


async def test_an_operator_s_call_goes_onto_the_tape_under_execution_s_name(platform: Platform) -> None:
    await platform.start()
    call = {"token": "kill", "remote": "", "method": "PUT", "path": "/v1/kill-switch", "status": 200}
    platform.trail.note(**call, actor="ann", reason="runaway", detail="")
    await platform.until(lambda: "operator_call" in platform.kinds())
    assert [m.writer for m in platform.messages() if m.kind == "operator_call"] == ["execution"]


async def test_an_instance_that_may_not_be_the_active_one_sends_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was away: until the tape has said that nobody took its place, the permit in its hand is not its to use."""
    await platform.start()
    await platform.has_permit()
    monkeypatch.setattr(platform.runner, "vouches", lambda _monotonic_us: False)
    platform.approve()
    await platform.until(lambda: platform.state() == "REJECTED")
    assert platform.venue.submitted == []
    assert _last_order(platform).reason == "gate.no_permit"


async def test_the_door_shut_at_an_instance_that_stands_by_makes_it_the_active_one(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Runner] = []

    def take_over(runner: Runner) -> None:
        told.append(runner)

    monkeypatch.setattr(Runner, "take_over", take_over)
    await platform.start()
    platform.door.shut("ann", "risk is silent", 1)
    assert told == [platform.runner]
