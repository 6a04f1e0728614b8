"""What is to happen to orders by the clock: each thing at most once, in the order in which it is due."""

from dataclasses import dataclass
from enum import StrEnum


class Purpose(StrEnum):
    """What becomes of an order when its time has come."""

    EXPIRE = "expire"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Due:
    """One thing to do."""

    due_us: int
    purpose: Purpose
    venue_order_id: str
    trades_first: int = 0
    """Of a cancel: how much of the order trades just before it."""


class Timers:
    """The things to do; at most two for each open order."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, Purpose], Due] = {}
        self.next_us: int | None = None
        """When the next is due; none while nothing waits."""

    def put(self, due: Due) -> None:
        """Remember ``due``; what the order had of the same purpose gives way."""
        self._waiting[due.venue_order_id, due.purpose] = due
        self._find_next()

    def drop(self, venue_order_id: str) -> None:
        """Forget everything about an order, because it is over."""
        if not self._waiting:
            return
        for purpose in Purpose:
            self._waiting.pop((venue_order_id, purpose), None)
        self._find_next()

    def take(self, now_us: int) -> list[Due]:
        """Take out what is due, in the order of its time, then of its coming."""
        due = sorted((each for each in self._waiting.values() if each.due_us <= now_us), key=lambda each: each.due_us)
        for each in due:
            del self._waiting[each.venue_order_id, each.purpose]
        self._find_next()
        return due

    def _find_next(self) -> None:
        self.next_us = min((due.due_us for due in self._waiting.values()), default=None)
