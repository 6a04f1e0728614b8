"""Who may do what at the gate: every route against every token, and every call of it on the tape."""

import asyncio
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from risk_operators import BEARERS, TOKENS, file_policy, new_app, new_door, new_trail, write_tokens

from tollgate_chassis import operator_trail
from tollgate_chassis.operators import TokenScope
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.tape import MemoryTape
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.risk import KillSwitch, OperatorCall, Policy, TradingMode
from tollgate_contracts.subjects import tape_subject
from tollgate_risk.core import RiskCore
from tollgate_risk.kill_latch import KillLatch
from tollgate_risk.kill_switch import KillSwitchControl
from tollgate_risk.own_policy import OwnPolicy
from tollgate_risk.policy_file import canonical_text
from tollgate_risk.tightening import PolicyControl

ROUTES = (
    ("GET", "/v1/state", "read"),
    ("GET", "/v1/limits", "read"),
    ("GET", "/v1/decisions", "read"),
    ("GET", "/v1/modes", "read"),
    ("GET", "/v1/policy", "read"),
    ("GET", "/v1/kill-switch", "read"),
    ("PUT", "/v1/kill-switch", "kill"),
    ("DELETE", "/v1/kill-switch", "release"),
    ("PATCH", "/v1/policy", "limits"),
)
BODIES = {"PATCH": {"rules": {"limits": {"order_notional": "2000"}}, "actor": "ann", "reason": "a bad night"}}
WHY = {"actor": "ann", "reason": "drill"}


class ControlShell(Shell):
    """The part of risk's shell that the routes need."""

    def __init__(self, control, policies, trail):
        self._parts = (control, policies, trail)

    async def start(self, runner):
        for part in self._parts:
            part.attach(runner)

    async def settled(self, record):
        self._parts[0].note_applied(record.sequence)
        self._parts[1].note_applied()

    async def went_live(self):
        await self._parts[1].put_in_force(self._parts[1]._runner)


class Gate:
    """A gate with all its routes, on a tape in memory or on none."""

    def __init__(self, directory, tape=None, policy=None):
        self.directory = directory
        self.tape = tape or MemoryTape()
        self.core = RiskCore()
        latch = KillLatch(directory)
        latch.load()
        self.control = KillSwitchControl(self.core, latch)
        self.own = OwnPolicy(policy or file_policy())
        self.policies = PolicyControl(self.core, self.own)
        self.trail = new_trail(directory)
        app = new_app(self.core, self.control, directory, policies=self.policies, door=new_door(directory, self.trail))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://risk")

    async def call(self, method, path, scope=None, **more):
        wanted = next(needs for verb, _, needs in ROUTES if verb == method) if scope is None else scope
        return await self.client.request(method, path, headers=BEARERS.get(wanted, {}), **more)

    async def tighten(self, rules):
        return await self.call("PATCH", "/v1/policy", json={"rules": rules, **WHY})

    async def messages(self, kind):
        found = [decode(record.data) for record in await self.tape.read(1, 10_000)]
        return [message for message in found if isinstance(message, kind)]

    async def calls(self, count):
        async def there():
            while len(calls := await self.messages(OperatorCall)) < count:
                await asyncio.sleep(0.01)
            return calls

        return await asyncio.wait_for(there(), 5)

    @asynccontextmanager
    async def live(self):
        if not self.tape.tip:
            clock = Clock(id="marketdata:simulated:0.1", desk="main", run_id="r1", ts_us=1, cause=None, cycle_id=1)
            self.tape.insert(tape_subject(clock), encode(clock), clock.id)
        shell = ControlShell(self.control, self.policies, self.trail)
        mark = HighWaterMark(self.directory)
        runner = Runner(
            Identity("risk", "main", "r1"), self.core, shell, self.tape, FileSnapshots(self.directory), mark,
            Tracing("risk", "r1", None),
        )  # fmt: skip
        await shell.start(runner)
        reading = asyncio.create_task(runner.run())
        writing = [asyncio.create_task(part.run()) for part in (self.control, self.policies, self.trail)]
        try:
            await asyncio.wait_for(runner.live.wait(), 5)
            for _ in range(500):
                if self.own.is_in_force(self.core.state) or reading.done():
                    break
                await asyncio.sleep(0.01)
            yield runner
        finally:
            runner.stop()
            await reading
            for task in writing:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            mark.close()


@pytest.fixture
def gate(tmp_path):
    return Gate(tmp_path)


@pytest.mark.parametrize("shown", ["", *(scope.value for scope in TokenScope)])
@pytest.mark.parametrize(("method", "path", "needs"), ROUTES)
async def test_every_route_refuses_every_scope_but_its_own(gate, method, path, needs, shown):
    """Of five ways to come to each of nine doors one is right."""
    before = gate.control.is_engaged
    answer = await gate.call(method, path, scope=shown, json=BODIES.get(method, WHY))
    if shown == needs:
        assert answer.status_code not in {401, 403}
        return
    assert answer.status_code == (403 if shown else 401)
    assert gate.control.is_engaged is before
    assert not any(token in answer.text for token in TOKENS.values())


async def test_every_call_is_on_the_tape_with_its_outcome(gate):
    """Who, from where, what, why and what came of it; the refused ones too."""
    async with gate.live():
        await gate.call("GET", "/v1/decisions?limit=0")
        await gate.call("GET", "/v1/state", scope="")
        await gate.call("DELETE", "/v1/kill-switch", scope="kill", json=WHY)
        await gate.call("PUT", "/v1/kill-switch", json=WHY)
        await gate.call("PATCH", "/v1/policy", json={"rules": {"limits": {"open_orders": 11}}, **WHY})
        await gate.call("PATCH", "/v1/policy", json=BODIES["PATCH"])
        await gate.call("DELETE", "/v1/kill-switch", json={"actor": "ann"})
        calls = await gate.calls(7)
    assert [(call.token, call.method, call.path, call.status) for call in calls] == [
        ("read", "GET", "/v1/decisions?limit=0", 422),
        ("", "GET", "/v1/state", 401),
        ("kill", "DELETE", "/v1/kill-switch", 403),
        ("kill", "PUT", "/v1/kill-switch", 200),
        ("limits", "PATCH", "/v1/policy", 409),
        ("limits", "PATCH", "/v1/policy", 200),
        ("release", "DELETE", "/v1/kill-switch", 422),
    ]
    assert {call.remote for call in calls} == {"127.0.0.1"}
    assert (calls[3].actor, calls[3].reason) == ("ann", "drill")
    assert "limits.open_orders: 10 -> 11" in calls[4].detail
    assert calls[5].detail == "limits.order_notional: 5000 -> 2000"
    assert not any(token in call.model_dump_json() for call in calls for token in TOKENS.values())


async def test_a_full_record_refuses_everything_but_the_stop(gate, monkeypatch):
    """No tape at all: what cannot be put on record is not done, and the desk is stopped all the same."""
    monkeypatch.setattr(operator_trail, "WAITING_MAX", 2)
    assert [(await gate.call("GET", "/v1/state")).status_code for _ in range(3)] == [200, 200, 503]
    monkeypatch.setattr("tollgate_risk.kill_switch.ANSWER_S", 0.05)
    answer = await gate.call("PUT", "/v1/kill-switch", json=WHY)
    assert (answer.status_code, answer.json()["engaged"], answer.json()["on_tape"]) == (200, True, False)
    assert (await gate.call("PATCH", "/v1/policy", json=BODIES["PATCH"])).status_code == 503
    assert gate.control.is_engaged


async def test_the_stop_needs_nothing_of_a_list_that_can_no_longer_be_read(gate, monkeypatch):
    """The last good list still stops the desk, and neither shows nor releases anything."""
    monkeypatch.setattr("tollgate_risk.kill_switch.ANSWER_S", 0.05)
    await gate.call("GET", "/v1/state")
    (gate.directory / "operator_tokens.json").write_text("{")
    assert (await gate.call("PUT", "/v1/kill-switch")).status_code == 200
    assert gate.control.is_engaged
    assert (await gate.call("GET", "/v1/state")).status_code == 503
    assert (await gate.call("DELETE", "/v1/kill-switch", json=WHY)).status_code == 503
    write_tokens(gate.directory)
    assert (await gate.call("GET", "/v1/state")).status_code == 200


async def test_a_level_in_the_body_raises_it_and_a_lower_one_changes_nothing(gate):
    """Halted before the body is read; the levels follow one another under their own epochs."""
    async with gate.live():
        assert (await gate.call("PUT", "/v1/kill-switch")).json()["level"] == "HALT"
        assert (await gate.call("PUT", "/v1/kill-switch", json={"level": "CANCEL"})).json()["level"] == "CANCEL"
        assert (await gate.call("PUT", "/v1/kill-switch", json={"level": "HALT"})).json()["level"] == "CANCEL"
        broken = (await gate.call("PUT", "/v1/kill-switch", json={"level": "MELT"})).json()
        assert (broken["level"], broken["engaged"]) == ("CANCEL", True)
        assert "level: Input should be 'HALT', 'CANCEL' or 'FLATTEN'" in broken["note"]
    switches = await gate.messages(KillSwitch)
    assert [(one.level.value, one.epoch) for one in switches] == [("HALT", 1), ("CANCEL", 2)]


async def test_waiting_for_flat_ends_in_its_time_and_says_that_it_is_not_proven(gate):
    async with gate.live():
        began = asyncio.get_running_loop().time()
        answer = await gate.call("PUT", "/v1/kill-switch", json={"level": "FLATTEN", "wait_flat_s": 1})
        assert 0.9 < asyncio.get_running_loop().time() - began < 4
        assert answer.status_code == 200
        assert answer.json()["flat"] is not None
        too_long = await gate.call("PUT", "/v1/kill-switch", json={"wait_flat_s": 61})
        assert "wait_flat_s" in too_long.json()["note"]


async def test_a_release_is_refused_with_what_stands_in_its_way(gate):
    """No account has been seen since the switch was engaged, so nobody knows whether the books agree."""
    async with gate.live():
        await gate.call("PUT", "/v1/kill-switch", json=WHY)
        answer = await gate.call("DELETE", "/v1/kill-switch", json=WHY)
        assert answer.status_code == 409
        assert answer.json()["findings"] != []
        assert gate.control.is_engaged


async def test_a_tightening_is_in_force_once_it_is_answered(gate):
    """On the tape with the hash of the file's policy, and this process goes on under it."""
    async with gate.live():
        before = gate.core.state.policy_hash
        answer = await gate.tighten({"limits": {"order_notional": "2000"}, "mode": "REDUCE_ONLY"})
        assert answer.json() == {
            "hash": gate.core.state.policy_hash,
            "changed": [
                {"knob": "mode", "old": "NORMAL", "new": "REDUCE_ONLY"},
                {"knob": "limits.order_notional", "old": "5000", "new": "2000"},
            ],
        }
        assert gate.core.state.policy.tightens == before
        assert gate.own.is_in_force(gate.core.state)
        again = await gate.tighten({"limits": {"order_notional": "1000"}})
        assert again.status_code == 200
        assert gate.core.state.policy.rules.mode == "REDUCE_ONLY"
        same = await gate.tighten({"limits": {"order_notional": "1000"}})
        assert same.json()["changed"] == []
    assert [policy.id for policy in await gate.messages(Policy)] == [f"risk:policy:{n}.0" for n in (1, 2, 3)]
    assert [gate.own.file_hash] * 2 == [decode_policy(p).tightens for p in (await gate.messages(Policy))[1:]]


def decode_policy(message):
    return type(file_policy()).model_validate_json(message.text)


@pytest.mark.parametrize(
    ("rules", "status", "said"),
    [
        pytest.param({"limits": {"order_notional": "5001"}}, 409, "limits.order_notional: 5000 -> 5001", id="looser"),
        pytest.param({"revision": 2}, 409, "revision: 1 -> 2", id="neither way"),
        pytest.param(
            {"limits": {"order_notional": "1"}, "cash": {"reserve": "1"}},
            409,
            "cash.reserve: 20000 -> 1",
            id="one of two",
        ),
        pytest.param({"limits": {"order_notionl": "1"}}, 422, "limits.order_notionl: no such key", id="misspelt"),
        pytest.param({"limits": {"order_notional": 1.5}}, 422, "limits.order_notional", id="a float"),
        pytest.param({"limits": {"order_notional": None}}, 422, "limits.order_notional", id="null"),
        pytest.param({"limits": {"gross_exposure": "1"}}, 422, "order_notional <= position_notional", id="nesting"),
        pytest.param({"universe": {"allowed": []}}, 422, "universe.allowed", id="nothing allowed"),
        pytest.param({"limits": "none"}, 422, "limits", id="no section"),
        pytest.param({}, 422, "rules", id="nothing"),
    ],
)
async def test_what_is_not_tighter_is_refused_whole(gate, rules, status, said):
    """Each knob is named, and none of the change is in force."""
    async with gate.live():
        before = gate.core.state.policy_hash
        answer = await gate.tighten(rules)
        assert answer.status_code == status
        content = answer.json()
        assert said in "; ".join((content["detail"], *content["findings"]))
        assert status != 409 or "loosening needs a restart with the new file" in content["detail"]
        assert gate.core.state.policy_hash == before
    assert len(await gate.messages(Policy)) == 1


async def test_a_tightening_needs_a_reason_and_a_tape(gate, monkeypatch):
    assert (await gate.tighten({"mode": "REDUCE_ONLY"})).status_code == 503
    async with gate.live():
        bare = await gate.call("PATCH", "/v1/policy", json={"rules": {"mode": "REDUCE_ONLY"}})
        assert bare.status_code == 422


async def test_of_two_tightenings_at_once_the_second_begins_from_the_first(gate):
    """One after the other, each read back before the next is judged; both hold in the end."""
    async with gate.live():
        answers = await asyncio.gather(
            gate.tighten({"limits": {"order_notional": "2000"}}), gate.tighten({"limits": {"open_orders": 3}})
        )
        assert [answer.status_code for answer in answers] == [200, 200]
        limits = gate.core.state.policy.rules.limits
        assert (str(limits.order_notional), limits.open_orders) == ("2000", 3)


async def test_a_tape_that_hangs_leaves_one_policy_on_its_way_and_refuses_the_next(gate, monkeypatch):
    """Two under one number would contradict each other."""
    monkeypatch.setattr("tollgate_risk.tightening.ANSWER_S", 0.1)
    async with gate.live() as runner:
        async with runner._writer._turn:
            assert (await gate.tighten({"mode": "REDUCE_ONLY"})).status_code == 503
            second = await gate.tighten({"mode": "OBSERVE_ONLY"})
            assert "on its way" in second.json()["detail"]
        while gate.core.state.policy.rules.mode != "REDUCE_ONLY":
            await asyncio.sleep(0.01)
        assert (await gate.tighten({"mode": "OBSERVE_ONLY"})).status_code == 200
    assert len(await gate.messages(Policy)) == 3


async def test_a_restart_keeps_a_tightening_and_a_changed_file_ends_it(tmp_path):
    """A crash must not loosen; a person who writes a new file may."""
    first = Gate(tmp_path / "a")
    async with first.live():
        await first.tighten({"limits": {"order_notional": "2000"}})
        tightened = first.core.state.policy_hash
    again = Gate(tmp_path / "b", first.tape)
    async with again.live():
        assert again.core.state.policy_hash == tightened == again.own.hash
        assert again.own.document.rules.limits.order_notional == 2000
        assert (await again.tighten({"limits": {"order_notional": "1500"}})).status_code == 200
    file = file_policy()
    raised = file.model_copy(update={"rules": file.rules.model_copy(update={"revision": 2})})
    changed = Gate(tmp_path / "c", first.tape, raised)
    async with changed.live():
        assert changed.core.state.policy.rules.limits.order_notional == 5000
        assert changed.core.state.policy.tightens is None
    assert len(await changed.messages(Policy)) == 4


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"tightens": "0" * 64}, id="of another file"),
        pytest.param({"account": "other"}, id="for another account"),
        pytest.param({"environment": "paper"}, id="for another environment"),
    ],
)
def test_only_a_tightening_of_exactly_this_file_is_taken_up(desk, changes):
    own = OwnPolicy(file_policy())
    good = own.tightened(own.document.rules.model_copy(update={"mode": TradingMode.REDUCE_ONLY}))
    desk.policy_text(canonical_text(good))
    assert own.take_up(desk.core.state)
    desk.policy_text(canonical_text(good.model_copy(update=changes)))
    assert not OwnPolicy(file_policy()).take_up(desk.core.state)


def test_a_looser_policy_under_the_hash_of_this_file_is_not_taken_up(desk):
    """Nobody but the gate could have written it, and it would not have."""
    own = OwnPolicy(file_policy())
    rules = own.document.rules
    looser = rules.model_copy(update={"approval_life_ms": rules.approval_life_ms + 1})
    desk.policy_text(canonical_text(own.tightened(looser)))
    assert not own.take_up(desk.core.state)


def test_a_tightening_does_not_clear_a_fault(desk):
    """A gate that has shut itself is opened by whoever mends it, with a restart."""
    own = OwnPolicy(file_policy())
    desk.policy_text(own.file_text)
    desk.fill("tg" + "0" * 30, "1")
    assert desk.core.state.fault is not None
    desk.policy_text(canonical_text(own.tightened(own.document.rules)))
    assert desk.core.state.fault is not None
    desk.policy_text(own.file_text)
    assert desk.core.state.fault is None


async def test_a_stop_at_an_instance_that_does_not_come_to_take_over_is_no_200(gate, monkeypatch):
    """Latched here, while another one goes on permitting: the caller must know where to go."""
    monkeypatch.setattr("tollgate_risk.kill_switch.ANSWER_S", 0.05)

    class StandingBy:
        """The runner's word of it; the whole of it is in the takeover's own tests."""

        standby = "host:7:other"
        live = asyncio.Event()

        def take_over(self):
            self.asked = True

    runner = StandingBy()
    gate.control.attach(runner)
    answer = await gate.call("PUT", "/v1/kill-switch", json=WHY)
    assert answer.status_code == 503
    assert "host:7:other is still active" in answer.json()["detail"]
    assert (gate.control.is_engaged, runner.asked) == (True, True)
