"""Which trades are booked already: the same trade again is a duplicate, with other content it is an alarm.

Only the newest are remembered here, because the memory is part of every snapshot. For the older ones the books
themselves remember: the database refuses a symbol's trade id a second time, for ever.
"""

import hashlib
from collections.abc import Iterable
from enum import Enum

from tollgate_contracts.execution import Fill

# A venue's user stream repeats at most what it last sent before a reconnect, some hundred trades.
REMEMBERED_MAX = 512
# 64 bits: that two of 512 remembered digests are equal by chance is less likely than one in 10^13.
_DIGITS = 16


class Seen(Enum):
    """What is known of a trade."""

    NEW = "new"
    SAME = "same"
    CONFLICTING = "conflicting"


class Trades:
    """The newest booked trades: a digest of symbol and trade id, and one of the whole content."""

    def __init__(self) -> None:
        self._content_of: dict[str, str] = {}

    def look_up(self, fill: Fill) -> Seen:
        """Say what is known of ``fill``'s trade."""
        key, content = _digests(fill)
        known = self._content_of.get(key)
        if known is None:
            return Seen.NEW
        return Seen.SAME if known == content else Seen.CONFLICTING

    def remember(self, fill: Fill) -> None:
        """Note that ``fill`` is booked, and forget the oldest beyond the bound."""
        key, content = _digests(fill)
        self._content_of[key] = content
        if len(self._content_of) > REMEMBERED_MAX:
            del self._content_of[next(iter(self._content_of))]

    def snapshot(self) -> str:
        """Return the state as one text, oldest first: a JSON object would lose the order in the database."""
        return " ".join(f"{key}={content}" for key, content in self._content_of.items())

    def restore(self, state: str) -> None:
        """Take back what ``snapshot`` returned."""
        self._content_of = dict(_pairs(state))


def _pairs(state: str) -> Iterable[tuple[str, str]]:
    for pair in state.split():
        key, _, content = pair.partition("=")
        yield key, content


def _digests(fill: Fill) -> tuple[str, str]:
    content = f"{fill.client_order_id}/{fill.side}/{fill.trade.model_dump_json()}"
    return _digest(f"{fill.symbol}/{fill.trade.trade_id}"), _digest(f"{fill.symbol}/{content}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
