"""What waits for the ledger's own configuration: in its order, and with the marks that were in force then.

The law of this module: balances, capital and treasury are what they would be had the configuration come first. So
whatever opens the books, moves money or tells how it is split waits, and a clock where it may be the first look at a
mark; all else needs no memory. The list is as long as what has moved: of the clocks only those wait that see a symbol
which none before has seen, and of the statements of one account the first since anything else has come. The day on
which what waits is counted, and the times of its trips, are those of the configuration.
"""

from decimal import Decimal
from typing import Any, NamedTuple

from tollgate_contracts.codec import decode, encode
from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.money import plain
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_contracts.risk import Policy

Waits = Policy | Account | Fill | Bust | Movement | Clock
"""What the books cannot take up without a configuration."""


class Held(NamedTuple):
    """A message that waits, where it lies on the tape, and by symbol the marks when it came."""

    sequence: int
    message: Waits
    marks: dict[str, Decimal]


class Waiting:
    """A list of what waits."""

    def __init__(self) -> None:
        self._held: list[Held] = []

    def add(self, held: Held) -> None:
        """Let a message wait, unless it can make no difference."""
        match held.message:
            case Clock() if not self._is_first_look(held.marks):
                return
            case Account() as account if self._has_statement(account):
                return
        self._held.append(held)

    def _is_first_look(self, marks: dict[str, Decimal]) -> bool:
        clocks = (held.marks for held in reversed(self._held) if isinstance(held.message, Clock))
        # Marks are never forgotten: what the last clock has not seen, none has.
        return bool(self._held) and marks.keys() != next(clocks, {}).keys()

    def _has_statement(self, account: Account) -> bool:
        for held in reversed(self._held):
            if isinstance(held.message, Account):
                if (held.message.venue, held.message.account) == (account.venue, account.account):
                    return True
            elif not isinstance(held.message, Clock):
                return False
        return False

    def take_up(self) -> list[Held]:
        """Return what waits, in order; none of it waits any longer."""
        held, self._held = self._held, []
        return held

    def snapshot(self) -> list[Any]:
        """Return the state as JSON-ready values."""
        return [
            [held.sequence, encode(held.message).decode(), {name: plain(mark) for name, mark in held.marks.items()}]
            for held in self._held
        ]

    def restore(self, state: list[Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self._held = [
            Held(sequence, _message(text), {name: Decimal(mark) for name, mark in marks.items()})
            for sequence, text, marks in state
        ]


def _message(text: str) -> Waits:
    message = decode(text.encode())
    if not isinstance(message, Waits):
        raise TypeError(f"a {message.kind} does not wait for a configuration")
    return message
