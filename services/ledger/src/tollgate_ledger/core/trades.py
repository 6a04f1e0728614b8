"""Which trades, busts and movements are booked already: the same again is a duplicate, with other content an alarm.

Only the newest by the venue's time are remembered here, because the memory is part of every snapshot, and of what is
forgotten the newest time: what is not remembered and not newer than that may be booked or not, and nobody can say it
from here. It is an alarm and left out, so that whatever it was it is never booked twice; the comparison with the venue
shows what is missing. What is newer than all that is forgotten and not remembered was never booked.
"""

import hashlib
from collections.abc import Iterable
from enum import Enum
from heapq import heapify, heappop, heappush
from typing import Any

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import plain
from tollgate_contracts.reconciliation import Movement

# At a trade a second, more than two hours of them; a snapshot has some 50 bytes for each.
TRADES_MAX = 8_192
# Of busts and movements a venue has a few a day; an order that is refused is one by mistake.
OTHERS_MAX = 1_024
# 64 bits: that two of 8,192 remembered digests are equal by chance is less likely than one in 10^11.
_DIGITS = 16
# Movements have no symbol: of what is forgotten there is one time for all.
_ACCOUNT = "account"


Booked = Fill | Bust | Movement


class Seen(Enum):
    """What is known of a message."""

    NEW = "new"
    SAME = "same"
    CONFLICTING = "conflicting"
    TOO_OLD = "too_old"
    """It is not newer than what has been forgotten: it may have been booked, or not."""


class _Newest:
    """Of what was booked, the newest by the venue's time: a digest of what each is about, and of its content."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._content_of: dict[str, str] = {}
        self._oldest_first: list[tuple[int, str, str]] = []
        """Time, key and symbol of each; a heap."""
        self._forgotten_us: dict[str, int] = {}
        """By symbol, the newest time of anything that was forgotten."""

    def look_up(self, symbol: str, venue_us: int, key: str, content: str) -> Seen:
        known = self._content_of.get(key)
        if known is not None:
            return Seen.SAME if known == content else Seen.CONFLICTING
        return Seen.TOO_OLD if venue_us <= self._forgotten_us.get(symbol, -1) else Seen.NEW

    def content_of(self, key: str) -> str | None:
        return self._content_of.get(key)

    def keep(self, symbol: str, venue_us: int, key: str, content: str) -> None:
        """Remember what was NEW, and forget the oldest beyond the bound, which may be that very one."""
        self._content_of[key] = content
        heappush(self._oldest_first, (venue_us, key, symbol))
        if len(self._content_of) > self._size_max:
            forgotten_us, forgotten, of_symbol = heappop(self._oldest_first)
            del self._content_of[forgotten]
            self._forgotten_us[of_symbol] = max(self._forgotten_us.get(of_symbol, -1), forgotten_us)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values: by symbol one text, the oldest first."""
        texts: dict[str, list[str]] = {}
        for venue_us, key, symbol in sorted(self._oldest_first):
            texts.setdefault(symbol, []).append(f"{venue_us}:{key}={self._content_of[key]}")
        return {
            "booked": {symbol: " ".join(texts[symbol]) for symbol in sorted(texts)},
            "forgotten_us": dict(sorted(self._forgotten_us.items())),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        remembered = list(_remembered(state["booked"]))
        self._content_of = {key: content for _, _, key, content in remembered}
        self._oldest_first = [(venue_us, key, symbol) for symbol, venue_us, key, _ in remembered]
        heapify(self._oldest_first)
        self._forgotten_us = dict(state["forgotten_us"])


class Trades:
    """What was booked: the newest of fills, of busts, and of movements; and which fills were refused of late."""

    def __init__(self, trades_max: int = TRADES_MAX, others_max: int = OTHERS_MAX) -> None:
        self._others_max = others_max
        self._fills = _Newest(trades_max)
        self._busts = _Newest(others_max)
        self._movements = _Newest(others_max)
        self._refused: dict[str, None] = {}

    def look_up(self, message: Booked) -> Seen:
        """Say what is known of what ``message`` would book."""
        return self._memory_of(message).look_up(*_place(message), *_digests(message))

    def booked_otherwise(self, bust: Bust) -> bool:
        """Say whether the trade that is taken back is known to have been booked with other content."""
        key, content = _digests(bust)
        known = self._fills.content_of(key)
        return known is not None and known != content

    def refuse(self, fill: Fill) -> None:
        """Note that a fill is not booked though it has come; one that is booked later is no longer refused."""
        self._refused[_digests(fill)[0]] = None
        if len(self._refused) > self._others_max:
            del self._refused[next(iter(self._refused))]

    def was_refused(self, bust: Bust) -> bool:
        """Say whether the trade that is taken back is known to have come and not to have been booked."""
        return _digests(bust)[0] in self._refused

    def remember(self, message: Booked) -> None:
        """Note that ``message``, which was new, is booked."""
        key, content = _digests(message)
        if isinstance(message, Fill):
            self._refused.pop(key, None)
        self._memory_of(message).keep(*_place(message), key, content)

    def _memory_of(self, message: Booked) -> _Newest:
        if isinstance(message, Movement):
            return self._movements
        return self._busts if isinstance(message, Bust) else self._fills

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "fills": self._fills.snapshot(),
            "busts": self._busts.snapshot(),
            "movements": self._movements.snapshot(),
            "refused": list(self._refused),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self._fills.restore(state["fills"])
        self._busts.restore(state["busts"])
        self._movements.restore(state["movements"])
        self._refused = dict.fromkeys(state["refused"])


def _remembered(texts: dict[str, str]) -> Iterable[tuple[str, int, str, str]]:
    for symbol, text in texts.items():
        for word in text.split():
            venue_us, _, pair = word.partition(":")
            key, _, content = pair.partition("=")
            yield symbol, int(venue_us), key, content


def _place(message: Booked) -> tuple[str, int]:
    """Return under which symbol the message is remembered, and the venue's time: of a bust, that of its trade."""
    if isinstance(message, Movement):
        return _ACCOUNT, message.venue_ts_us
    return message.symbol, message.trade.venue_ts_us


def _digests(message: Booked) -> tuple[str, str]:
    if isinstance(message, Movement):
        rate = "" if message.rate is None else plain(message.rate)
        content = f"{message.movement}/{message.currency}/{plain(message.amount)}/{message.symbol}/{rate}"
        # The books are of one account, and have an id once: under another account's name it is no other movement.
        return _digest(message.movement_id), _digest(f"{message.venue}/{message.account}/{content}")
    rate = "" if message.fee_rate is None else plain(message.fee_rate)
    content = f"{message.client_order_id}/{message.side}/{message.trade.model_dump_json()}/{rate}"
    return _digest(f"{message.symbol}/{message.trade.trade_id}"), _digest(f"{message.symbol}/{content}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
