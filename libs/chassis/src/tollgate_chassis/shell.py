"""What a service does around its core: everything that is not a decision."""

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from tollgate_chassis.tape import Record
from tollgate_contracts.core import Step
from tollgate_contracts.envelope import Message

if TYPE_CHECKING:
    from tollgate_chassis.runner import Runner


class Shell:
    """The shell of a service that only reads and writes the tape; services override what they need."""

    span_name = "tape.step"
    """Name of the span around a step that leads to something."""

    wakes_on: frozenset[str] | None = None
    """Kinds that the service answers to at once; others are applied with the next of these, or a moment later."""

    drain_s_max: float = 4.0
    """How long ``drain`` may take; who ends the process by force must be more patient than this."""

    async def start(self, runner: "Runner") -> None:
        """Connect what the service needs besides the tape; called before the first record is read."""

    def background(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what runs beside the reader; when one of them ends or raises, the process ends."""
        return ()

    def finish(self, output: Message) -> Message:
        """Complete an output that the core left open, as risk signs; must be deterministic."""
        return output

    async def carry_out(self, record: Record, message: Message, step: Step, live: bool) -> None:
        """Begin the step's effects, before its outputs are appended; called also in recovery, with ``live`` false."""

    async def settled(self, record: Record) -> None:
        """Note that the record is applied and its outputs, when live, are on the tape; called for every record."""

    async def went_live(self) -> None:
        """Act on the recovered state, once, after the last missing output was appended."""

    async def drain(self) -> None:
        """End in order what was begun; called once, when the process is told to stop, while the tape is still followed.

        Not called where there is nothing to end in order: while another instance is active, or before going live.
        """

    async def stop(self) -> None:
        """Let go of what ``start`` took."""

    def status(self) -> dict[str, Any]:
        """Return what ``GET /v1/status`` tells besides the tape's position."""
        return {}

    def not_ready(self) -> list[str]:
        """Return what keeps this service from doing its work, in words; empty when it is ready."""
        return []
