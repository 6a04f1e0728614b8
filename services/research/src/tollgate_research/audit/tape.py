"""The archive beside the broker's tape, the one copy of the records that lies in no database."""

from typing import Protocol

from tollgate_chassis.exits import ProcessEnd
from tollgate_chassis.tape import Record
from tollgate_chassis.tape.records import Bounds
from tollgate_research.audit.comparing import shown
from tollgate_research.audit.findings import Audit, Part

# Records in one batched direct get.
_BATCH = 256


class Tape(Protocol):
    """What is asked of a tape: of the broker's, and of one in memory."""

    async def bounds(self) -> Bounds:
        """Return the first and last sequence."""
        ...

    async def read(self, start: int, limit: int) -> list[Record]:
        """Return at most so many records from ``start`` on."""
        ...


class TapeBeside:
    """Is told each archived record in order, and looks for the same one on the tape."""

    def __init__(self, tape: Tape, bounds: Bounds, audit: Audit) -> None:
        self._tape = tape
        self._bounds = bounds
        self._audit = audit
        self._ahead: list[Record] = []
        self._is_over = False

    async def compare(self, archived: Record) -> None:
        """Compare a record with the tape's; of what the tape holds no more nothing is said."""
        sequence = archived.sequence
        if self._is_over or not self._bounds.first <= sequence <= self._bounds.last:
            return
        on_tape = await self._read(sequence)
        if on_tape is None:
            return
        self._audit.checked[Part.TAPE] += 1
        for name in ("sequence", "subject", "message_id", "data", "headers", "stored_us"):
            ours, theirs = getattr(archived, name), getattr(on_tape, name)
            if ours != theirs:
                self._note(sequence, f"{name} is {shown(ours)}, on the tape {shown(theirs)}")
                return

    async def finish(self, last: int) -> None:
        """Note an archive that reaches beyond the tape, or never met it, once its end is known."""
        if self._is_over:
            return
        if last > self._bounds.last:
            self._note(self._bounds.last + 1, f"and what follows is not on the tape, which ends at {self._bounds.last}")
        elif self._bounds.first > 1 and last:
            until = min(last, self._bounds.first - 1)
            self._audit.not_proved.append(f"that records up to {until} are those of the tape: it holds them no more")

    async def _read(self, sequence: int) -> Record | None:
        if not self._ahead:
            try:
                self._ahead = (await self._tape.read(sequence, _BATCH))[::-1]
            except ProcessEnd as end:
                self._is_over = True
                what = f"that records from {sequence} on are those of the tape: {end.why}"
                self._audit.not_proved.append(what)
                return None
        if not self._ahead:
            self._note(sequence, "is not on the tape")
            return None
        return self._ahead.pop()

    def _note(self, sequence: int, what: str) -> None:
        self._is_over = True
        self._audit.note(Part.TAPE, "archive", sequence, what)
