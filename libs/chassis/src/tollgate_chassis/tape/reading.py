"""What is applied of what lies on the tape: one set of rules, for services that run and for a replay.

A record is applied when its bytes are a message of ours, it lies where its writer writes such a thing, its id is one
that this writer can give, its cycle can be stored, it does not move the tape's time ahead of the broker's clock, and it
was not applied before (docs/decisions/0011). The broker lets nobody write under another's subject; by these rules
nobody takes another's ids.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from tollgate_chassis.tape.duplicates import Duplicates, Verdict
from tollgate_chassis.tape.records import Record
from tollgate_contracts.codec import Unreadable, UnreadableMessage, decode
from tollgate_contracts.envelope import Message
from tollgate_contracts.subjects import tape_subject

# Cores take the newest time on the tape for now. A quote or an approval is good for longer than this, so a clock
# that is wrong by less stops nothing; hosts that keep time at all differ by a hundredth of it.
AHEAD_US_MAX = 1_000_000
# What a database's integer holds: a larger one would halt whoever writes it down. A cycle lasts for milliseconds.
CYCLE_MAX = 2**63 - 1

# An output's number within its step; more digits than any step has outputs.
_NUMBER = re.compile(r"[0-9]{1,6}")
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
        if message.desk != self._desk or record.subject != tape_subject(message):
            return Refused("foreign_writer", f"{tape_subject(message)} lies under {record.subject}"[:2_000])
        if not _is_own_id(message, record.sequence):
            expected = f"{message.writer}:…" if message.cause is None else f"{message.writer}:{message.cause}:<number>"
            return Refused(Unreadable.INVALID, f"id, cause: expected {expected} of an earlier cause, got {message.id}")
        if message.cycle_id > CYCLE_MAX:
            return Refused(
                Unreadable.INVALID, f"cycle_id: expected at most {CYCLE_MAX}, got {message.cycle_id}"[:2_000]
            )
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


def _is_own_id(message: Message, sequence: int) -> bool:
    if message.cause is None:
        return message.id.startswith(f"{message.writer}:")
    source, _, number = message.id.rpartition(":")
    is_named_after_cause = source == f"{message.writer}:{message.cause}" and bool(_NUMBER.fullmatch(number))
    return is_named_after_cause and message.cause < sequence
