"""Whose turn it is to be the active instance of a service, as far as one instance has heard. Pure.

A turn is a guess, and a wrong one does no harm: what makes an instance the active one is its tenure on the tape,
which is appended behind the last word of the one before it, or not at all (docs/decisions/0015).
"""

from enum import Enum

from pydantic import BaseModel, ConfigDict

# An active instance whose own loop stood still for longer than this vouches for nothing until it has asked the tape.
# It is less than the silence below, so that whoever is taken for dead has stopped vouching before.
AWAY_US_MAX = 400_000
# A question goes out this often; a healthy instance answers within a hundredth of it.
ASK_EVERY_S = 0.1
# So many questions in a row without an answer, 0.6 s, are silence. They are counted and not timed: an instance that
# was itself stopped for a minute has heard no silence.
UNANSWERED_MAX = 6


class Presence(BaseModel):
    """What the active instance answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    instance: str
    tenure: int
    """Tape sequence of the message that made it the active one."""
    position: int
    """The last tape sequence that it has applied."""


class Heard(Enum):
    """What came of asking once who is active."""

    ANSWER = "answer"
    SILENCE = "silence"
    """Somebody is connected who should have answered, and did not."""
    NOBODY = "nobody"
    """The broker says that no instance listens: an active one would."""


class Turn:
    """Counts what was heard."""

    def __init__(self) -> None:
        self.active: str | None = None
        """The instance that was last known to be active; none when none was ever heard of."""
        self._unanswered = 0
        self._heard_nobody = False
        self._insists = False

    @property
    def is_ours(self) -> bool:
        """Say whether this instance should try to become the active one."""
        return self._insists or self._heard_nobody or self._unanswered >= UNANSWERED_MAX

    def note(self, heard: Heard) -> None:
        """Note what came of one question."""
        self._heard_nobody = heard is Heard.NOBODY
        self._unanswered = self._unanswered + 1 if heard is Heard.SILENCE else 0

    def name(self, instance: str) -> None:
        """Note who is active, by its own word or by the tape's."""
        self.active = instance

    def insist(self) -> None:
        """Make it our turn whoever is active, until the tape has decided."""
        self._insists = True

    def begin_anew(self) -> None:
        """Note that another has just become active: listen anew. Who insisted goes on insisting."""
        self._heard_nobody = False
        self._unanswered = 0
