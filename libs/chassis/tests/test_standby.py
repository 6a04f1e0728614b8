"""Several instances of one service on a real broker: one is active, the others stand by, and one of them takes over."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import RePublish, StreamConfig

from tollgate_chassis import clock as clocks
from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.runner import Identity, OutputDiffers, Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.standby import Standby, instance_name
from tollgate_chassis.state_lock import state_lock
from tollgate_chassis.tape import LostRace, NatsTape, NotActive, Superseded
from tollgate_chassis.tape.writer import Writer
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_chassis.turn import AWAY_US_MAX
from tollgate_contracts.codec import decode
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.ledger import Drift
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.tenure import Tenure

IDENTITY = Identity("ledger", "main", "r1")
DEADLINE_S = 20


class CountingCore:
    """Answers every clock with some messages that tell how many clocks there were."""

    def __init__(self, answers: int = 2) -> None:
        self._answers = answers
        self.clocks = 0

    def step(self, sequence: int, message: Message) -> Step:
        if not isinstance(message, Clock):
            return NOTHING
        self.clocks += 1
        return Step(tuple(self._drift(message, sequence, index) for index in range(self._answers)))

    def _drift(self, message: Message, sequence: int, index: int) -> Drift:
        count = Decimal(self.clocks)
        return Drift.caused_by(message, sequence, index, currency="USDT", books=count, venue=count, difference=count)

    def snapshot(self) -> dict[str, Any]:
        return {"clocks": self.clocks}

    def restore(self, state: dict[str, Any]) -> None:
        self.clocks = state["clocks"]


class Killed(Exception):
    """The process is gone."""


class Instance:
    """One instance of the service, run as the chassis runs it."""

    def __init__(self, tape: NatsTape, directory: Path, core: CountingCore, *, follows: bool = True) -> None:
        self.tape = tape
        self.core = core
        self.standby = Standby(tape.client, IDENTITY, instance_name(), follows=follows)
        self.runner = Runner(
            IDENTITY,
            core,
            Shell(),
            tape,
            FileSnapshots(directory),
            HighWaterMark(directory),
            Tracing("ledger", "r1", None),
            snapshot_every=4,
            standby=self.standby,
        )
        self.ended: asyncio.Task[None] = asyncio.create_task(self._run())

    async def _run(self) -> None:
        works = {
            asyncio.create_task(self.runner.run()),
            asyncio.create_task(self.standby.run(lambda: self.runner.position, self.runner.prove)),
        }
        try:
            done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            for work in done:
                work.result()
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)
            # As the kernel does for a process that is gone.
            await self.tape.close()

    @property
    def is_live(self) -> bool:
        # One that was killed is dead, though its task may have some steps to go.
        return self.runner.live.is_set() and not self.ended.done() and not self.ended.cancelling()

    def kill(self) -> None:
        self.ended.cancel()

    async def why_it_ended(self) -> BaseException | None:
        await asyncio.wait({self.ended}, timeout=DEADLINE_S)
        return self.ended.exception()

    async def finish(self) -> None:
        self.ended.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self.ended


class Desk:
    """The tape, its other writer, and as many instances as a test starts."""

    def __init__(self, url: str, directory: Path, tape: NatsTape) -> None:
        self.tape = tape
        self._url = url
        self._directory = directory
        self._clock = Writer(tape, "main", "marketdata")
        self._cycle = 0
        self.started: list[Instance] = []

    async def start(self, core: CountingCore | None = None, *, follows: bool = True, state: str = "") -> Instance:
        tape = await NatsTape.connect(self._url, None, "main", "ledger")
        directory = self._directory / (state or f"state-{len(self.started)}")
        self.started.append(Instance(tape, directory, core or CountingCore(), follows=follows))
        return self.started[-1]

    async def clocks(self, count: int) -> None:
        for _ in range(count):
            self._cycle += 1
            message = Clock(
                id=f"marketdata:simulated:0.{self._cycle}", desk="main", run_id="r1", ts_us=self._cycle, cause=None,
                cycle_id=self._cycle,
            )  # fmt: skip
            await self._clock.append(message)

    async def messages(self, kind: type) -> list[Any]:
        records = []
        while batch := await self.tape.read(len(records) + 1, 256):
            records += batch
        return [message for record in records if isinstance(message := decode(record.data), kind)]

    async def assert_each_clock_was_answered_once(self) -> None:
        async def all_answered() -> bool:
            return len(await self.messages(Drift)) >= 2 * self._cycle

        await until(all_answered)
        said = [(drift.books, int(drift.id[-1])) for drift in await self.messages(Drift)]
        assert said == [(Decimal(cycle), index) for cycle in range(1, self._cycle + 1) for index in range(2)]

    async def active(self) -> Instance:
        """Return the one instance that is active."""

        async def one_is_live() -> list[Instance]:
            return [each for each in self.started if each.is_live]

        (active,) = await until(one_is_live)
        return active


async def until(look: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while not (seen := await look()):
            await asyncio.sleep(0.01)
        return seen


async def standing_by(instance: Instance, active: Instance) -> None:
    async def does() -> bool:
        caught_up = instance.runner.position >= active.runner.position
        return instance.runner.standby == active.standby.instance and caught_up

    await until(does)


@asynccontextmanager
async def desk_on(url: str, directory: Path) -> AsyncIterator[Desk]:
    client = await nats.connect(url)
    republish = RePublish(src="tape.main.>", dest="live.main.>")
    await client.jetstream().add_stream(
        StreamConfig(name="TAPE_main", subjects=["tape.main.>"], allow_direct=True, republish=republish)
    )
    await client.close()
    async with AsyncExitStack() as stack:
        tape = await NatsTape.connect(url, None, "main", "test")
        stack.push_async_callback(tape.close)
        made = Desk(url, directory, tape)
        yield made
        for instance in made.started:
            await instance.finish()


@pytest.fixture
async def desk(nats_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_on(nats_url, tmp_path) as desk:
        yield desk


async def test_who_is_alone_is_told_so_by_the_broker_and_waits_for_nothing(desk):
    """The tape says whose word counts from here on, and the service's own words come after it."""
    await desk.clocks(1)
    first = await desk.start()
    active = await desk.active()
    (tenure,) = await desk.messages(Tenure)
    assert tenure.instance == first.standby.instance == active.standby.instance
    assert (first.runner.tenure, first.runner.standby) == (2, None)
    await desk.assert_each_clock_was_answered_once()


async def test_the_second_stands_by_follows_and_takes_over(desk):
    """It has stepped what the active one has stepped, has said nothing, and goes on where the other ended."""
    first = await desk.start()
    await desk.active()
    await desk.clocks(3)
    second = await desk.start()
    await standing_by(second, first)
    await desk.clocks(3)
    await desk.assert_each_clock_was_answered_once()
    await standing_by(second, first)
    assert second.core.clocks == 6
    with pytest.raises(NotActive, match=f"{first.standby.instance} is active"):
        await second.runner.observe((await desk.messages(Drift))[0])
    assert not second.runner.vouches(time.monotonic_ns() // 1_000)
    first.kill()
    await desk.clocks(2)
    assert await desk.active() is second
    await desk.clocks(2)
    await desk.assert_each_clock_was_answered_once()
    assert [each.instance for each in await desk.messages(Tenure)] == [first.standby.instance, second.standby.instance]
    assert second.runner.tenure > first.runner.tenure
    await until(lambda: asyncio.sleep(0, second.runner.vouches(time.monotonic_ns() // 1_000)))


@pytest.mark.parametrize("after_landing", [False, True])
@pytest.mark.parametrize("kill_at", range(4))
async def test_killed_at_any_append_the_rest_is_said_by_the_other(desk, kill_at, after_landing):
    """Two clocks are four appends; the active instance dies at one of them, and nothing is lost or said twice."""
    first = await desk.start()
    await desk.active()
    second = await desk.start()
    await standing_by(second, first)
    appended = first.tape.append
    count = -1

    async def dying(*arguments: Any) -> int:
        nonlocal count
        count += 1
        if count == kill_at:
            if after_landing:
                await appended(*arguments)
            raise Killed
        return await appended(*arguments)

    first.tape.append = dying
    await desk.clocks(2)
    assert isinstance(await first.why_it_ended(), Killed)
    assert await desk.active() is second
    await desk.assert_each_clock_was_answered_once()


async def test_of_many_that_start_at_once_one_is_active(desk):
    """The tape has one first; when it falls, there is again one of the others."""
    for _ in range(4):
        await desk.start()
    for left in (3, 2, 1, 0):
        active = await desk.active()
        await desk.clocks(2)
        await desk.assert_each_clock_was_answered_once()
        for other in desk.started:
            if not other.ended.done() and other is not active:
                await standing_by(other, active)
        active.kill()
        await active.finish()
        assert sum(not each.ended.done() for each in desk.started) == left


async def test_silence_is_waited_for_and_then_taken_for_the_end(desk, nats_url):
    """Somebody is connected and does not answer, as a process that is stopped: after a bounded time it is our turn."""
    silent = await nats.connect(nats_url)
    await silent.subscribe("presence.main.ledger.ask")
    # Unlike nats-py's flush, whose ping overtakes what is still to be sent, an answer proves that it was subscribed.
    await silent.jetstream().account_info()
    began = time.monotonic()
    await desk.start()
    await desk.active()
    assert time.monotonic() - began > 0.5
    await silent.close()


async def test_a_pause_is_noticed_before_anything_is_done_and_healed_by_the_tape(desk):
    """Nobody took its place meanwhile: it vouches again as soon as the tape has said so, and goes on."""
    first = await desk.start()
    await desk.active()
    await until(lambda: asyncio.sleep(0, first.runner.vouches(time.monotonic_ns() // 1_000)))
    # The loop stands still, as in a process that is stopped.
    time.sleep(AWAY_US_MAX / 1_000_000 + 0.05)  # noqa: ASYNC251 - blocking is what is tested
    assert not first.runner.vouches(time.monotonic_ns() // 1_000)
    await until(lambda: asyncio.sleep(0, first.runner.vouches(time.monotonic_ns() // 1_000)))
    await desk.clocks(1)
    await desk.assert_each_clock_was_answered_once()


async def test_after_a_pause_the_tape_is_asked_twice_before_anything_is_vouched_for():
    """Whoever took the pause for the end may write its tenure just after the tape has said that all is as it was."""
    now_us, away = 1_000_000, asyncio.Event()

    async def sleep(seconds: float) -> None:
        nonlocal now_us
        now_us += round(seconds * 1_000_000)
        if len(proofs) == 2 or now_us > 2_000_000:
            away.set()
            await asyncio.Event().wait()

    proofs: list[tuple[int, bool]] = []

    async def prove() -> None:
        proofs.append((now_us, standby.vouches(now_us)))

    standby = Standby(None, IDENTITY, "first", clock=clocks.Clock(lambda: now_us, lambda: now_us, sleep, lambda: 0.0))
    standby.tenure = 1
    holding = asyncio.create_task(standby.run(lambda: 1, prove))
    await away.wait()
    holding.cancel()
    assert proofs == [(1_000_000, False), (1_100_000, False)]
    assert standby.vouches(now_us)


async def test_who_finds_another_on_the_tape_after_a_pause_ends(desk):
    """It asks the tape by itself, though nothing wakes its reader and it has nothing to append."""
    first = await desk.start()
    await desk.active()
    zero = Decimal(0)
    said = Drift(
        id="ledger:outside:a", desk="main", run_id="r1", ts_us=1, cause=None, cycle_id=0, currency="USDT",
        books=zero, venue=zero, difference=zero,
    )  # fmt: skip
    other = Writer(desk.tape, "main", "ledger")
    await other.open()
    await other.append(said)
    with pytest.raises(LostRace, match="another has written"):
        await first.runner.prove()


async def test_taking_over_needs_no_silence_and_ends_the_other(desk):
    """As by a kill switch that was engaged at the one that stands by: it is the active one within moments."""
    first = await desk.start()
    await desk.active()
    second = await desk.start()
    await standing_by(second, first)
    await desk.clocks(1)
    second.runner.take_over()
    assert isinstance(await first.why_it_ended(), Superseded | LostRace)
    assert await desk.active() is second
    await desk.clocks(1)
    await desk.assert_each_clock_was_answered_once()


async def test_who_reads_the_others_tenure_ends_at_once(desk):
    """No append of its own is needed to find out."""
    first = await desk.start()
    await desk.active()
    second = await desk.start()
    await standing_by(second, first)
    second.runner.take_over()
    end = await first.why_it_ended()
    assert isinstance(end, Superseded)
    assert second.standby.instance in end.why


async def test_who_does_not_follow_waits_and_starts_from_the_beginning_of_its_turn(desk):
    """As the ledger, whose state lies in a database that has one writer: it reads nothing before its turn."""
    first = await desk.start(follows=False)
    await desk.active()
    waiting = await NatsTape.connect(desk._url, None, "main", "ledger")
    second = Standby(waiting.client, IDENTITY, instance_name(), follows=False)
    turn = asyncio.create_task(second.until_our_turn())
    await until(lambda: asyncio.sleep(0, second.active == first.standby.instance))
    assert not turn.done()
    first.kill()
    await asyncio.wait_for(turn, DEADLINE_S)
    assert second.is_our_turn
    await waiting.close()


async def test_who_does_not_follow_and_loses_the_race_starts_anew(desk):
    """What it has loaded is of a moment before the other's; only a new start loads it again."""
    first = await desk.start()
    await desk.active()
    second = await desk.start(follows=False)
    end = await second.why_it_ended()
    assert isinstance(end, LostRace)
    assert first.standby.instance in end.why
    assert first.is_live


async def test_a_snapshot_is_taken_while_standing_by_and_started_from(desk, tmp_path):
    """Whoever has stood by for long does not begin at the beginning when it is started again."""
    first = await desk.start()
    await desk.active()
    second = await desk.start(state="second")
    await standing_by(second, first)
    await desk.clocks(8)
    await desk.assert_each_clock_was_answered_once()
    await standing_by(second, first)
    second.runner.stop()
    await second.why_it_ended()
    snapshot = await FileSnapshots(tmp_path / "second").load()
    assert snapshot is not None
    assert snapshot.state["core"] == {"clocks": 8}
    again = await desk.start(state="second")
    await standing_by(again, first)
    first.kill()
    await desk.clocks(1)
    assert await desk.active() is again
    await desk.assert_each_clock_was_answered_once()


async def test_who_would_write_more_than_the_active_one_halts_while_it_stands_by(desk):
    """Another version of the code: the output that the active one has passed over could never be written."""
    await desk.start()
    await desk.active()
    second = await desk.start(CountingCore(answers=3))
    await desk.clocks(2)
    end = await second.why_it_ended()
    assert isinstance(end, OutputDiffers)
    assert "before it" in end.why


async def test_a_broker_that_is_gone_is_no_silence(own_broker, tmp_path):
    """Who stands by and loses its own connection ends: it knows nothing of the active one any more."""
    async with desk_on(own_broker.url, tmp_path) as desk:
        first = await desk.start()
        await desk.active()
        second = await desk.start()
        await standing_by(second, first)
        own_broker.kill()
        for each in (first, second):
            assert type(await each.why_it_ended()).__name__ == "TapeUnavailable"
        assert not second.runner.live.is_set()


def test_a_second_process_does_not_get_the_state_directory(tmp_path):
    """Two would overwrite each other's snapshots; the one that has it is named, and when it is gone nothing is left."""
    with (
        state_lock(tmp_path, "risk"),
        pytest.raises(BadConfiguration, match=r"another risk, pid \d+, runs with the state directory"),
        state_lock(tmp_path, "risk"),
    ):
        pass
    with state_lock(tmp_path, "risk"):
        pass
