"""What one step of the gate answers, as it comes together; outputs are numbered in the order of being said."""

from typing import Any, TypeVar

from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message

M = TypeVar("M", bound=Message)


class Reply:
    """The outputs of the step that reads ``cause`` at ``sequence``."""

    def __init__(self, sequence: int, cause: Message) -> None:
        self.sequence = sequence
        self.cause = cause
        self._outputs: list[Message] = []

    @property
    def next_id(self) -> str:
        """The id of the output that is said next."""
        return f"risk:{self.sequence}:{len(self._outputs)}"

    def say(self, kind: type[M], **fields: Any) -> M:
        """Add an output, caused by what is read."""
        output = kind.caused_by(self.cause, self.sequence, len(self._outputs), **fields)
        self._outputs.append(output)
        return output

    def step(self) -> Step:
        """Return the whole."""
        return Step(outputs=tuple(self._outputs)) if self._outputs else NOTHING
