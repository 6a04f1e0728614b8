"""The kill switch: it stops at once, holds over everything, and is released by the operator and the tape together."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from risk_operators import BEARERS, TOKENS, new_app
from risk_switching import DeadTape, put, running

from tollgate_chassis import operator_door
from tollgate_chassis.runner import Runner
from tollgate_chassis.tape import MemoryTape, TapeUnavailable
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.risk import KillLevel, KillSwitch
from tollgate_contracts.subjects import tape_subject
from tollgate_risk import kill_switch as kill_switch_module
from tollgate_risk.core import RiskCore
from tollgate_risk.kill_latch import KillLatch, Order
from tollgate_risk.kill_switch import KillSwitchControl

WHY = {"actor": "ann", "reason": "drill"}


@dataclass
class Gate:
    """A gate with its kill switch, its routes, and perhaps a tape."""

    core: RiskCore
    control: KillSwitchControl
    client: httpx.AsyncClient
    runner: Runner | None
    ended: "asyncio.Task[None] | None"

    async def put(self, **arguments: Any) -> dict[str, Any]:
        answer = await self.client.put("/v1/kill-switch", headers=BEARERS["kill"], **arguments)
        assert answer.status_code == 200
        return answer.json()

    async def delete(self, headers: dict[str, str] = BEARERS["release"], **arguments: Any) -> httpx.Response:
        return await self.client.request("DELETE", "/v1/kill-switch", headers=headers, **arguments)


@pytest.fixture
def tape() -> DeadTape:
    tape = DeadTape()
    clock = Clock(id="marketdata:simulated:0.1", desk="main", run_id="r1", ts_us=1, cause=None, cycle_id=1)
    put(tape, clock)
    return tape


@pytest.fixture
def gate(tmp_path: Path, tape: DeadTape) -> Callable[..., Any]:
    @asynccontextmanager
    async def run(*, on_tape: bool = True) -> AsyncIterator[Gate]:
        core = RiskCore()
        latch = KillLatch(tmp_path)
        latch.load()
        control = KillSwitchControl(core, latch)
        transport = httpx.ASGITransport(app=new_app(core, control, tmp_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://risk") as client:
            if not on_tape:
                yield Gate(core, control, client, None, None)
                return
            async with running(tmp_path, tape, core, control) as (runner, task):
                yield Gate(core, control, client, runner, task)

    return run


async def switches(tape: MemoryTape) -> list[tuple[str, bool, int, str, str]]:
    messages = [decode(record.data) for record in await tape.read(1, 1_000)]
    return [(m.id, m.engaged, m.epoch, m.actor, m.reason) for m in messages if isinstance(m, KillSwitch)]


async def test_a_put_without_a_body_stops_trading_and_is_on_the_tape(gate, tape):
    """``curl -X PUT`` and nothing else."""
    async with gate() as risk:
        answer = await risk.put()
        assert (answer["engaged"], answer["epoch"], answer["on_tape"], answer["on_disk"]) == (True, 1, True, True)
        assert risk.core.state.kill.engaged
    assert await switches(tape) == [("risk:operator:1-engaged", True, 1, "kill", "")]


async def test_engaging_again_changes_nothing(gate, tape):
    """Idempotent: one epoch, one message, and the first word of why when the second says nothing."""
    async with gate() as risk:
        await risk.put(json=WHY)
        answer = await risk.put()
        assert (answer["epoch"], answer["actor"], answer["on_tape"]) == (1, "ann", True)
        answers = await asyncio.gather(*(risk.put() for _ in range(5)))
        assert all(answer["on_tape"] for answer in answers)
    assert await switches(tape) == [("risk:operator:1-engaged", True, 1, "ann", "drill")]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        pytest.param(b"{", "body: ", id="truncated"),
        pytest.param(b'{"actor": 1}', "actor: ", id="wrong type"),
        pytest.param(b'{"who": "ann"}', "who: ", id="unknown key"),
        pytest.param(b"x" * (operator_door.BODY_BYTES_MAX + 1), "at most 16384 bytes", id="too large"),
    ],
)
async def test_a_broken_body_stops_trading_all_the_same(gate, body, said):
    """Whoever sends it means to stop; the note says what was wrong with the words."""
    async with gate() as risk:
        answer = await risk.put(content=body)
        assert (answer["engaged"], answer["on_tape"]) == (True, True)
        assert said in answer["note"]


async def test_a_body_that_never_ends_does_not_hold_up_the_stop(gate, monkeypatch):
    """The latch is engaged before the first byte of the body is waited for."""
    monkeypatch.setattr(operator_door, "BODY_S", 0.05)

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    async with gate() as risk:
        answer = await risk.put(content=endless())
        assert (answer["engaged"], answer["on_tape"]) == (True, True)
        assert "did not come in time" in answer["note"]


async def test_release_and_engage_again_raises_the_epoch(gate, tape):
    """The epoch counts engagements; a release keeps it, so that approvals from before stay void."""
    async with gate() as risk:
        await risk.put()
        answer = await risk.delete(json={"reason": "all clear"})
        assert (answer.status_code, answer.json()["engaged"], answer.json()["epoch"]) == (200, False, 1)
        assert not risk.control.is_engaged
        assert (await risk.put())["epoch"] == 2
    assert [(identity, engaged) for identity, engaged, *_ in await switches(tape)] == [
        ("risk:operator:1-engaged", True),
        ("risk:operator:1-released", False),
        ("risk:operator:2-engaged", True),
    ]


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        pytest.param({}, {"reason": "r"}, 401, id="no token"),
        pytest.param({"Authorization": "Bearer wrong"}, {"reason": "r"}, 401, id="a wrong token"),
        pytest.param({"Authorization": TOKENS["release"]}, {"reason": "r"}, 401, id="no bearer"),
        pytest.param(BEARERS["kill"], {"reason": "r"}, 403, id="the token that has stopped"),
        pytest.param(BEARERS["release"], None, 422, id="no body"),
        pytest.param(BEARERS["release"], {"reason": "  "}, 422, id="no reason"),
        pytest.param(BEARERS["release"], {"reason": "x" * 501}, 422, id="too long a reason"),
    ],
)
async def test_release_needs_the_operators_token_and_a_reason(gate, headers, body, status):
    """Anybody may stop, only the operator lets go."""
    async with gate() as risk:
        await risk.put()
        answer = await risk.delete(headers=headers, json=body)
        assert answer.status_code == status
        assert TOKENS["release"] not in answer.text
        assert risk.control.is_engaged


async def test_releasing_what_is_not_engaged_changes_nothing(gate, tape):
    """Idempotent, like engaging."""
    async with gate() as risk:
        assert (await risk.delete(json={"reason": "r"})).json()["engaged"] is False
    assert await switches(tape) == []


async def test_without_a_tape_it_stops_all_the_same_and_says_so(gate, monkeypatch, tape):
    """The broker is down at start: the latch holds, and goes onto the tape when there is one."""
    monkeypatch.setattr(kill_switch_module, "ANSWER_S", 0.05)
    async with gate(on_tape=False) as risk:
        answer = await risk.put(json=WHY)
        assert (answer["engaged"], answer["on_tape"], answer["on_disk"]) == (True, False, True)
        refused = await risk.delete(json={"reason": "r"})
        assert refused.status_code == 503
        assert "stays engaged" in refused.json()["detail"]
    async with gate() as risk:
        assert risk.control.is_engaged, "from the first moment of the next start"
        while not risk.control.is_on_tape:
            await asyncio.sleep(0)
    assert await switches(tape) == [("risk:operator:1-engaged", True, 1, "ann", "drill")]


async def test_a_broker_that_dies_under_the_stop_ends_the_process_with_the_latch_engaged(gate, monkeypatch, tape):
    """The answer is 200 with ``on_tape`` false, the process starts again, and the tape hears of it then."""
    monkeypatch.setattr(kill_switch_module, "ANSWER_S", 0.05)
    async with gate() as risk:
        tape.dead = True
        answer = await risk.put()
        assert (answer["engaged"], answer["on_tape"]) == (True, False)
        with pytest.raises(TapeUnavailable):
            await risk.ended
    tape.dead = False
    async with gate() as risk:
        while not risk.control.is_on_tape:
            await asyncio.sleep(0)
    assert len(await switches(tape)) == 1


async def test_a_release_that_the_tape_does_not_take_leaves_the_switch_engaged(gate, tape):
    """503, and the next start finds the tape still saying stop."""
    async with gate() as risk:
        await risk.put()
        tape.dead = True
        answer = await risk.delete(json={"reason": "r"})
        assert answer.status_code == 503
        assert risk.control.is_engaged
    tape.dead = False
    async with gate() as risk:
        assert risk.control.is_engaged


async def test_the_switch_holds_over_a_restart(gate):
    """Latch and tape agree, and nothing is written twice."""
    async with gate() as risk:
        await risk.put(json=WHY)
    async with gate() as risk:
        assert (await risk.client.get("/v1/kill-switch", headers=BEARERS["read"])).json()["engaged"] is True
        assert (await risk.put())["epoch"] == 1


async def test_a_stop_given_before_the_tape_was_read_is_not_ended_by_a_release_of_long_ago(
    gate, tape, tmp_path, monkeypatch
):
    """A process that starts answers before it has read anything; what it is told then is newer than all on the tape."""
    monkeypatch.setattr(kill_switch_module, "ANSWER_S", 0.01)
    async with gate() as risk:
        await risk.put()
        await risk.delete(json={"reason": "r"})
    async with gate(on_tape=False) as starting:
        answer = await starting.put(json=WHY)
        assert (answer["engaged"], answer["on_tape"]) == (True, False)
    async with gate() as again:
        assert again.control.is_engaged
        async with asyncio.timeout(5):
            while not again.core.state.kill.engaged:
                await asyncio.sleep(0)
    assert (await switches(tape))[2:] == [("risk:operator:2-engaged", True, 2, "ann", "drill")]
    assert json.loads((tmp_path / "kill-switch.json").read_text())["epoch"] == 2


async def test_a_lost_latch_file_does_not_release_what_the_tape_engaged(gate, tmp_path):
    """Latch or tape, whichever says stop."""
    async with gate() as risk:
        await risk.put()
    (tmp_path / "kill-switch.json").unlink()
    async with gate() as risk:
        assert risk.control.is_engaged
        assert (await risk.delete(json={"reason": "r"})).json()["engaged"] is False


async def test_a_stop_before_a_release_is_carried_out_refuses_the_release(gate, tape):
    """The newer word counts."""
    async with gate() as risk:
        await risk.put()
        release, stop = await asyncio.gather(risk.delete(json={"reason": "r"}), risk.put())
        assert (release.status_code, stop["engaged"], stop["on_tape"]) == (503, True, True)
        assert "a newer order to stop" in release.json()["detail"]
    assert len(await switches(tape)) == 1


async def test_a_stop_while_a_release_is_on_its_way_to_the_tape_is_an_engagement_of_its_own(gate, tape):
    """The release lands, the stop that came meanwhile follows with the next epoch; nothing is permitted between."""
    async with gate() as risk:
        await risk.put()
        tape.hold = asyncio.Event()
        releasing = asyncio.create_task(risk.delete(json={"reason": "r"}))
        await tape.held.wait()
        stopping = asyncio.create_task(risk.put())
        await asyncio.sleep(0)
        tape.hold.set()
        release, stop = await asyncio.gather(releasing, stopping)
        assert release.json()["engaged"] is True
        assert (stop["engaged"], stop["on_tape"], stop["epoch"]) == (True, True, 2)
    assert [engaged for _, engaged, *_ in await switches(tape)] == [True, False, True]
    async with gate() as risk:
        assert risk.control.is_engaged


async def test_a_kill_switch_message_of_an_earlier_process_is_taken_from_the_tape(gate, tape):
    """The tape alone is enough."""
    message = KillSwitch(level=KillLevel.HALT, id="risk:operator:7-engaged", desk="main", run_id="r0",
                         ts_us=1, cause=None, cycle_id=0, engaged=True, epoch=7, actor="a", reason="")  # fmt: skip
    tape.insert(tape_subject(message), encode(message), message.id)
    async with gate() as risk:
        assert (await risk.client.get("/v1/kill-switch", headers=BEARERS["read"])).json()["epoch"] == 7


@pytest.mark.parametrize("content", ["", "{", "[]", '{"actor": "a"}', "\x00"])
def test_a_damaged_latch_file_counts_as_a_stop(tmp_path, content):
    """Fails closed."""
    (tmp_path / "kill-switch.json").write_text(content)
    latch = KillLatch(tmp_path)
    latch.load()
    assert latch.is_engaged
    assert "cannot be read" in latch.order.reason


def test_a_latch_that_cannot_be_written_holds_in_memory_and_says_so(tmp_path):
    """A full or read-only disk does not keep the desk trading."""
    (tmp_path / "state").write_text("a file where a directory should be")
    latch = KillLatch(tmp_path / "state")
    latch.engage(Order("a", "r", 1))
    assert latch.is_engaged
    assert latch.is_on_disk is False
