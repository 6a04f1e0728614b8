"""Whether the venue and the books agree, told apart from mere lateness.

A balance and a fill reach the tape by different ways, so one comparison that differs proves nothing: the balance
may be older than a fill already booked, or newer than one still under way. The law: a difference is a drift when
``PATIENCE`` account messages in a row show it with the same sign. A balance stated before the newest trade that
is booked in its currency is not compared, and a fill that turns out to have traded before the balance just
compared takes that comparison back.
"""

from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Account, Movement
from tollgate_ledger.core.journal import held
from tollgate_ledger.core.parameters import Parameters

# Execution states the account every five seconds: a drift is said after some fifteen.
PATIENCE = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """What the books and the venue hold of one currency; ``ended`` where they agree again."""

    currency: str
    books: Decimal
    venue: Decimal
    ended: bool


@dataclass(slots=True)
class _Watch:
    """One currency: the sign of the last difference, how often in a row, and the sign that was reported."""

    sign: int = 0
    count: int = 0
    reported: int = 0
    traded_us: int = 0


class DriftWatch:
    """Compares each account message with the books."""

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}
        self._compared_us = 0

    @property
    def drifting(self) -> tuple[str, ...]:
        """The currencies in which a drift has been reported and has not ended, sorted."""
        return tuple(sorted(currency for currency, watch in self._watches.items() if watch.reported))

    def traded(self, message: Fill | Bust | Movement) -> None:
        """Note that ``message`` is booked."""
        # A venue that stamps a trade with a time to come would blind the comparison until then.
        traded_us = min(_venue_us(message), message.ts_us)
        for currency in _currencies(message):
            watch = self._watches.setdefault(currency, _Watch())
            watch.traded_us = max(watch.traded_us, traded_us)
            if traded_us <= self._compared_us:
                watch.count = 0

    def compare(self, books: dict[str, Decimal], account: Account, parameters: Parameters) -> list[Difference]:
        """Return the drifts that begin or end with ``account``, sorted by currency."""
        self._compared_us = max(self._compared_us, account.venue_ts_us)
        venue = held(account)
        found = []
        for currency in sorted({*books, *venue}):
            watch = self._watches.setdefault(currency, _Watch())
            if account.venue_ts_us < watch.traded_us:
                continue
            ours, theirs = books.get(currency, ZERO), venue.get(currency, ZERO)
            if self._advance(watch, theirs - ours, parameters.dust_of(currency)):
                found.append(Difference(currency, ours, theirs, ended=watch.reported == 0))
        return found

    @staticmethod
    def _advance(watch: _Watch, difference: Decimal, dust: Decimal) -> bool:
        """Count one comparison and say whether it is news."""
        sign = 0 if abs(difference) <= dust else (1 if difference > ZERO else -1)
        watch.count = watch.count + 1 if sign == watch.sign else 1
        watch.sign = sign
        is_news = sign != watch.reported and (sign == 0 or watch.count >= PATIENCE)
        if is_news:
            watch.reported = sign
        return is_news

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        watches = {currency: asdict(watch) for currency, watch in sorted(self._watches.items())}
        return {"compared_us": self._compared_us, "watches": watches}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self._compared_us = state["compared_us"]
        self._watches = {currency: _Watch(**watch) for currency, watch in state["watches"].items()}


def _currencies(message: Fill | Bust | Movement) -> tuple[str, ...]:
    if isinstance(message, Movement):
        return (message.currency,)
    return tuple(dict.fromkeys((*message.symbol.split("-"), message.trade.fee_currency)))


def _venue_us(message: Fill | Bust | Movement) -> int:
    if isinstance(message, Movement):
        return message.venue_ts_us
    # Of a bust only our own time is known: the venue's is that of the trade, long before.
    return message.ts_us if isinstance(message, Bust) else message.trade.venue_ts_us
