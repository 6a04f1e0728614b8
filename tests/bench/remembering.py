"""Whether the ledger's memory grows with history, which it must not: the core's alone, and the whole process's.

The core steps a million fills. Whole lives of orders, from quote to last state, go the ledger's whole way: its runner,
shell, recorder and store, into a real database; the tape alone is one that forgets what was read.
"""

import asyncio
import gc
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from pathlib import Path

import psutil

from tests.bench import lives
from tests.bench.results import Result, show
from tests.bench.server import Server, postgres
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.snapshots import HighWaterMark
from tollgate_chassis.tape import Record
from tollgate_chassis.tape.records import NO_HEADERS, Bounds
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import encode
from tollgate_contracts.envelope import Message
from tollgate_contracts.subjects import tape_subject
from tollgate_ledger.app import LedgerShell
from tollgate_ledger.core import LedgerCore
from tollgate_ledger.core.trades import TRADES_MAX
from tollgate_ledger.recorder import Recorder
from tollgate_ledger.settings import LedgerSettings
from tollgate_ledger.store import Store

FILLS = 1_000_000
# So that everything that is remembered at all has been forgotten again.
LIVES = TRADES_MAX + 4_000
# What a process may have grown by between the two looks: the allocator's rest and buffers, not anything per order.
_PROCESS_MIB_MAX = 24.0
# All that is remembered of trades comes to this; what grew by more would grow on.
_STATE_KIB_MAX = 768.0
_BATCH = 256
_IDLE_S = 0.01
_PATIENCE_S = 1_800.0


class Grown(RuntimeError):
    """Memory has grown by more than it may."""


class _Growth:
    """Looks at process and state twice, and says by how much they have grown between."""

    def __init__(self, core: LedgerCore) -> None:
        self._core, self._process = core, psutil.Process()
        self._seen: list[tuple[float, float]] = []

    def look(self) -> None:
        gc.collect()
        self._seen.append((self._process.memory_info().rss / 2**20, len(str(self._core.snapshot())) / 2**10))

    def results(self, name: str, what: str) -> list[Result]:
        """Return the growth; raises ``Grown`` where that is too much."""
        (process, state), (process_last, state_last) = self._seen
        rows = [("process, MiB", process, process_last), ("state, KiB", state, state_last)]
        show(f"Memory over {what}", ("what", "before", "after"), rows)
        grown, grown_state = process_last - process, state_last - state
        if grown > _PROCESS_MIB_MAX or grown_state > _STATE_KIB_MAX:
            raise Grown(f"over {what} the process has grown by {grown:.1f} MiB, the state by {grown_state:.0f} KiB")
        return [
            Result(f"memory.{name}.growth", grown, "MiB", None, f"{what}; fails above {_PROCESS_MIB_MAX:.0f}"),
            Result(
                f"memory.{name}.state_growth", grown_state, "KiB", None, f"{what}; fails above {_STATE_KIB_MAX:.0f}"
            ),
        ]


def measure(directory: Path, fills: int, orders: int) -> list[Result]:
    """Step ``fills`` through a core, and take the lives of ``orders`` the whole way; raises ``Grown``."""
    with postgres() as server:
        asyncio.run(server.make_books("books"))
        return [*_measure_core(fills), *asyncio.run(_measure_lives(directory, server, orders))]


def _measure_core(fills: int) -> list[Result]:
    core = LedgerCore()
    growth = _Growth(core)
    for sequence, message in enumerate(lives.beginning(), start=1):
        core.step(sequence, message)
    for number in range(1, fills + 1):
        core.step(number + 3, lives.fill(number))
        if number in {fills // 10, fills}:
            growth.look()
    if core.entries < fills or core.alarms:
        raise RuntimeError(f"of {fills} fills {core.entries} entries, {dict(core.alarms)}")
    return growth.results("core", f"fills {fills // 10:,} to {fills:,}, the core alone")


class _PassingTape:
    """A tape of one reader, who makes room for what comes next: nothing of it is kept."""

    def __init__(self, messages: Iterator[Message]) -> None:
        self.tip = 0
        self.is_at_its_end = False
        self._messages = messages
        self._waiting: deque[Record] = deque()
        self._last_of: dict[str, int] = {}

    async def append(
        self,
        subject: str,
        data: bytes,
        message_id: str,
        expected_last: int,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> int:
        self.tip += 1
        # The broker's clock stands still, at zero: what a message says of its time is not held against it.
        self._waiting.append(Record(self.tip, subject, message_id, data, headers, 0))
        self._last_of[".".join(subject.split(".", 3)[:3])] = self.tip
        return self.tip

    async def append_dead_letter(self, subject: str, data: bytes, message_id: str) -> None:
        raise RuntimeError(f"{message_id} under {subject} is no message of ours: {data[:200]!r}")

    async def follow(
        self,
        start: int,
        wakes: Collection[str] | None = None,
    ) -> AsyncGenerator[list[Record], None]:
        while True:
            while len(self._waiting) < _BATCH and not self.is_at_its_end:
                message = next(self._messages, None)
                if message is None:
                    self.is_at_its_end = True
                else:
                    await self.append(tape_subject(message), encode(message), message.id, 0)
            yield [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
            if not self._waiting:
                await asyncio.sleep(_IDLE_S)

    async def bounds(self) -> Bounds:
        return Bounds(1, self.tip)

    async def last_of(self, prefix: str) -> int:
        return self._last_of.get(prefix, 0)


async def _measure_lives(directory: Path, server: Server, orders: int) -> list[Result]:
    core = LedgerCore()
    growth = _Growth(core)
    tape = _PassingTape(_lives(orders, growth))
    recorder = Recorder(Store(server.dsn("books", "tollgate_ledger"), "main"))
    shell = LedgerShell(LedgerSettings(run_id="bench"), core, recorder)
    identity, mark = Identity("ledger", "main", "bench"), HighWaterMark(directory)
    runner = Runner(identity, core, shell, tape, recorder, mark, Tracing("ledger", "bench", None), snapshot_every=None)
    await shell.start(runner)
    tasks = [asyncio.create_task(runner.run()), *map(asyncio.create_task, shell.background())]
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not tape.is_at_its_end or recorder.durable < tape.tip:
                for task in tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(_IDLE_S)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await shell.stop()
        mark.close()
    if core.entries < orders or core.alarms:
        raise RuntimeError(f"of {orders} fills {core.entries} entries, {dict(core.alarms)}")
    growth.look()
    return growth.results("lives", f"lives of orders {_first_look(orders):,} to {orders:,}, into the database")


def _lives(orders: int, growth: _Growth) -> Iterator[Message]:
    # Its own configuration is what the ledger itself says first.
    yield from lives.beginning()[1:]
    for number in range(1, orders + 1):
        yield from lives.life(number)
        if number == _first_look(orders):
            growth.look()


def _first_look(orders: int) -> int:
    return orders * 3 // 4
