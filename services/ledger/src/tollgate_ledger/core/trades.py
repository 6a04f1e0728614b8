"""Which trades, busts and movements are booked already: the same again is a duplicate, with other content an alarm.

Only the newest are remembered here, because the memory is part of every snapshot. For the older ones the books
themselves remember: the database refuses a symbol's trade id, or a movement's id, a second time, for ever.
"""

import hashlib
from collections.abc import Iterable
from enum import Enum

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import plain
from tollgate_contracts.reconciliation import Movement

# A venue's user stream repeats at most what it last sent before a reconnect, some hundred trades.
REMEMBERED_MAX = 512
# 64 bits: that two of 512 remembered digests are equal by chance is less likely than one in 10^13.
_DIGITS = 16


Booked = Fill | Bust | Movement


class Seen(Enum):
    """What is known of a message."""

    NEW = "new"
    SAME = "same"
    CONFLICTING = "conflicting"


class Trades:
    """What was booked last: a digest of what it is about, and one of the whole content."""

    def __init__(self) -> None:
        self._content_of: dict[str, str] = {}

    def look_up(self, message: Booked) -> Seen:
        """Say what is known of what ``message`` would book."""
        key, content = _digests(message)
        known = self._content_of.get(key)
        if known is None:
            return Seen.NEW
        return Seen.SAME if known == content else Seen.CONFLICTING

    def booked_otherwise(self, bust: Bust) -> bool:
        """Say whether the trade that is taken back is known to have been booked with other content."""
        key, content = _trade_digests("", bust)
        return self._content_of.get(key, content) != content

    def refuse(self, fill: Fill) -> None:
        """Note that a fill is not booked though it has come; one that is booked later is no longer refused."""
        self._keep(*_trade_digests("refused/", fill))

    def was_refused(self, bust: Bust) -> bool:
        """Say whether the trade that is taken back is known to have come and not to have been booked."""
        return _trade_digests("refused/", bust)[0] in self._content_of

    def remember(self, message: Booked) -> None:
        """Note that ``message`` is booked, and forget the oldest beyond the bound."""
        if isinstance(message, Fill):
            self._content_of.pop(_trade_digests("refused/", message)[0], None)
        self._keep(*_digests(message))

    def _keep(self, key: str, content: str) -> None:
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


def _digests(message: Booked) -> tuple[str, str]:
    if isinstance(message, Movement):
        content = f"{message.movement}/{message.currency}/{plain(message.amount)}/{message.symbol}"
        return _digest(f"movement/{message.venue}/{message.account}/{message.movement_id}"), _digest(content)
    return _trade_digests("bust/" if isinstance(message, Bust) else "", message)


def _trade_digests(kind: str, message: Fill | Bust) -> tuple[str, str]:
    rate = "" if message.fee_rate is None else plain(message.fee_rate)
    content = f"{message.client_order_id}/{message.side}/{message.trade.model_dump_json()}/{rate}"
    return _digest(f"{kind}{message.symbol}/{message.trade.trade_id}"), _digest(f"{message.symbol}/{content}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
