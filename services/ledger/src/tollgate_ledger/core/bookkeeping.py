"""Who writes the journal: numbers the entries, keeps the trial balance, and takes entries back.

A correction changes what a movement is called and never what is held: of what we hold the venue's word counts, and all
who keep balances have followed the same movement. So the entry is taken back line by line, and booked again under its
new name, both because of one message. A trade is taken back by the venue's bust, and by nothing else.
"""

from decimal import Decimal
from typing import Any

from tollgate_contracts.envelope import Message
from tollgate_contracts.ledger import Correction
from tollgate_contracts.money import ZERO
from tollgate_ledger.core.balances import Balances
from tollgate_ledger.core.journal import (
    MOVED_TO_ACCOUNTS,
    EntryKind,
    JournalEntry,
    Posting,
    asset,
    fits,
    is_of_a_position,
    moved_to,
)
from tollgate_ledger.core.reply import Reply

# An operator corrects by hand, and what is of late.
CORRECTED_MAX = 512


class Bookkeeper:
    """The journal of one venue's accounts, of which only the sums are remembered."""

    def __init__(self) -> None:
        self.entries = 0
        """Entries booked so far; the last entry's number."""
        self.venue = ""
        """Whose accounts they are: the venue of the opening."""
        self.balances = Balances()
        self._corrected: dict[int, None] = {}
        self._corrected_until = 0
        """Of the entries up to this number it is not known any more which were taken back."""

    def book(
        self,
        kind: EntryKind,
        sequence: int,
        message: Message,
        postings: tuple[Posting, ...],
        reply: Reply,
        **ids: Any,
    ) -> None:
        """Book one entry because of ``message``; ``ids`` are the fields that say what it is of."""
        self.entries += 1
        self.balances.post(postings)
        reply.effects.append(
            JournalEntry(
                number=self.entries,
                kind=kind,
                desk=message.desk,
                venue=self.venue,
                tape_sequence=sequence,
                message_id=message.id,
                ts_us=message.ts_us,
                run_id=message.run_id,
                cycle_id=message.cycle_id,
                postings=postings,
                **ids,
            )
        )

    def is_corrected(self, entry: int) -> bool:
        """Say whether an entry was taken back of late."""
        return entry in self._corrected

    def correct(self, sequence: int, correction: Correction, reply: Reply) -> None:
        """Take an entry back and book what it booked under its new name; ``refuse_correction`` comes before."""
        self._corrected[correction.entry] = None
        if len(self._corrected) > CORRECTED_MAX:
            self._corrected_until = min(self._corrected)
            del self._corrected[self._corrected_until]
        lines = tuple(Posting(line.account, line.currency, -line.amount) for line in correction.lines)
        self.book(EntryKind.CORRECTION, sequence, correction, lines, reply, reverses=correction.entry)
        again = _renamed(correction)
        # With a character that no venue's id has, so that the name is free.
        ids = {"symbol": correction.symbol, "movement_id": f"{correction.movement_id}/corrected-{correction.entry}"}
        self.book(EntryKind.MOVEMENT, sequence, correction, again, reply, **ids)

    def refuse_correction(self, correction: Correction) -> str | None:
        """Return in words why a correction cannot be booked; none when it can."""
        if not 1 <= correction.entry <= self.entries:
            return f"entry {correction.entry} is not there, the last one is {self.entries}"
        if correction.entry <= self._corrected_until:
            return f"whether one of the entries up to {self._corrected_until} was taken back is forgotten"
        if not _is_of_one_movement(correction):
            return f"entry {correction.entry} is not of one movement"
        currencies = dict.fromkeys(line.currency for line in correction.lines)
        if any(sum(line.amount for line in correction.lines if line.currency == each) for each in currencies):
            return f"the lines of entry {correction.entry} do not balance"
        reached = (self.balances.of(line.account, line.currency) + line.amount for line in _renamed(correction))
        return None if all(map(fits, reached)) else "no account of the books can hold so much"

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "entries": self.entries,
            "venue": self.venue,
            "balances": self.balances.snapshot(),
            "corrected": list(self._corrected),
            "corrected_until": self._corrected_until,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned; other fields are left alone."""
        self.entries, self.venue = state["entries"], state["venue"]
        self.balances.restore(state["balances"])
        self._corrected = dict.fromkeys(state["corrected"])
        self._corrected_until = state["corrected_until"]


def _is_of_one_movement(correction: Correction) -> bool:
    """Say whether one line is of what is held, one account says why, and the rest is what a position has made of it."""
    if not all(line.amount for line in correction.lines):
        return False
    held = [line for line in correction.lines if line.account == asset(line.currency)]
    others = dict.fromkeys(line.account for line in correction.lines if line not in held)
    rest = [account for account in others if account not in MOVED_TO_ACCOUNTS]
    return len(held) == 1 and len(others) == len(rest) + 1 and all(map(is_of_a_position, rest))


def _renamed(correction: Correction) -> tuple[Posting, ...]:
    """Return the lines under the new name: what is held, and what a position has made of it, stays as it is."""
    before, after = taken_for(correction), moved_to(correction.booked_as)
    return tuple(
        Posting(after if line.account == before else line.account, line.currency, line.amount)
        for line in correction.lines
    )


def value_of(correction: Correction, currency: str) -> Decimal:
    """Return what of ``currency`` has come in, or below zero gone out, under the old name."""
    before = taken_for(correction)
    named = (line for line in correction.lines if (line.account, line.currency) == (before, currency))
    return -sum((line.amount for line in named), ZERO)


def taken_for(correction: Correction) -> str:
    """Return the account that says what the movement was taken for."""
    return next(line.account for line in correction.lines if line.account in MOVED_TO_ACCOUNTS)
