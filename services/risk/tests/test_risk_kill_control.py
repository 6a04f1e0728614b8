"""The kill switch's level: raised and never lowered, kept over a restart, released only when venue and gate agree."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from risk_switching import DeadTape, put, running

from tollgate_contracts.codec import decode
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import OrderState
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.risk import KillLevel, KillSwitch
from tollgate_contracts.strategy import Side
from tollgate_risk.core import RiskCore
from tollgate_risk.kill_latch import KillLatch, Order
from tollgate_risk.kill_switch import KillSwitchControl, NotClean

HALT, CANCEL, FLATTEN = KillLevel
ORDER_ID = "tg" + "a" * 30


@dataclass
class Gate:
    """A gate with its kill switch on a tape."""

    core: RiskCore
    control: KillSwitchControl
    tape: DeadTape

    async def has_read_all(self) -> None:
        """Wait until the tape's end was read."""
        async with asyncio.timeout(5):
            while self.control._applied_sequence < self.tape.tip:
                await asyncio.sleep(0)

    async def stop(self, level: KillLevel = HALT, actor: str = "ann", reason: str = "drill") -> dict[str, Any]:
        """Engage as the route does."""
        self.control.stop_now()
        assert await self.control.engage(actor, reason, level)
        return self.control.describe()


@pytest.fixture
def tape(desk: Any) -> DeadTape:
    """Return a tape on which the desk is open: a policy, 1,000 USDT and 2 BTC at 100."""
    desk.now_us = time.time_ns() // 1_000
    desk.policy()
    desk.account(USDT="1000", BTC="2")
    desk.instrument("BTC-USDT")
    desk.quote("BTC-USDT")
    tape = DeadTape()
    for message in desk.taped:
        put(tape, message)
    return tape


@pytest.fixture
def gate(tmp_path: Path, tape: DeadTape) -> Callable[..., Any]:
    @asynccontextmanager
    async def run() -> AsyncIterator[Gate]:
        core = RiskCore()
        latch = KillLatch(tmp_path)
        latch.load()
        control = KillSwitchControl(core, latch)
        async with running(tmp_path, tape, core, control):
            gate = Gate(core, control, tape)
            await gate.has_read_all()
            yield gate

    return run


def write(gate: Gate, desk: Any, say: Callable[[], Any]) -> None:
    """Let another service say something now."""
    desk.now_us = time.time_ns() // 1_000
    before = len(desk.taped)
    say()
    for message in desk.taped[before:]:
        put(gate.tape, message)


def state_account(gate: Gate, **balances: str) -> None:
    now_us = time.time_ns() // 1_000
    held = tuple(Balance(currency=name, free=Decimal(free), locked=Decimal(0)) for name, free in balances.items())
    put(gate.tape, Account(
        id=f"execution:simulated:account-{now_us}", desk="main", run_id="r1", ts_us=now_us, cause=None, cycle_id=1,
        venue="simulated", account="main", balances=held, positions=(), maker_fee_bps=Decimal(0),
        taker_fee_bps=Decimal(0), venue_ts_us=now_us,
    ))  # fmt: skip


async def messages(tape: DeadTape, kind: type[Message]) -> list[Any]:
    read = [decode(record.data) for record in await tape.read(1, 1_000)]
    return [message for message in read if isinstance(message, kind)]


async def switches(tape: DeadTape) -> list[tuple[str, bool, KillLevel, int]]:
    return [(m.id, m.engaged, m.level, m.epoch) for m in await messages(tape, KillSwitch)]


@pytest.mark.parametrize("level", KillLevel)
async def test_it_is_engaged_at_the_level_that_was_asked_for(gate, tape, level):
    async with gate() as risk:
        answer = await risk.stop(level)
        assert (answer["engaged"], answer["level"], answer["epoch"]) == (True, level.value, 1)
    assert await switches(tape) == [("risk:operator:1-engaged", True, level, 1)]


async def test_without_a_level_it_halts(gate, tape):
    async with gate() as risk:
        await risk.control.engage("ann", "")
    assert await switches(tape) == [("risk:operator:1-engaged", True, HALT, 1)]


@pytest.mark.parametrize(
    ("first", "second", "raised"),
    [(a, b, rank_b > rank_a) for rank_a, a in enumerate(KillLevel) for rank_b, b in enumerate(KillLevel)],
)
async def test_a_higher_level_engages_anew_and_no_other_changes_anything(gate, tape, first, second, raised):
    """Idempotent at the level in force and below; above it the next epoch voids what was approved meanwhile."""
    async with gate() as risk:
        await risk.stop(first)
        answer = await risk.stop(second, actor="", reason="")
        assert answer["level"] == max(first, second, key=list(KillLevel).index).value
        assert (answer["epoch"], answer["actor"], answer["on_tape"]) == (1 + raised, "ann", True)
    expected = [("risk:operator:1-engaged", True, first, 1)]
    expected += [("risk:operator:2-engaged", True, second, 2)] if raised else []
    assert await switches(tape) == expected


async def test_a_level_raised_while_the_first_is_on_its_way_to_the_tape_is_not_lost(gate, tape):
    async with gate() as risk:
        tape.hold = asyncio.Event()
        first = asyncio.create_task(risk.stop(HALT))
        await tape.held.wait()
        second = asyncio.create_task(risk.stop(FLATTEN))
        await asyncio.sleep(0)
        tape.hold.set()
        await asyncio.gather(first, second)
    assert [(level, epoch) for _, _, level, epoch in await switches(tape)] == [(HALT, 1), (FLATTEN, 2)]


@pytest.mark.parametrize("level", KillLevel)
async def test_the_level_holds_over_a_restart_that_the_tape_has_not_heard_of(gate, tape, tmp_path, level):
    """The broker was down: the latch's file alone brings the level back."""
    latch = KillLatch(tmp_path)
    control = KillSwitchControl(RiskCore(), latch)
    control.stop_now()
    latch.explain("ann", "drill", level)
    async with gate() as risk:
        assert risk.control.level is level
        while not risk.control.is_on_tape:
            await asyncio.sleep(0)
    assert await switches(tape) == [("risk:operator:1-engaged", True, level, 1)]


def test_a_latch_file_from_before_there_were_levels_is_a_halt(tmp_path):
    (tmp_path / "kill-switch.json").write_text('{"actor": "ann", "reason": "drill", "at_us": 1}')
    latch = KillLatch(tmp_path)
    latch.load()
    assert (latch.order.actor, latch.order.level) == ("ann", HALT)


@pytest.mark.parametrize("level", ['"flatten"', "3", "null", "[]"])
def test_a_latch_file_with_a_level_that_is_none_is_a_halt_too(tmp_path, level):
    """It was an order to stop; how far is not known."""
    (tmp_path / "kill-switch.json").write_text(f'{{"actor": "a", "reason": "", "at_us": 1, "level": {level}}}')
    latch = KillLatch(tmp_path)
    latch.load()
    assert latch.order.level is HALT
    assert "cannot be read" in latch.order.reason


def test_the_file_has_the_level(tmp_path):
    latch = KillLatch(tmp_path)
    control = KillSwitchControl(RiskCore(), latch)
    control.stop_now()
    assert json.loads((tmp_path / "kill-switch.json").read_text())["level"] == "HALT"
    latch.explain("", "", FLATTEN)
    assert json.loads((tmp_path / "kill-switch.json").read_text())["level"] == "FLATTEN"
    control.stop_now()
    assert control.level is FLATTEN, "stopping again lowers nothing"


async def test_it_is_released_when_the_venue_has_stated_what_the_gate_believes(gate, tape):
    async with gate() as risk:
        answer = await risk.stop()
        assert answer["clean"] == [
            "the venue has not stated the account since the switch was engaged, with no order open"
        ]
        state_account(risk, USDT="1000", BTC="2")
        await risk.has_read_all()
        assert risk.control.describe()["clean"] == []
        await risk.control.release("bob", "all clear")
        assert risk.control.describe()["level"] is None
        assert not risk.control.is_engaged
    assert (await switches(tape))[-1] == ("risk:operator:1-released", False, HALT, 1)


async def test_it_stays_engaged_and_says_everything_that_is_in_the_way(gate, tape, desk, tmp_path):
    async with gate() as risk:
        await risk.stop(CANCEL)
        state_account(risk, USDT="999", BTC="2")
        write(risk, desk, lambda: desk.order(ORDER_ID, OrderState.ACKNOWLEDGED))
        await risk.has_read_all()
        with pytest.raises(NotClean) as refused:
            await risk.control.release("bob", "all clear")
        assert refused.value.findings == (
            f"order {ORDER_ID} in BTC-USDT is not over: ACKNOWLEDGED",
            "USDT: the venue has 999, the gate 1000",
        )
        assert list(refused.value.findings) == risk.control.describe()["clean"]
        assert risk.control.is_engaged
        assert (tmp_path / "kill-switch.json").exists(), "the latch was not touched"
    assert len(await switches(tape)) == 1


async def test_a_switch_that_is_not_on_the_tape_yet_is_not_released(gate, tape):
    """What the tape does not know it cannot have reconciled."""
    async with gate() as risk:
        risk.control.stop_now()
        with pytest.raises(NotClean, match="does not say yet"):
            await risk.control.release("bob", "all clear")
        assert risk.control.is_engaged


async def flattened(risk: Gate, desk: Any) -> None:
    """Engage at FLATTEN and let the closing order fill."""
    await risk.stop(FLATTEN)
    await risk.has_read_all()
    (order,) = risk.core.state.orders.by_id.values()
    order_id = order.client_order_id

    def fill() -> None:
        desk.fill(order_id, "2", side="SELL")
        desk.order(order_id, OrderState.FILLED, "2", "2", side=Side.SELL)

    write(risk, desk, fill)
    await risk.has_read_all()


async def test_waiting_for_flat_ends_with_the_venues_own_statement(gate, tape, desk):
    async with gate() as risk:
        await flattened(risk, desk)
        waiting = asyncio.create_task(risk.control.wait_until_flat(5))
        await asyncio.sleep(0)
        assert not waiting.done()
        state_account(risk, USDT="1200")
        flat = await waiting
        assert flat["proven"] is True
        assert flat["waits_for"] == []
        (*_, account) = await messages(tape, Account)
        assert flat["proof"] == {
            "message_id": account.id,
            "sequence": tape.tip,
            "venue_ts_us": account.venue_ts_us,
            "balances": {"USDT": "1200"},
            "dust": [],
        }
        assert risk.control.describe()["flat"] == flat


async def test_waiting_for_flat_ends_at_its_timeout_and_says_what_it_waits_for(gate, desk):
    async with gate() as risk:
        await flattened(risk, desk)
        flat = await risk.control.wait_until_flat(0.01)
        assert flat == {"proven": False, "waits_for": ["the venue has not stated the account since"], "proof": None}


@pytest.mark.parametrize("level", [HALT, CANCEL])
async def test_nobody_waits_for_flat_at_a_level_that_closes_nothing(gate, level):
    async with gate() as risk:
        await risk.stop(level)
        async with asyncio.timeout(1):
            flat = await risk.control.wait_until_flat(60)
        assert flat["waits_for"] == ["the switch is not engaged at FLATTEN"]


def released(epoch: int) -> KillSwitch:
    """Return what another instance says when it releases the switch."""
    envelope = {"desk": "main", "run_id": "r2", "ts_us": time.time_ns() // 1_000, "cause": None, "cycle_id": 0}
    words = {"actor": "ben", "reason": "over"}
    return KillSwitch(id=f"risk:operator:{epoch}-released", **envelope, engaged=False, level=HALT, epoch=epoch, **words)


async def test_a_latch_whose_order_was_released_at_another_instance_is_let_go(gate, tape, tmp_path):
    """The instance that fell with it comes back later: what a person has released since must not stop the desk."""
    async with gate() as first:
        await first.stop()
    put(tape, released(1))
    async with gate() as again:
        assert again.control.is_engaged is False
        assert not (tmp_path / "kill-switch.json").exists()


async def test_a_latch_whose_order_is_newer_than_the_release_holds_and_goes_onto_the_tape(gate, tape, tmp_path):
    """A stop that the tape has not heard of is not undone by a release that did not know of it."""
    async with gate() as first:
        await first.stop()
    latch = KillLatch(tmp_path)
    latch.load()
    latch.engage(Order("carl", "again", 1, epoch=2))
    put(tape, released(1))
    async with gate() as again:
        async with asyncio.timeout(5):
            while not again.core.state.kill.engaged:
                await asyncio.sleep(0)
        assert again.core.state.kill.epoch == 2


async def test_an_order_of_which_the_file_does_not_say_when_it_was_given_is_never_taken_for_released(
    gate, tape, tmp_path
):
    """A latch file from before there were instances, or a damaged one."""
    (tmp_path / "kill-switch.json").write_text(json.dumps({"actor": "a", "reason": "r", "at_us": 1}))
    put(tape, released(9))
    async with gate() as risk:
        assert risk.control.is_engaged


def test_an_instance_that_stands_by_lets_go_of_its_latch_as_soon_as_it_reads_the_release(desk, tmp_path):
    """Else its status and its alert would say for ever that a desk is stopped which trades."""

    class Follower:
        live = asyncio.Event()
        standby = "risk-1"

    latch = KillLatch(tmp_path)
    latch.engage(Order("ann", "drill", 1, epoch=1))
    control = KillSwitchControl(desk.core, latch)
    control.attach(Follower())
    desk.kill(engaged=True, epoch=1)
    control.note_applied(desk.sequence)
    assert control.is_engaged
    desk.kill(engaged=False, epoch=1)
    control.note_applied(desk.sequence)
    assert not control.is_engaged
    assert not (tmp_path / "kill-switch.json").exists()
