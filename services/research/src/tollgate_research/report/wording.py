"""The same numbers in the same words, in the terminal and on the page."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from tollgate_contracts.money import ZERO, round_to_places
from tollgate_research.report.span import DAY_US
from tollgate_research.report.values import Estimate, HoldTimes, Report

NONE = "\N{EM DASH}"
MINUS = "\N{MINUS SIGN}"
# Amounts of a report have as many places as its largest one makes readable: cents of thousands, more of less.
_PLACES = ((Decimal(100), 2), (Decimal(1), 4))
_PLACES_MAX = 6
_PLACES_OF_NOTHING = 2
_UNITS = ((DAY_US, "d"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms"), (1, "µs"))


@dataclass(frozen=True, slots=True)
class Wording:
    """How amounts are written in one report."""

    currency: str
    places: int

    def amount(self, value: Decimal | None, *, signed: bool = False) -> str:
        """Return an amount rounded for reading, without its currency."""
        if value is None:
            return NONE
        rounded = round_to_places(value, self.places)
        plus = "+" if signed and rounded > ZERO else ""
        # What rounds to nothing has no sign.
        return f"{plus}{rounded or ZERO:,.{self.places}f}".replace("-", MINUS)

    def money(self, value: Decimal | None, *, signed: bool = False) -> str:
        """Return an amount with its currency."""
        return NONE if value is None else f"{self.amount(value, signed=signed)} {self.currency}"


def wording_of(report: Report) -> Wording:
    """Return how the amounts of a report are written."""
    parts = report.change.parts
    largest = max(abs(part) for part in (parts.edge, parts.slippage, parts.fees, parts.funding, parts.net))
    places = next((places for least, places in _PLACES if largest >= least), _PLACES_MAX)
    places = places if largest else _PLACES_OF_NOTHING
    return Wording(report.provenance.quote_currency, places)


def number(value: float | None, places: int = 2) -> str:
    """Return a number, none as a dash."""
    return NONE if value is None else f"{value:,.{places}f}".replace("-", MINUS)


def measured(value: float | None, unit: str, places: int = 2) -> str:
    """Return a number with its unit, none as a dash alone."""
    return NONE if value is None else f"{number(value, places)} {unit}"


def percent(value: float | None, places: int = 1) -> str:
    """Return a share as percent."""
    return NONE if value is None else f"{number(value * 100, places)} %"


def within(estimate: Estimate, show: Callable[[float], str]) -> str:
    """Return the interval of an estimate; empty without one."""
    if estimate.interval is None:
        return ""
    high = estimate.interval.high
    return f"{show(estimate.interval.low)} to {'without bound' if high is None else show(high)}"


def plural(count: int, thing: str) -> str:
    """Return a count with what is counted."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def lasting(microseconds: int) -> str:
    """Return a span of time in its largest unit, to about three digits."""
    for unit_us, name in _UNITS:
        if abs(microseconds) >= unit_us:
            count = microseconds / unit_us
            return f"{count:.0f} {name}" if count >= 100 or count == int(count) else f"{count:.1f} {name}"  # noqa: PLR2004 - three digits
    return "0 s"


def hold_bins(times: HoldTimes) -> list[tuple[str, int]]:
    """Return the bins from the first to the last that has any, by name; empty without any."""
    bounds = [lasting(bound) for bound in times.bounds_us]
    names = [f"< {bounds[0]}", *(_between(low, high) for low, high in pairwise(bounds)), f"{bounds[-1]} +"]
    filled = [place for place, count in enumerate(times.counts) if count]
    if not filled:
        return []
    return list(zip(names, times.counts, strict=True))[filled[0] : filled[-1] + 1]


def _between(low: str, high: str) -> str:
    """Return a span of times, of which the unit is said once where it is one."""
    (least, unit), (_, other) = low.split(), high.split()
    return f"{least if unit == other else low}\N{EN DASH}{high}"


def short(digest: str) -> str:
    """Return the beginning of a hash, by which people know it."""
    return digest[:12]


def join(parts: Iterable[str]) -> str:
    """Return what there is of some parts as one line."""
    return ", ".join(part for part in parts if part)
