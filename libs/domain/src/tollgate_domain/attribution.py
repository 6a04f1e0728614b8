"""Where results came from: round trips grouped by what they have in common.

The law: **the groups sum to the whole.** Every row belongs to exactly one group, one of which nothing is known to the
group of the empty key, and sums are exact; so for each group as for all of them together::

    gross == edge - slippage
    net == gross - fees + funding
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from tollgate_contracts.money import ZERO, Exact

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


class By(StrEnum):
    """What round trips may be grouped by."""

    SIGNAL = "signal"
    SYMBOL = "symbol"
    REGIME = "regime"
    TIER = "tier"
    HOUR = "hour"
    """The hour of the UTC day in which the trip ended, as two digits."""
    DAY = "day"
    """The UTC day on which the trip ended, as in ``2026-11-21``."""


class Row(Protocol):
    """A round trip that has ended, from wherever it was read; amounts in quote currency."""

    @property
    def symbol(self) -> str:
        """Of the trip."""

    @property
    def signal(self) -> str | None:
        """By which it was opened."""

    @property
    def regime(self) -> str | None:
        """In which it was opened."""

    @property
    def tier(self) -> str | None:
        """At which it was opened."""

    @property
    def closed_us(self) -> int:
        """When it ended."""

    @property
    def edge(self) -> Decimal:
        """What it would have brought at the prices at which it was decided."""

    @property
    def slippage(self) -> Decimal:
        """Above zero has cost us."""

    @property
    def fees(self) -> Decimal:
        """Above zero was paid by us."""

    @property
    def funding(self) -> Decimal:
        """Above zero was received."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What some trips have brought together, and where it came from; in quote currency."""

    trips: int = 0
    edge: Exact = ZERO
    slippage: Exact = ZERO
    fees: Exact = ZERO
    funding: Exact = ZERO

    @property
    def gross(self) -> Decimal:
        """What closing has brought over what opening has cost."""
        return self.edge - self.slippage

    @property
    def net(self) -> Decimal:
        """What is left after all."""
        return self.gross - self.fees + self.funding

    def plus(self, other: "Parts | Row") -> "Parts":
        """Return these parts with one more row, or with those of others."""
        return Parts(
            trips=self.trips + (other.trips if isinstance(other, Parts) else 1),
            edge=self.edge + other.edge,
            slippage=self.slippage + other.slippage,
            fees=self.fees + other.fees,
            funding=self.funding + other.funding,
        )


def key_of(row: Row, by: By) -> str:
    """Return the key of the group to which a row belongs; empty where nothing is known."""
    match by:
        case By.HOUR:
            return f"{row.closed_us % _DAY_US // _HOUR_US:02}"
        case By.DAY:
            return date_of(row.closed_us // _DAY_US)
        case By.SYMBOL:
            return row.symbol
        case By.SIGNAL:
            return row.signal or ""
        case By.REGIME:
            return row.regime or ""
        case By.TIER:
            return row.tier or ""


def grouped(rows: Iterable[Row], by: By) -> dict[str, Parts]:
    """Return the parts of each group by its key, sorted by key; one pass, in memory for the groups alone."""
    groups: dict[str, Parts] = {}
    for row in rows:
        key = key_of(row, by)
        groups[key] = groups.get(key, Parts()).plus(row)
    return {key: groups[key] for key in sorted(groups)}


def whole(rows: Iterable[Row]) -> Parts:
    """Return the parts of all rows together."""
    parts = Parts()
    for row in rows:
        parts = parts.plus(row)
    return parts


def date_of(day: int) -> str:
    """Return the date of a day since the epoch, from zero up, as in ``2026-11-21``.

    By eras of 400 years that begin in March, so that a leap day is the last of its year; the calendar repeats itself
    after each (H. Hinnant, chrono-compatible low-level date algorithms).
    """
    era, of_era = divmod(day + 719_468, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march_month = (5 * of_year + 2) // 153
    month = march_month + 3 if march_month < 10 else march_month - 9  # noqa: PLR2004 - January and February end the year
    year += 400 * era + (month <= 2)  # noqa: PLR2004 - as above
    return f"{year:04}-{month:02}-{of_year - (153 * march_month + 2) // 5 + 1:02}"
