"""What a core is: a pure state machine that is stepped once for each message of the tape.

A core changes its state only when it is stepped, and the state after a step is a function of the tape up to it.
It ignores the outputs that it wrote itself, because it changed when it stepped their cause; it does step its
own service's outside events (those with no cause), because the tape is where it learns of them.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from tollgate_contracts.envelope import Message


@dataclass(frozen=True, slots=True)
class Step:
    """What one step asks for: messages to append, in order, and effects for the shell to carry out."""

    outputs: tuple[Message, ...] = ()
    effects: tuple[Any, ...] = ()


NOTHING = Step()


class Core(Protocol):
    """The pure heart of a service."""

    def step(self, sequence: int, message: Message) -> Step:
        """Apply the message at ``sequence`` and say what follows; never raises for a well-formed message."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-ready values; decimals as plain strings."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        ...
