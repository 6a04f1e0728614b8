"""The ledger's core, stepped over archived records as the service steps it over the tape."""

from collections.abc import Sequence
from typing import Any

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.reading import Reading
from tollgate_contracts.envelope import Message
from tollgate_contracts.marketdata import Clock
from tollgate_ledger.core import LedgerCore


class Stepping:
    """A fresh core, and all that a ledger's state holds beside it."""

    def __init__(self, desk: str) -> None:
        self.core = LedgerCore()
        self._reading = Reading(desk)
        self._cycle_id = 0

    def step(self, record: Record) -> Sequence[object]:
        """Take the next record and return what follows from it."""
        message = self._reading.read(record)
        if not isinstance(message, Message):
            return ()
        if isinstance(message, Clock):
            self._cycle_id = max(self._cycle_id, message.cycle_id)
        return self.core.step(record.sequence, message).effects

    def state(self) -> dict[str, Any]:
        """Return the state as the runner of a ledger keeps it."""
        return {"core": self.core.snapshot(), "reading": self._reading.snapshot(), "cycle_id": self._cycle_id}
