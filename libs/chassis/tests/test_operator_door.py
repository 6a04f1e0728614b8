"""The operators' door: who is let in and how often, what is answered, and that every call is on the tape."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, Query, Request

from tollgate_chassis import operator_door, operator_trail
from tollgate_chassis.operator_door import (
    BURST,
    REFUSALS_BURST,
    Bucket,
    Command,
    OperatorDoor,
    Refused,
    Stops,
    need_reason,
    read_command,
)
from tollgate_chassis.operator_trail import WAITING_MAX, OperatorTrail
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens, TokenList, TokenScope, mint
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.tape import MemoryTape, TapeUnavailable
from tollgate_chassis.telemetry.metrics import operators as metrics
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import decode
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.risk import OperatorCall

MINTED = {scope.value: mint(f"{scope}-token", (scope,), time.time_ns() // 1_000, 30) for scope in TokenScope}
BEARERS = {scope: {"Authorization": f"Bearer {text}"} for scope, (_, text) in MINTED.items()}
# In place of the module in the door alone: the event loop goes by the same clock.
STOPPED_CLOCK = SimpleNamespace(monotonic=lambda: 1_000.0, time_ns=time.time_ns)
METHODS = {"GET": "read", "PUT": "kill", "DELETE": "release", "PATCH": "limits"}


class DeafCore:
    """Knows nothing and says nothing."""

    def step(self, sequence: int, message: Message) -> Step:
        return NOTHING

    def snapshot(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        assert state == {}


class MortalTape(MemoryTape):
    """Takes nothing more once it is dead."""

    dead = False

    async def append(self, *arguments: Any, **named: Any) -> int:
        if self.dead:
            raise TapeUnavailable("the broker is gone")
        return await super().append(*arguments, **named)


class Desk:
    """A door with four routes behind it, and perhaps a tape."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = directory / TOKENS_FILE
        path.write_text(TokenList(tokens=tuple(entry for entry, _ in MINTED.values())).model_dump_json())
        path.chmod(0o600)
        self.tape = MortalTape()
        self.trail = OperatorTrail("risk", "main", "r1", directory)
        door = OperatorDoor(OperatorTokens.open(path, time.time_ns() // 1_000), self.trail)
        self.app = FastAPI()
        self.app.include_router(routes(door))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://door")

    @asynccontextmanager
    async def on_tape(self) -> AsyncIterator[Runner]:
        mark = HighWaterMark(self.directory)
        runner = Runner(
            Identity("risk", "main", "r1"), DeafCore(), Shell(), self.tape, FileSnapshots(self.directory), mark,
            Tracing("risk", "r1", None),
        )  # fmt: skip
        self.trail.attach(runner)
        reading = asyncio.create_task(runner.run())
        writing = asyncio.create_task(self.trail.run())
        await asyncio.wait_for(runner.live.wait(), 5)
        try:
            yield runner
        finally:
            runner.stop()
            await reading
            writing.cancel()
            with suppress(asyncio.CancelledError, TapeUnavailable):
                await writing
            mark.close()

    async def call(self, method: str, path: str = "/v1/thing", scope: str | None = None, **more: Any) -> httpx.Response:
        headers = BEARERS[METHODS[method] if scope is None else scope] if scope != "" else {}
        return await self.client.request(method, path, headers=headers, **more)

    async def calls(self, count: int) -> list[OperatorCall]:
        """Return the calls on the tape, once there are ``count``."""
        for _ in range(500):
            records = await self.tape.read(1, 10_000)
            if len(records) >= count:
                break
            await asyncio.sleep(0.01)
        found = [decode(record.data) for record in records]
        assert all(isinstance(message, OperatorCall) for message in found)
        return found  # type: ignore[return-value]


def routes(door: OperatorDoor) -> Any:
    router = door.router()

    @router.get("/thing")
    async def look(limit: Annotated[int, Query(le=5)] = 1) -> dict[str, int]:
        return {"limit": limit}

    @router.put("/thing")
    async def stop(request: Request) -> dict[str, str]:
        request.state.note = "stopped"
        return {"stopped": request.state.access.name}

    @router.delete("/thing")
    async def release(request: Request) -> dict[str, str]:
        command = await read_command(request, Command)
        need_reason(command)
        if command.reason == "not clean":
            raise Refused(409, "it stays", ("one", "two"))
        return {"by": command.actor}

    @router.patch("/thing")
    async def change(request: Request) -> dict[str, str]:
        raise RuntimeError("a defect")

    return router


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.parametrize("scope", ["", *METHODS.values()])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_each_method_needs_its_own_scope(desk: Desk, method: str, scope: str):
    answer = await desk.call(method, scope=scope, **({"json": {"reason": "r"}} if method == "DELETE" else {}))
    expected = 401 if not scope else 200 if METHODS[method] == scope else 403
    assert answer.status_code == expected
    if expected == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert all(text not in answer.text for _, text in MINTED.values())
    assert answer.headers["Cache-Control"] == "no-store"


async def test_every_outcome_is_on_the_tape_with_who_from_where_what_and_why(desk: Desk):
    """In the order of the calls; no token in any of it."""
    async with desk.on_tape():
        await desk.call("GET", "/v1/thing?limit=2")
        await desk.call("GET", "/v1/thing?limit=9")
        await desk.call("GET", scope="")
        await desk.call("GET", scope="kill")
        await desk.call("PUT")
        await desk.call("DELETE", json={"actor": "ann", "reason": "all clear"})
        await desk.call("DELETE", json={"actor": "ann", "reason": "not clean"})
        await desk.call("DELETE", json={"actor": "ann"})
        with pytest.raises(RuntimeError):
            await desk.call("PATCH")
        await desk.call("GET", f"/v1/thing?token={MINTED['read'][1]}")
        calls = await desk.calls(10)
    seen = [(c.method, c.path, c.token, c.status, c.actor, c.reason) for c in calls]
    assert seen == [
        ("GET", "/v1/thing?limit=2", "read-token", 200, "", ""),
        ("GET", "/v1/thing?limit=9", "read-token", 422, "", ""),
        ("GET", "/v1/thing", "", 401, "", ""),
        ("GET", "/v1/thing", "kill-token", 403, "", ""),
        ("PUT", "/v1/thing", "kill-token", 200, "", ""),
        ("DELETE", "/v1/thing", "release-token", 200, "ann", "all clear"),
        ("DELETE", "/v1/thing", "release-token", 409, "ann", "not clean"),
        ("DELETE", "/v1/thing", "release-token", 422, "ann", ""),
        ("PATCH", "/v1/thing", "limits-token", 500, "", ""),
        ("GET", "/v1/thing?token=tgt_[redacted]", "read-token", 200, "", ""),
    ]
    assert calls[1].detail == "query.limit: Input should be less than or equal to 5"
    assert (calls[4].detail, calls[6].detail) == ("stopped", "it stays; one; two")
    assert {c.remote for c in calls} == {"127.0.0.1"}
    times = [c.ts_us for c in calls]
    assert times == sorted(set(times))
    assert [c.id for c in calls] == [f"risk:operator-call:r1.{at}" for at in times]
    assert "tgt_" not in json.dumps([c.model_dump(mode="json") for c in calls]).replace("tgt_[redacted]", "")


async def test_a_token_in_words_is_taken_out_of_them(desk: Desk):
    async with desk.on_tape():
        text = MINTED["release"][1]
        await desk.call(
            "DELETE", json={"actor": f"me {text}", "reason": text + "\ud800".encode("utf-8", "replace").decode()}
        )
        (call,) = await desk.calls(1)
    assert (call.actor, call.reason) == ("me tgt_[redacted]", "tgt_[redacted]?")


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        pytest.param(b"{", 422, "body: Invalid JSON", id="cut off"),
        pytest.param(b'{"who":"x"}', 422, "who: Extra inputs", id="an unknown key"),
        pytest.param(b'{"actor":1,"reason":"r"}', 422, "actor: Input should be a valid string", id="no text"),
        pytest.param(b'{"reason":"' + b"x" * 501 + b'"}', 422, "reason: String should have at most", id="too long"),
        pytest.param(b"x" * (operator_door.BODY_BYTES_MAX + 1), 413, "at most 16384 bytes", id="too much"),
        pytest.param(b"", 422, "a reason is needed", id="nothing"),
    ],
)
async def test_a_body_is_bounded_and_checked(desk: Desk, body: bytes, status: int, said: str):
    answer = await desk.call("DELETE", content=body)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


async def test_a_body_that_does_not_come_is_not_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(operator_door, "BODY_S", 0.02)

    async def endless() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    assert (await desk.call("DELETE", content=endless())).status_code == 408


async def test_one_token_may_call_only_so_often_and_another_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Beyond the burst it is told when to come again; the clock of the bucket is the only one that counts."""
    now_s = 1_000.0
    monkeypatch.setattr(operator_door, "time", SimpleNamespace(monotonic=lambda: now_s, time_ns=time.time_ns))
    statuses = [(await desk.call("GET")).status_code for _ in range(BURST + 1)]
    assert statuses == [200] * BURST + [429]
    refused = await desk.call("GET")
    assert refused.headers["Retry-After"] == "1"
    assert (await desk.call("DELETE", json={"reason": "r"})).status_code == 200
    now_s += 1 / operator_door.RATE_PER_S
    assert [(await desk.call("GET")).status_code for _ in range(2)] == [200, 429]


async def test_stopping_is_never_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(operator_door, "time", STOPPED_CLOCK)
    assert {(await desk.call("PUT")).status_code for _ in range(BURST * 3)} == {200}


async def test_a_flood_of_strangers_does_not_flood_the_tape(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Some are on record, the rest is counted; who has a token is served all the while."""
    monkeypatch.setattr(operator_door, "time", STOPPED_CLOCK)
    before = metrics.OPERATOR_CALLS_UNRECORDED.labels("flood")._value.get()
    async with desk.on_tape():
        statuses = [(await desk.call("GET", scope="")).status_code for _ in range(REFUSALS_BURST + 20)]
        assert statuses == [401] * REFUSALS_BURST + [429] * 20
        assert (await desk.call("GET")).status_code == 200
        assert (await desk.call("PUT")).status_code == 200
        calls = await desk.calls(REFUSALS_BURST + 2)
    assert [call.status for call in calls] == [401] * REFUSALS_BURST + [200, 200]
    assert metrics.OPERATOR_CALLS_UNRECORDED.labels("flood")._value.get() == before + 20


async def test_without_a_tape_calls_wait_for_it_and_then_are_refused_but_the_stop(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    """What cannot be put on record is not done; stopping is done, logged and counted all the same."""
    monkeypatch.setattr(operator_trail, "WAITING_MAX", 3)
    assert [(await desk.call("GET")).status_code for _ in range(4)] == [200, 200, 200, 503]
    answer = await desk.call("GET")
    assert "cannot be put on record" in answer.json()["detail"]
    before = metrics.OPERATOR_CALLS_UNRECORDED.labels("no_room")._value.get()
    assert [(await desk.call("PUT")).status_code for _ in range(2)] == [200, 200]
    assert metrics.OPERATOR_CALLS_UNRECORDED.labels("no_room")._value.get() == before + 2
    async with desk.on_tape():
        assert [call.method for call in await desk.calls(3)] == ["GET"] * 3
        assert (await desk.call("GET")).status_code == 200


async def test_room_is_kept_for_calls_that_are_under_way(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    """Many at once do not get past the bound that each alone would have met."""
    monkeypatch.setattr(operator_trail, "WAITING_MAX", 3)
    answers = await asyncio.gather(*(desk.call("GET") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] * 3 + [503] * 7


async def test_the_stop_does_not_wait_for_a_tape_that_hangs(desk: Desk):
    async with desk.on_tape() as runner:
        turn = runner._writer._turn
        async with turn:
            began = time.monotonic()
            for _ in range(5):
                assert (await desk.call("PUT")).status_code == 200
            assert time.monotonic() - began < 1
        assert len(await desk.calls(5)) == 5


async def test_calls_that_the_tape_did_not_take_are_taken_up_by_the_next_process(tmp_path: Path):
    """Once each, in their order, with the same ids; and the file is empty afterwards."""
    first = Desk(tmp_path)
    async with first.on_tape():
        await first.call("PUT")
        await first.calls(1)
        first.tape.dead = True
        await first.call("GET")
        await first.call("DELETE", json={"actor": "ann", "reason": "r"})
        await asyncio.sleep(0.05)
    second = Desk(tmp_path)
    second.tape = first.tape
    second.tape.dead = False
    await second.call("GET")
    async with second.on_tape():
        calls = await second.calls(4)
        for _ in range(100):
            if not (tmp_path / "operator-calls.jsonl").read_bytes():
                break
            await asyncio.sleep(0.01)
    assert [(call.method, call.actor) for call in calls] == [("PUT", ""), ("GET", ""), ("DELETE", "ann"), ("GET", "")]
    assert (tmp_path / "operator-calls.jsonl").read_bytes() == b""


async def test_a_line_that_was_cut_off_in_the_writing_hides_no_other(tmp_path: Path):
    desk = Desk(tmp_path)
    await desk.call("GET")
    path = tmp_path / "operator-calls.jsonl"
    path.write_bytes(path.read_bytes() + b'{"writer":"ri')
    again = Desk(tmp_path)
    async with again.on_tape():
        assert [call.method for call in await again.calls(1)] == ["GET"]


async def test_a_disk_that_takes_nothing_any_more_does_not_end_the_process(desk: Desk, monkeypatch):
    """The file of calls cannot be emptied: that is told, and the next call is served and goes onto the tape."""

    def refuse(*_: object) -> None:
        raise OSError("read-only file system")

    monkeypatch.setattr(operator_trail.os, "truncate", refuse)
    async with desk.on_tape():
        for number in (1, 2):
            assert (await desk.call("GET")).status_code == 200
            assert len(await desk.calls(number)) == number


def test_calls_of_an_earlier_process_that_cannot_be_read_are_told(tmp_path: Path, capsys: Any):
    """A file that is not there is nothing; one that is there and refuses is a loss, and said to be one."""
    assert OperatorTrail("risk", "main", "r1", tmp_path)._waiting == deque()
    assert "operator.unrecorded" not in capsys.readouterr().out
    (tmp_path / "operator-calls.jsonl").mkdir()
    OperatorTrail("risk", "main", "r1", tmp_path)
    assert "unreadable" in capsys.readouterr().out


async def test_without_a_disk_calls_are_served_and_go_onto_the_tape(desk: Desk):
    desk.trail._path = desk.directory / "not" / "there"
    async with desk.on_tape():
        assert (await desk.call("GET")).status_code == 200
        assert len(await desk.calls(1)) == 1


def test_a_bucket_fills_by_its_rate_and_no_further_than_its_burst():
    bucket = Bucket(10, 2)
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(100.0999), bucket.take(100.11), bucket.take(100.12)] == [False, True, False]
    assert [bucket.take(200.0) for _ in range(3)] == [True, True, False]
    assert not bucket.take(150.0), "a clock that steps back fills nothing"


def request_with(entry: Any) -> Request:
    request = Request({"type": "http"})
    request.state.access = operator_door.Access(entry, None)
    return request


def test_what_is_older_does_not_undo_what_is_newer_and_nobody_undoes_their_own():
    """Between the beginning of a release and its end another stop may have come."""
    stops = Stops()
    killer, releaser = request_with(MINTED["kill"][0]), request_with(MINTED["release"][0])
    stops.note(killer)
    count = stops.count
    stops.check_release(releaser, count)
    stops.note(killer)
    with pytest.raises(Refused, match="a newer order to stop"):
        stops.check_release(releaser, count)
    with pytest.raises(Refused, match="a release needs a second one"):
        stops.check_release(killer, stops.count)
    stops.note_release(count)
    with pytest.raises(Refused, match="a release needs a second one"):
        stops.check_release(killer, stops.count)
    stops.note_release(stops.count)
    stops.check_release(killer, stops.count)


@pytest.mark.parametrize("scheme", [lambda text: text, lambda text: f"bearer {text}", lambda text: f"Bearer  {text}"])
async def test_the_header_is_taken_to_the_letter(desk: Desk, scheme: Callable[[str], str]):
    answer = await desk.client.get("/v1/thing", headers={"Authorization": scheme(MINTED["read"][1])})
    assert answer.status_code == 401


def test_the_record_waits_for_as_much_as_the_bound_says(tmp_path: Path):
    trail = OperatorTrail("execution", "main", "r1", tmp_path)
    assert [trail.promise() for _ in range(WAITING_MAX + 1)] == [True] * WAITING_MAX + [False]
    trail.take_back()
    assert trail.promise()
