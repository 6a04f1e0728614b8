"""What waits to be sent while a process that has just started does not know yet what the venue holds of ours.

The law of this module: it begins by holding everything back. An order that makes a position smaller waits for the
venue's orders and fills to be read, and for nothing else; any other one for the whole of the first round. Cancels and
questions never come here.
"""

from collections.abc import Callable
from enum import Enum, auto

from tollgate_execution.core import Submit


class _Open(Enum):
    """What need not wait any more."""

    NOTHING = auto()
    EXITS = auto()
    EVERYTHING = auto()


class Holding:
    """Holds submits back, by the id by which the venue would know them."""

    def __init__(self, is_exit: Callable[[Submit], bool]) -> None:
        """``is_exit`` says of a submit, whenever it is asked, whether it makes a position smaller now."""
        self._is_exit = is_exit
        self._open = _Open.NOTHING
        self._held: dict[str, Submit] = {}

    def keeps(self, submit: Submit) -> bool:
        """Hold ``submit`` back if it must wait; says whether it does."""
        if self._open is _Open.EVERYTHING or (self._open is _Open.EXITS and self._is_exit(submit)):
            return False
        self._held[submit.placing.venue_id] = submit
        return True

    def open_to_exits(self) -> list[Submit]:
        """Hold exits back no more; returns those that have waited, oldest first."""
        if self._open is _Open.NOTHING:
            self._open = _Open.EXITS
        return self._take(self._is_exit)

    def open_to_everything(self) -> list[Submit]:
        """Hold nothing back any more; returns what has waited, oldest first."""
        self._open = _Open.EVERYTHING
        return self._take(lambda _: True)

    def take_expired(self, now_us: int) -> list[Submit]:
        """Return what may not be sent any more, and forget it; ``now_us`` is the wall clock's time."""
        return self._take(lambda submit: submit.placing.until_us <= now_us)

    def _take(self, which: Callable[[Submit], bool]) -> list[Submit]:
        taken = [submit for submit in self._held.values() if which(submit)]
        for submit in taken:
            del self._held[submit.placing.venue_id]
        return taken
