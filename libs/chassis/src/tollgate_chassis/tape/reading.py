"""What is applied of what lies on the tape: one set of rules, for services that run and for a replay.

A record is applied when its bytes are a message of ours, its writer wrote it under its own name, it does not move
the tape's time ahead of the broker's clock, and it was not applied before (docs/decisions/0011).
"""

from dataclasses import dataclass
from typing import Any, Literal

from tollgate_chassis.tape.duplicates import Duplicates, Verdict
from tollgate_chassis.tape.records import Record
from tollgate_contracts.codec import Unreadable, UnreadableMessage, decode
from tollgate_contracts.envelope import Message
from tollgate_contracts.subjects import writer_prefix

# Cores take the newest time on the tape for now. A quote or an approval is good for longer than this, so a clock
# that is wrong by less stops nothing; hosts that keep time at all differ by a hundredth of it.
AHEAD_US_MAX = 1_000_000

BuryReason = Unreadable | Literal["conflicting_duplicate", "foreign_writer"]


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that must not be applied, and belongs among the dead letters."""

    reason: BuryReason
    detail: str
    misdated: Message | None = None
    """The message, when its time is all that is wrong with it."""


class Duplicate:
    """A record that says again what was applied before."""


DUPLICATE = Duplicate()


class Reading:
    """What one reader has applied so far, and by that what it applies next."""

    def __init__(self, desk: str) -> None:
        self._desk = desk
        self._duplicates = Duplicates()
        self._tape_us = 0

    def read(self, record: Record) -> Message | Duplicate | Refused:
        """Return the message to apply, or why there is none; a message is returned once."""
        try:
            message = decode(record.data)
        except UnreadableMessage as error:
            return Refused(error.reason, error.detail)
        if not record.subject.startswith(f"{writer_prefix(self._desk, message.writer)}."):
            return Refused("foreign_writer", f"{message.writer} does not write under {record.subject}")
        if self._is_ahead(message, record):
            ahead_s = (message.ts_us - record.stored_us) / 1_000_000
            detail = f"ts_us: {ahead_s:.3f} s ahead of the broker's clock; mend the clock of {message.writer}"
            return Refused(Unreadable.INVALID, detail, message)
        match self._duplicates.judge(message, record.data):
            case Verdict.DUPLICATE:
                return DUPLICATE
            case Verdict.CONFLICTING_DUPLICATE:
                return Refused("conflicting_duplicate", f"{message.id} was applied before with other content")
        self._tape_us = max(self._tape_us, message.ts_us)
        return message

    def _is_ahead(self, message: Message, record: Record) -> bool:
        # An output has its cause's time: what the tape has reached already does no harm, whatever the broker's
        # clock has done since.
        if not record.stored_us or message.ts_us <= self._tape_us:
            return False
        return message.ts_us > record.stored_us + AHEAD_US_MAX

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {"duplicates": self._duplicates.snapshot(), "tape_us": self._tape_us}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self._duplicates.restore(state["duplicates"])
        self._tape_us = state["tape_us"]
