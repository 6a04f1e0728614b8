"""How long execution takes to recover as its tape grows: from nothing, and from its newest snapshot.

The tape lies in a file, so that a million messages fit beside whatever else the machine does; its reading is part of
the time, as it is from a broker.
"""

import asyncio
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.orders import Writer, new_core
from tests.bench.results import Result, say, show
from tollgate_chassis.runner import SNAPSHOT_EVERY, Identity, Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.tape import MemoryTape, Record
from tollgate_chassis.tape.records import NO_HEADERS
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import encode
from tollgate_contracts.envelope import Message
from tollgate_contracts.subjects import tape_subject

LENGTHS = (1_000, 10_000, 100_000, 1_000_000)
# As on a desk: most of a tape is quotes, and one order in a dozen messages is a busy one.
_QUOTES = 6
_EVERY_US = 100_000
_WRITER = "tape.main.execution"


class _Lines:
    """Records of a file, up to a length; looks like the list that a tape in memory keeps."""

    def __init__(self, file: Path, offsets: "array[int]", length: int) -> None:
        self._file = file.open("rb")
        self._offsets = offsets
        self._length = length
        self._added: list[Record] = []

    def __len__(self) -> int:
        return self._length + len(self._added)

    def __getitem__(self, part: slice) -> list[Record]:
        start, stop, _ = part.indices(len(self))
        records = []
        if start < self._length:
            self._file.seek(self._offsets[start])
            for index in range(start, min(stop, self._length)):
                subject, message_id, data = self._file.readline().rstrip(b"\n").split(b"\t", 2)
                records.append(Record(index + 1, subject.decode(), message_id.decode(), data, NO_HEADERS, 0))
        return records + self._added[max(0, start - self._length) : max(0, stop - self._length)]

    def append(self, record: Record) -> None:
        self._added.append(record)


class FileTape(MemoryTape):
    """The first ``length`` records of a tape in a file."""

    def __init__(self, file: Path, offsets: "array[int]", length: int, last: int) -> None:
        super().__init__()
        lines: Any = _Lines(file, offsets, length)
        self._records = lines
        self._last_of = {_WRITER: last}


class _Capturing(Shell):
    """Keeps a snapshot at a place of the tape, as a process that ran on would have."""

    def __init__(self, at: int, snapshots: FileSnapshots) -> None:
        self._at = at
        self._snapshots = snapshots
        self.runner: Runner | None = None

    async def settled(self, record: Record) -> None:
        """Save where it is time."""
        if record.sequence == self._at and self.runner is not None:
            await self._snapshots.save(self.runner.capture())


def write_tape(file: Path, length: int) -> tuple["array[int]", list[int]]:
    """Write a tape of ``length`` messages; returns where each begins, and which are execution's own."""
    core, writer, offsets, ours, place = new_core(), Writer(), array("Q"), [], 0
    with file.open("wb") as out:

        def put(message: Message) -> None:
            nonlocal place
            for each in (message, *core.step(len(offsets) + 1, message).outputs):
                line = b"\t".join((tape_subject(each).encode(), each.id.encode(), encode(each))) + b"\n"
                offsets.append(place)
                if each.writer == "execution":
                    ours.append(len(offsets))
                place += len(line)
                out.write(line)

        for message in writer.opening():
            put(message)
        number = 0
        while len(offsets) < length:
            number += 1
            for _ in range(_QUOTES):
                writer.now_us += _EVERY_US
                put(writer.quote())
            put(writer.clock())
            put(writer.decision(number, len(offsets) + 1))
            put(writer.report(number, filled=True))
    return offsets, ours


async def _recover(tape: FileTape, directory: Path, snapshot_at: int) -> float:
    """Return the seconds from the start of a process until it is live."""
    snapshots, mark = FileSnapshots(directory), HighWaterMark(directory)
    shell = _Capturing(snapshot_at, snapshots)
    tracing, identity = Tracing("execution", "bench", None), Identity("execution", "main", "bench")
    began = time.perf_counter()
    runner = Runner(identity, new_core(), shell, tape, snapshots, mark, tracing, snapshot_every=None)
    shell.runner = runner
    process = asyncio.create_task(runner.run())
    live = asyncio.create_task(runner.live.wait())
    await asyncio.wait({process, live}, return_when=asyncio.FIRST_COMPLETED)
    took_s = time.perf_counter() - began
    runner.stop()
    await process
    live.cancel()
    mark.close()
    return took_s


def measure(directory: Path, lengths: Sequence[int] = LENGTHS) -> list[Result]:
    """Recover from the first part of one tape, for each length."""
    began = time.monotonic()
    file = directory / "tape.lines"
    offsets, ours = write_tape(file, lengths[-1])
    say(f"wrote {len(offsets):,} messages, {file.stat().st_size / 1e6:,.0f} MB, in {time.monotonic() - began:.0f} s")
    results, rows = [], []
    for length in lengths:
        last = max((sequence for sequence in ours if sequence <= length), default=0)
        state = directory / f"recovering-{length}"
        state.mkdir()
        at = max(1, length - SNAPSHOT_EVERY)
        whole_s = asyncio.run(_recover(FileTape(file, offsets, length, last), state, at))
        again_s = asyncio.run(_recover(FileTape(file, offsets, length, last), state, 0))
        note = "decode, verify, step and compare every byte"
        results += [
            Result(f"recovery.from_nothing.{length}", whole_s, "s", None, note),
            Result(f"recovery.from_snapshot.{length}", again_s, "s", None, f"at most {SNAPSHOT_EVERY} messages"),
        ]
        rows.append((f"{length:,}", whole_s, length / whole_s, again_s))
    show("Recovery of execution", ("messages", "from nothing, s", "messages/s", "from the snapshot, s"), rows)
    return results
