"""Run every core again over a recorded run and compare what it writes with what is on the tape, byte for byte.

What has a cause must be written again by the core that wrote it, from the tape before it alone. What has none is
an outside event: for market data it must follow from the recorded market frames, for the others it is input.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import ValidationError

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.reading import Duplicate, Reading, Refused
from tollgate_contracts.codec import encode
from tollgate_contracts.core import Core
from tollgate_contracts.envelope import Message
from tollgate_contracts.market import Frames, StartFrame
from tollgate_contracts.risk import Decision
from tollgate_contracts.tenure import Tenure
from tollgate_marketdata.core import FeedCore
from tollgate_research.cores import fresh_cores
from tollgate_research.recording import Run
from tollgate_research.signatures import Signatures

# After this many differences the rest says nothing new.
DIFFERENCES_MAX = 20


@dataclass(frozen=True, slots=True)
class Difference:
    """One output that is not as it was; ``recorded`` or ``replayed`` is null where there is none."""

    sequence: int
    message_id: str
    recorded: bytes | None
    replayed: bytes | None

    def __str__(self) -> str:
        """Tell it for a person."""
        return (
            f"record {self.sequence} ({self.message_id}):\n"
            f"  on the tape: {_shown(self.recorded)}\n  replayed:    {_shown(self.replayed)}"
        )


def _shown(data: bytes | None) -> str:
    return "nothing" if data is None else data.decode(errors="replace")[:600]


@dataclass
class Report:
    """What a replay has found."""

    records: int = 0
    inputs: Counter[str] = field(default_factory=Counter)
    """Outside events by service."""
    compared: Counter[str] = field(default_factory=Counter)
    """Outputs that were written again and are equal, by service."""
    refused: int = 0
    """Records that no reader applied, and that lie among the dead letters."""
    duplicates: int = 0
    tail: int = 0
    """Outputs that the tape's end cut off: their cause is recorded, they are not."""
    unrecorded_market: int = 0
    """Market data's messages whose frames were not recorded, as after a kill: not compared."""
    differences: list[Difference] = field(default_factory=list)
    fingerprint: str = ""

    @property
    def equal(self) -> bool:
        """Say whether every output that could be compared is equal."""
        return not self.differences


class Replay:
    """One replay of the four deciding cores over one tape."""

    def __init__(self, desk: str) -> None:
        self.report = Report()
        self._cores: dict[str, Core] = fresh_cores()
        self._reading = Reading(desk)
        self._expected: dict[str, tuple[int, Message]] = {}
        self._last_output_of: dict[str, tuple[int, int]] = {}
        self._signatures = Signatures()
        self._digest = hashlib.sha256()

    def run(self, run: Run, progress: Callable[[int], None] = lambda _done: None) -> Report:
        """Replay the whole run; ``progress`` is called with the number of records done."""
        market = _market_outputs(run)
        for record in run.records:
            self.apply(record, market)
            if record.sequence % 1_000 == 0:
                progress(record.sequence)
            if len(self.report.differences) >= DIFFERENCES_MAX:
                break
        return self.finish()

    def apply(self, record: Record, market: dict[str, bytes] | None = None) -> None:
        """Compare one record with what was expected, then step every core with it."""
        self.report.records += 1
        message = self._read(record)
        if message is None:
            return
        if message.cause is not None:
            self._compare(record, message)
        elif message.writer == "marketdata" and market is not None and not isinstance(message, Tenure):
            self._compare_market(record, market)
        else:
            self.report.inputs[message.writer] += 1
        for core in self._cores.values():
            for output in core.step(record.sequence, message).outputs:
                self._expected[output.id] = (record.sequence, output)

    def _read(self, record: Record) -> Message | None:
        """Return what every reader applied, by the reader's own rules."""
        message = self._reading.read(record)
        if isinstance(message, Refused):
            self.report.refused += 1
            return None
        if isinstance(message, Duplicate):
            self.report.duplicates += 1
            return None
        self._signatures.learn(message)
        return message

    def _compare(self, record: Record, message: Message) -> None:
        _, expected = self._expected.pop(message.id, (0, None))
        if isinstance(expected, Decision) and isinstance(message, Decision):
            expected = self._signatures.carry_over(message, expected)
        replayed = encode(expected) if expected is not None else None
        self._note(record, message.writer, replayed)
        self._last_output_of[message.writer] = max(self._last_output_of.get(message.writer, (0, 0)), _place(message))

    def _compare_market(self, record: Record, market: dict[str, bytes]) -> None:
        if record.message_id not in market:
            self.report.unrecorded_market += 1
            return
        self._note(record, "marketdata", market[record.message_id])

    def _note(self, record: Record, service: str, replayed: bytes | None) -> None:
        if replayed == record.data:
            self.report.compared[service] += 1
            self._digest.update(replayed)
        else:
            self.report.differences.append(Difference(record.sequence, record.message_id, record.data, replayed))

    def finish(self) -> Report:
        """Say what was expected and never came: the tape's tail, or a difference."""
        for message_id, (cause, output) in self._expected.items():
            # A tape may end between two outputs of one step.
            if _place(output) > self._last_output_of.get(output.writer, (0, 0)):
                self.report.tail += 1
            else:
                self.report.differences.append(Difference(cause, message_id, None, encode(output)))
        self.report.fingerprint = self._digest.hexdigest()
        return self.report


def _place(output: Message) -> tuple[int, int]:
    """Return where an output stands among its writer's: its cause, and its number among the cause's outputs."""
    return output.cause or 0, int(output.id.rpartition(":")[2])


def _market_outputs(run: Run) -> dict[str, bytes]:
    """Run the feed's core over each start's frames and return what it says, by message id."""
    said: dict[str, bytes] = {}
    core: FeedCore | None = None
    following = 0
    for data in run.market:
        try:
            batch = Frames.model_validate_json(data)
        except ValidationError:
            core = None
            continue
        for number, frame in enumerate(batch.frames, start=batch.first):
            if isinstance(frame, StartFrame) and number == 0:
                core = FeedCore(batch.desk, batch.run_id, frame)
            elif number != following:
                # Frames are missing: what this start said afterwards cannot be derived any more.
                core = None
            following = number + 1
            for message in core.take(frame) if core else ():
                said[message.id] = encode(message)
    return said
