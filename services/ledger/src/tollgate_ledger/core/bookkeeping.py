"""Who writes the journal: numbers the entries, keeps the trial balance, and takes entries back.

A correction changes what a movement is called and never what is held: of what we hold the venue's word counts, and all
who keep balances have followed the same movement. So the entry is taken back line by line, and booked again under its
new name, both because of one message. A trade is taken back by the venue's bust, and by nothing else.
"""

from typing import Any

from tollgate_contracts.envelope import Message
from tollgate_contracts.ledger import Correction
from tollgate_contracts.money import ZERO
from tollgate_ledger.core.balances import Balances
from tollgate_ledger.core.journal import EntryKind, JournalEntry, Posting, asset, moved_postings
from tollgate_ledger.core.reply import Reply

# An operator corrects by hand; the database refuses an older one a second time, for ever.
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
        held = held_line(correction)
        self._corrected[correction.entry] = None
        if len(self._corrected) > CORRECTED_MAX:
            del self._corrected[next(iter(self._corrected))]
        lines = tuple(Posting(line.account, line.currency, -line.amount) for line in correction.lines)
        self.book(EntryKind.CORRECTION, sequence, correction, lines, reply, reverses=correction.entry)
        again = moved_postings(correction.booked_as, held.currency, held.amount)
        ids = {"symbol": correction.symbol, "movement_id": f"{correction.movement_id}.corrected-{correction.entry}"}
        self.book(EntryKind.MOVEMENT, sequence, correction, again, reply, **ids)

    def refuse_correction(self, correction: Correction) -> str | None:
        """Return in words why a correction cannot be booked; none when it can."""
        if not 1 <= correction.entry <= self.entries:
            return f"entry {correction.entry} is not there, the last one is {self.entries}"
        if sum(line.account == asset(line.currency) for line in correction.lines) != 1:
            return f"entry {correction.entry} is not of one movement"
        total = sum((line.amount for line in correction.lines), ZERO)
        if len({line.currency for line in correction.lines}) != 1 or total:
            return f"the lines of entry {correction.entry} do not balance"
        return None

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "entries": self.entries,
            "venue": self.venue,
            "balances": self.balances.snapshot(),
            "corrected": list(self._corrected),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned; other fields are left alone."""
        self.entries, self.venue = state["entries"], state["venue"]
        self.balances.restore(state["balances"])
        self._corrected = dict.fromkeys(state["corrected"])


def held_line(correction: Correction) -> Posting:
    """Return the line of what has come in or gone out."""
    line = next(line for line in correction.lines if line.account == asset(line.currency))
    return Posting(line.account, line.currency, line.amount)


def taken_for(correction: Correction) -> str:
    """Return the account that says what the movement was taken for."""
    return next(line.account for line in correction.lines if line.account != asset(line.currency))
