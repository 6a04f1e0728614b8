"""What one step of the books answers, as it comes together."""

from decimal import Decimal
from typing import Any

from tollgate_contracts.envelope import Message
from tollgate_contracts.ledger import Books, Drift
from tollgate_ledger.core.journal import Alarm, JournalEntry
from tollgate_ledger.core.rows import Row


class Reply:
    """The outputs and effects of one step, in order."""

    def __init__(self, sequence: int, cause: Message) -> None:
        self.outputs: list[Message] = []
        self.effects: list[JournalEntry | Alarm | Row] = []
        self.booked = False
        """Whether the books have changed, and are to be said."""
        self.marks: dict[str, Decimal] | None = None
        """The marks that were in force when what has waited came; none where nothing has waited."""
        self._sequence = sequence
        self._cause = cause

    def say(self, kind: type[Books] | type[Drift], **fields: Any) -> None:
        """Add an output of ``kind``."""
        self.outputs.append(kind.caused_by(self._cause, self._sequence, len(self.outputs), **fields))
