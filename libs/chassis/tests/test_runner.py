"""The one loop of every service, on the tape in memory, killed wherever it can be."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tollgate_chassis.runner import ClockAhead, Identity, OutputDiffers, Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.tape import LostRace, MemoryTape, TapeWentBackwards, TooLarge
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import DeadLetter, decode, encode
from tollgate_contracts.config import Config
from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.ledger import Drift
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.subjects import tape_subject

IDENTITY = Identity("ledger", "main", "r1")


class CountingCore:
    """Answers every clock with two messages that tell how many clocks there were."""

    def __init__(self, unit: int = 1) -> None:
        self._unit = unit
        self.clocks = 0

    def step(self, sequence: int, message: Message) -> Step:
        if not isinstance(message, Clock):
            return NOTHING
        self.clocks += self._unit
        return Step(tuple(self._drift(message, sequence, index) for index in range(2)), ("effect",))

    def _drift(self, message: Message, sequence: int, index: int) -> Drift:
        count = Decimal(self.clocks)
        return Drift.caused_by(message, sequence, index, currency="USDT", books=count, venue=count, difference=count)

    def snapshot(self) -> dict[str, Any]:
        return {"clocks": self.clocks}

    def restore(self, state: dict[str, Any]) -> None:
        self.clocks = state["clocks"]


class Killed(Exception):
    """The process is gone."""


class KilledTape(MemoryTape):
    """Kills the process at its append number ``kill_at``: before it landed, or just after."""

    def __init__(self) -> None:
        super().__init__()
        self.kill_at: int | None = None
        self.after_landing = False

    async def append(self, subject: str, data: bytes, message_id: str, expected_last: int, headers: Any = None) -> int:
        if self.kill_at is not None:
            self.kill_at -= 1
            if self.kill_at < 0:
                if self.after_landing:
                    await super().append(subject, data, message_id, expected_last)
                raise Killed
        return await super().append(subject, data, message_id, expected_last)


def put_clock(tape: MemoryTape, number: int) -> None:
    message = Clock(
        id=f"marketdata:simulated:0.{number}", desk="main", run_id="r1", ts_us=number, cause=None, cycle_id=number
    )
    tape.insert(tape_subject(message), encode(message), message.id)


def make_runner(
    tape: MemoryTape, directory: Path, core: CountingCore | None = None, shell: Shell | None = None
) -> Runner:
    return Runner(
        IDENTITY,
        core or CountingCore(),
        shell or Shell(),
        tape,
        FileSnapshots(directory),
        HighWaterMark(directory),
        Tracing("ledger", "r1", None),
        snapshot_every=4,
    )


@asynccontextmanager
async def running(runner: Runner) -> AsyncIterator[None]:
    """Run until the block ends; what the runner raises before it is live is raised at once."""
    task = asyncio.create_task(runner.run())
    live = asyncio.create_task(runner.live.wait())
    await asyncio.wait({task, live}, return_when=asyncio.FIRST_COMPLETED)
    live.cancel()
    if task.done():
        task.result()
    try:
        yield
    finally:
        runner.stop()
        await task


async def run_into(runner: Runner) -> None:
    """Run a runner that is expected to end by itself."""
    await asyncio.wait_for(runner.run(), timeout=10)


async def drained(tape: MemoryTape, runner: Runner) -> None:
    while runner.position < tape.tip:
        await asyncio.sleep(0)


async def drifts(tape: MemoryTape) -> list[tuple[str, str]]:
    messages = [decode(record.data) for record in await tape.read(1, 10_000) if record.subject.endswith(".drift")]
    return [(message.id, str(message.books)) for message in messages if isinstance(message, Drift)]


async def test_every_cause_is_answered_once_and_in_order(tmp_path):
    tape = MemoryTape()
    put_clock(tape, 1)
    runner = make_runner(tape, tmp_path)
    async with running(runner):
        put_clock(tape, 2)
        await drained(tape, runner)
    assert [books for _, books in await drifts(tape)] == ["1", "1", "2", "2"]


@pytest.mark.parametrize("after_landing", [False, True])
@pytest.mark.parametrize("kill_at", range(12))
async def test_killed_at_any_append_nothing_is_lost_or_said_twice(tmp_path, kill_at, after_landing):
    """Six clocks are twelve appends; the service dies at one of them and starts again."""
    tape = KilledTape()
    for number in range(1, 4):
        put_clock(tape, number)
    tape.kill_at, tape.after_landing = kill_at, after_landing
    dying = make_runner(tape, tmp_path)
    task = asyncio.create_task(run_into(dying))
    if kill_at >= 6:
        await dying.live.wait()
    for number in range(4, 7):
        put_clock(tape, number)
    with pytest.raises(Killed):
        await task
    tape.kill_at = None
    runner = make_runner(tape, tmp_path)
    async with running(runner):
        await drained(tape, runner)
    causes = [record.sequence for record in await tape.read(1, 100) if "clock" in record.subject]
    said = await drifts(tape)
    counts = {cause: str(number) for number, cause in enumerate(causes, start=1)}
    assert said == [(f"ledger:{cause}:{n}", counts[cause]) for cause in causes for n in range(2)]


async def test_recovery_starts_from_the_snapshot_and_not_from_the_beginning(tmp_path):
    tape = MemoryTape()
    for number in range(1, 10):
        put_clock(tape, number)
    runner = make_runner(tape, tmp_path)
    async with running(runner):
        await drained(tape, runner)
    core = CountingCore()
    again = make_runner(tape, tmp_path, core)
    async with running(again):
        assert core.clocks == 9
        put_clock(tape, 10)
        await drained(tape, again)
    assert (await drifts(tape))[-1][1] == "10"


async def test_a_service_that_was_stopped_on_an_empty_tape_starts_again(tmp_path):
    tape = MemoryTape()
    for _ in range(2):
        async with running(make_runner(tape, tmp_path)):
            pass
    assert tape.tip == 0


async def test_code_that_writes_something_else_for_the_same_cause_halts(tmp_path):
    tape = KilledTape()
    for number in (1, 2):
        put_clock(tape, number)
    tape.kill_at = 2
    with pytest.raises(Killed):
        await run_into(make_runner(tape, tmp_path))
    with pytest.raises(OutputDiffers, match="ledger:1:0"):
        await run_into(make_runner(tape, tmp_path, CountingCore(unit=2)))


async def test_a_tape_that_ends_before_what_was_read_halts(tmp_path):
    tape = MemoryTape()
    for number in range(1, 4):
        put_clock(tape, number)
    runner = make_runner(tape, tmp_path)
    async with running(runner):
        await drained(tape, runner)
    with pytest.raises(TapeWentBackwards, match="ends at 0, but this service has read up to 9"):
        await run_into(make_runner(MemoryTape(), tmp_path))


async def test_another_tape_of_the_same_length_halts(tmp_path):
    tape, other = MemoryTape(), MemoryTape()
    for number in range(1, 4):
        put_clock(tape, number)
    runner = make_runner(tape, tmp_path)
    async with running(runner):
        await drained(tape, runner)
    for number in range(100, 120):
        put_clock(other, number)
    with pytest.raises(TapeWentBackwards, match="another tape"):
        await run_into(make_runner(other, tmp_path))


def outside_event(name: str) -> Drift:
    """Build an event that no tape message caused."""
    zero = Decimal(0)
    return Drift(
        id=f"ledger:outside:{name}",
        desk="main",
        run_id="r1",
        ts_us=1,
        cause=None,
        cycle_id=1,
        currency="USDT",
        books=zero,
        venue=zero,
        difference=zero,
    )


async def test_a_second_writer_of_the_same_name_loses_the_race(tmp_path):
    tape = MemoryTape()
    first, second = make_runner(tape, tmp_path / "one"), make_runner(tape, tmp_path / "two")
    async with running(first), running(second):
        await first.observe(outside_event("a"))
        with pytest.raises(LostRace, match="wrong last sequence: 1, expected 0"):
            await second.observe(outside_event("b"))
    assert tape.tip == 1


@pytest.mark.parametrize(
    ("subject", "data", "reason"),
    [
        ("tape.main.marketdata.clock", b"{not json", "not_json"),
        ("tape.main.marketdata.clock", b'{"kind":"rumour"}', "unknown_kind"),
        ("tape.main.risk.clock", None, "foreign_writer"),
    ],
)
async def test_what_cannot_be_read_is_a_dead_letter_and_the_loop_goes_on(tmp_path, subject, data, reason):
    tape = MemoryTape()
    put_clock(tape, 1)
    tape.insert(subject, data or (await tape.read(1, 1))[0].data.replace(b"0.1", b"0.2"), "bad:1")
    put_clock(tape, 3)
    runner = make_runner(tape, tmp_path)
    async with running(runner):
        await drained(tape, runner)
    assert len(await drifts(tape)) == 4
    [(subject, message_id, letter)] = tape.dead_letters
    assert (subject, message_id) == ("dead.main.ledger", "ledger:2")
    assert DeadLetter.model_validate_json(letter).reason == reason


async def test_a_message_that_was_applied_before_changes_nothing(tmp_path):
    tape = MemoryTape()
    put_clock(tape, 1)
    first = (await tape.read(1, 1))[0]
    tape.insert(first.subject, first.data, "another-name-at-the-broker")
    core = CountingCore()
    runner = make_runner(tape, tmp_path, core)
    async with running(runner):
        await drained(tape, runner)
    assert core.clocks == 1


class RecordingShell(Shell):
    """Notes the order in which it is asked."""

    def __init__(self, tape: MemoryTape) -> None:
        self.said: list[tuple[str, int, bool | None]] = []
        self._tape = tape

    async def carry_out(self, record, message, step, live):
        self.said.append(("carry_out", self._tape.tip, live))

    async def settled(self, record):
        self.said.append(("settled", self._tape.tip, None))

    async def went_live(self):
        self.said.append(("went_live", self._tape.tip, None))


async def test_effects_begin_before_the_outputs_land_and_settle_after(tmp_path):
    tape = MemoryTape()
    shell = RecordingShell(tape)
    runner = make_runner(tape, tmp_path, shell=shell)
    async with running(runner):
        put_clock(tape, 1)
        await drained(tape, runner)
    assert shell.said[:3] == [("went_live", 0, None), ("carry_out", 1, True), ("settled", 3, None)]


async def test_effects_in_recovery_are_told_that_they_are_old(tmp_path):
    tape = MemoryTape()
    put_clock(tape, 1)
    shell = RecordingShell(tape)
    runner = make_runner(tape, tmp_path, shell=shell)
    async with running(runner):
        await drained(tape, runner)
    assert shell.said[0] == ("carry_out", 1, False)


def ahead_of_time(run_id: str) -> Drift:
    return Drift(
        id=f"ledger:{run_id}:ahead", desk="main", run_id=run_id, ts_us=4_000_000_000_000_000, cause=None, cycle_id=0,
        currency="USDT", books=Decimal(0), venue=Decimal(0), difference=Decimal(0),
    )  # fmt: skip


async def test_a_time_to_come_is_a_dead_letter_and_the_tapes_time_stays(tmp_path):
    """Somebody wrote under our name; it was not this process, and this process goes on."""
    tape = MemoryTape()
    message = ahead_of_time("another")
    tape.insert(tape_subject(message), encode(message), message.id, stored_us=1_800_000_000_000_000)
    put_clock(tape, 2)
    runner = make_runner(tape, tmp_path)
    async with running(runner):
        put_clock(tape, 3)
        await drained(tape, runner)
    assert len(await drifts(tape)) == 5
    [(_, message_id, letter)] = tape.dead_letters
    assert message_id == "ledger:1"
    assert "ahead of the broker's clock" in DeadLetter.model_validate_json(letter).detail


async def test_a_process_that_writes_ahead_of_time_halts_and_can_be_started_again(tmp_path):
    tape = MemoryTape()
    runner = make_runner(tape, tmp_path)
    task = asyncio.create_task(run_into(runner))
    await runner.live.wait()
    message = ahead_of_time("r1")
    tape.insert(tape_subject(message), encode(message), message.id, stored_us=1_800_000_000_000_000)
    with pytest.raises(ClockAhead, match="mend the clock of ledger, or the broker's"):
        await task
    again = make_runner(tape, tmp_path)
    async with running(again):
        put_clock(tape, 1)
        await drained(tape, again)
    assert len(await drifts(tape)) == 3


async def test_a_message_that_no_reader_would_take_is_not_appended_and_halts(tmp_path):
    """Wanting it again would change nothing, so this is no reason to be started again."""
    tape = MemoryTape()
    runner = make_runner(tape, tmp_path)
    async with running(runner):
        huge = Config(
            writer="ledger", id="ledger:config:r1", desk="main", run_id="r1", ts_us=1, cause=None, cycle_id=0,
            text="{}", hash="0" * 64,
        ).model_copy(update={"text": "x" * 300_000})  # fmt: skip
        with pytest.raises(TooLarge, match=r"is a config of 300[0-9]{3} bytes, at most 262144"):
            await runner.observe(huge)
    assert tape.tip == 0
