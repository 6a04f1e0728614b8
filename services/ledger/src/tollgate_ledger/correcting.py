"""An operator's word on an entry: a movement that was booked under the wrong name is taken back and booked again.

The word goes on the tape with the lines that the journal has, and counts when it is read back, as everything does. What
is held never changes by it, so nobody but the ledger needs to follow.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, unique
from typing import Annotated, Any

import asyncpg
from fastapi import APIRouter, Request
from pydantic import Field

from tollgate_chassis.clock import SYSTEM_CLOCK
from tollgate_chassis.operator_door import (
    BODY_ANSWERS,
    Answer,
    Command,
    Refused,
    body_of,
    caller,
    need_reason,
    read_command,
)
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_contracts.ledger import Correction, Line
from tollgate_contracts.reconciliation import MovementType
from tollgate_ledger.chain import GENESIS, entry_hash
from tollgate_ledger.core import EntryKind, LedgerCore, Posting
from tollgate_ledger.core.journal import moved_to
from tollgate_ledger.queries import entry_to_correct
from tollgate_ledger.reading import BooksReader, NotRead, TooLong, Unanswerable
from tollgate_ledger.rows import entry_of
from tollgate_ledger.settings import LedgerSettings

# An append and its way back take milliseconds.
_READ_BACK_S, _LOOK_EVERY_S = 2.0, 0.01


@unique
class Verdict(Enum):
    """What became of an operator's word on an entry."""

    CORRECTED = "corrected"
    """It is booked."""
    SAID = "said"
    """It is on the tape, and was not read back yet."""
    NO_ENTRY = "no_entry"
    """The journal has no such entry."""
    CHANGED = "changed"
    """The row is not the one that was booked: its hash differs."""
    NO_MOVEMENT = "no_movement"
    """The entry is of no movement: a trade is taken back by the venue, and a correction by another one."""
    TWICE = "twice"
    """The entry was taken back before."""
    SAME = "same"
    """It is booked as that already."""
    NOT_ACTIVE = "not_active"
    """This instance is not the active one."""
    NOT_READ = "not_read"
    """The journal cannot be read now."""


@dataclass(frozen=True, slots=True)
class Corrected:
    """The verdict, and why in words."""

    verdict: Verdict
    words: str


class CorrectionWord(Command):
    """Which entry is taken back, what it is booked as from here on, who says so, and why."""

    entry: Annotated[int, Field(ge=1, lt=2**63)]
    # Not strict: JSON has no enums.
    booked_as: Annotated[MovementType, Field(strict=False)]


class Corrector:
    """Takes operators' words on entries, one at a time."""

    def __init__(self, core: LedgerCore, reading: BooksReader | None, find_active: Callable[[], Runner | None]) -> None:
        """``find_active`` returns the runner while this instance is the active one, and none else."""
        self._core = core
        self._reading = reading
        self._find_active = find_active
        # Of two words on one entry the second must find the first read back.
        self._one_at_a_time = asyncio.Lock()

    async def correct(self, word: CorrectionWord, who: str, settings: LedgerSettings) -> Corrected:
        """Have an entry taken back and booked as the word says; ``who`` is the token's name."""
        async with self._one_at_a_time:
            runner = self._find_active()
            if runner is None or self._reading is None:
                return Corrected(Verdict.NOT_ACTIVE, "this instance is not the active one")
            try:
                rows = await self._reading.fetch(entry_to_correct(word.entry))
            except (NotRead, TooLong, Unanswerable) as error:
                return Corrected(Verdict.NOT_READ, str(error))
            refused = self._refuse(word, rows)
            if refused is not None:
                return refused
            logger().warning("entry.corrected", entry=word.entry, booked_as=word.booked_as.value, detail=word.reason)
            await runner.observe(_message(word, rows[0], who, settings, runner))
            return await self._read_back(word)

    def _refuse(self, word: CorrectionWord, rows: list[asyncpg.Record]) -> Corrected | None:
        """Return why the word does not count; none when it does."""
        if not rows:
            return Corrected(Verdict.NO_ENTRY, f"there is no entry {word.entry}")
        row = rows[0]
        if not _is_as_booked(row):
            words = f"entry {word.entry} is not as it was booked: its hash differs; run `tollgate audit verify`"
            return Corrected(Verdict.CHANGED, words)
        if row["kind"] != EntryKind.MOVEMENT:
            return Corrected(Verdict.NO_MOVEMENT, f"entry {word.entry} is of kind {row['kind']}, and no movement")
        if row["is_corrected"] or self._core.is_corrected(word.entry):
            return Corrected(Verdict.TWICE, f"entry {word.entry} was taken back before")
        if moved_to(word.booked_as) in {line["account"] for line in json.loads(row["postings"])}:
            return Corrected(Verdict.SAME, f"entry {word.entry} stands in {moved_to(word.booked_as)} already")
        return None

    async def _read_back(self, word: CorrectionWord) -> Corrected:
        with suppress(TimeoutError):
            async with asyncio.timeout(_READ_BACK_S):
                while not self._core.is_corrected(word.entry):
                    await SYSTEM_CLOCK.sleep(_LOOK_EVERY_S)
                return Corrected(Verdict.CORRECTED, f"taken back, and booked as {word.booked_as}")
        return Corrected(Verdict.SAID, "it is on the tape; look at the journal in a moment")


def _is_as_booked(row: asyncpg.Record) -> bool:
    """Say whether the row has its hash: what goes on the tape is what was booked, whoever has been at the database."""
    try:
        postings = tuple(
            Posting(line["account"], line["currency"], Decimal(line["amount"]))
            for line in json.loads(row["postings"] or "[]")
        )
        booked: bytes = row["chain_hash"]
        return entry_hash(row["previous"] or GENESIS, entry_of(row, postings)) == booked
    except (ArithmeticError, ValueError):
        return False


def _message(
    word: CorrectionWord, row: asyncpg.Record, who: str, settings: LedgerSettings, runner: Runner
) -> Correction:
    lines = tuple(Line.model_validate_json(json.dumps(line)) for line in json.loads(row["postings"]))
    return Correction(
        # The tape's end numbers it: a word that came to nothing can be said again. It stands first, because readers
        # take what does not rise for a repetition, and an older entry may be corrected after a newer one.
        id=f"ledger:correction:{runner.tip}.{word.entry}",
        desk=settings.desk,
        run_id=settings.run_id,
        ts_us=time.time_ns() // 1_000,
        cause=None,
        cycle_id=runner.cycle_id,
        entry=word.entry,
        lines=lines,
        # What was corrected before keeps the venue's own id.
        movement_id=row["movement_id"].split("/corrected-")[0],
        symbol=row["symbol"],
        booked_as=word.booked_as,
        actor=f"{word.actor or who} ({who})",
        reason=word.reason.strip(),
    )


_STATUS_OF = {
    Verdict.NO_ENTRY: 404,
    Verdict.CHANGED: 409,
    Verdict.NO_MOVEMENT: 409,
    Verdict.TWICE: 409,
    Verdict.SAME: 409,
    Verdict.NOT_ACTIVE: 503,
    Verdict.NOT_READ: 503,
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    **BODY_ANSWERS,
    404: {"model": Answer, "description": "The journal has no such entry."},
    409: {
        "model": Answer,
        "description": "It is of no movement, was taken back before, is booked so already, or was changed since.",
    },
}


def add_corrections(router: APIRouter, settings: LedgerSettings, corrector: Corrector) -> None:
    """Add the one route by which the books can be put right to a door's router; it needs the scope ``books``."""

    @router.post("/corrections", responses=_ANSWERS, openapi_extra=body_of(CorrectionWord))
    async def correct(request: Request) -> dict[str, str]:
        """Take the entry of a movement back, and book the movement under another name.

        Needs a reason. Two entries follow: one with the lines of the old one, each with its sign changed, and one under
        the new name. What is held stays as it is.
        """
        word = await read_command(request, CorrectionWord)
        need_reason(word)
        corrected = await corrector.correct(word, caller(request), settings)
        status = _STATUS_OF.get(corrected.verdict)
        if status is not None:
            raise Refused(status, corrected.words)
        return {"note": corrected.words}
