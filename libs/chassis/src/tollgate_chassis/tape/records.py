"""What lies on the tape, and what can be wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tollgate_chassis.exits import Halt, Restart

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Record:
    """One stored message: where it lies, under which name, and its exact bytes."""

    sequence: int
    subject: str
    message_id: str
    data: bytes
    headers: Mapping[str, str]
    stored_us: int
    """The broker's time of storing, microseconds UTC, 0 where the tape has no clock; it is measured with, and tells
    a writer's wrong clock, and nothing is decided by it."""

    def check_is(self, subject: str, data: bytes) -> None:
        """Raise ``TakenId`` when this record, found under the id of an append, is not what was appended."""
        if (self.subject, self.data) != (subject, data):
            raise TakenId(
                f"append to {subject}: its id {self.message_id} lies on the tape at {self.sequence} already, under "
                f"{self.subject} or with other content; find out who wrote it before starting again"
            )


@dataclass(frozen=True, slots=True)
class Bounds:
    """First and last sequence on the tape; an empty tape has first 1 and last 0."""

    first: int
    last: int


class LostRace(Restart):
    """Another writer has appended under this service's name first."""


class Superseded(LostRace):
    """The tape says that another instance writes for this service from here on."""


class NotActive(Restart):
    """Only the active instance of a service may write, and this one is not, or not yet."""


class TapeUnavailable(Restart):
    """The broker did not answer in time, or the connection is gone; the outcome of an append is not known."""


class TapeFull(Halt):
    """The broker has no room for another message; nothing that is on the tape is lost."""


class TooLarge(Halt):
    """This process wants to write a message that no reader would take; it would want so again."""


class TakenId(Halt):
    """Another writer has used an id of this service, and the broker takes no second message with it."""


class TapeWentBackwards(Halt):
    """The tape ends before, or differs at, a place that this service has already read."""


class TapeLostItsHead(Halt):
    """The tape begins after the place from which this service must read."""
