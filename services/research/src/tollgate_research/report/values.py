"""What a report says, as values: the terminal, the page and JSON show these.

Money is exact and in the desk's quote currency. What statistics make of it - ratios, means, intervals - is floats,
null where there is too little to say it of.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import TypeAdapter

from tollgate_contracts.money import ZERO, Exact
from tollgate_research.report.span import Span


@dataclass(frozen=True, slots=True)
class Point:
    """The books at one moment; sums are since the desk's opening."""

    ts_us: int
    tape_sequence: int
    equity: Exact
    fees: Exact
    """Of trades."""
    funding: Exact
    treasury: Exact
    transfers: Exact
    """What has come in or gone out, with what the account held at opening."""
    charges: Exact
    """Apart from any trade, less what was paid back."""
    other: Exact
    """Dust, and what is missing of what no evidence explains."""


@dataclass(frozen=True, slots=True)
class Attribution:
    """Where a result came from: ``net = edge - slippage - fees + funding + other``, exactly."""

    edge: Exact
    """What prices at the decisions would have brought."""
    slippage: Exact
    """What worse prices than those have cost; below zero where they were better."""
    fees: Exact
    funding: Exact
    net: Exact
    other: Exact = ZERO
    """Dust, and what is missing of what no evidence explains; a round trip has none."""


@dataclass(frozen=True, slots=True)
class Change:
    """How the equity at the start became that at the end: ``last = first + net + transfers``, exactly."""

    first: Point
    last: Point
    parts: Attribution
    transfers: Exact


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value lies with a confidence of 95 %; ``method`` says how that was worked out."""

    low: float
    high: float | None
    """Null for no bound above."""
    method: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic of a sample of ``count``."""

    value: float | None
    interval: Interval | None
    count: int


@dataclass(frozen=True, slots=True)
class HoldTimes:
    """How long round trips were held: how many in each bin, and what share was held for no longer, microseconds."""

    bounds_us: tuple[int, ...]
    counts: tuple[int, ...]
    """One more than bounds: under the first, between each two, at and over the last."""
    quantiles_us: tuple[tuple[int, int], ...]
    """Percent and time, by percent; empty without trips."""


@dataclass(frozen=True, slots=True)
class TripStatistics:
    """Of the round trips that ended in the span."""

    count: int
    won: int
    lost: int
    win_rate: Estimate
    average_r: Estimate
    """Result in multiples of what was risked; only trips with a protective stop have one."""
    average_net: Estimate
    profit_factor: Estimate
    """What was won over what was lost."""
    gained: Exact
    given_back: Exact
    """The sum of the losses, above zero."""
    best: Exact | None
    worst: Exact | None
    parts: Attribution
    """Of all trips, corrections and those found open included."""
    corrections: int
    """Busts of trips that had ended: in the sums, and not counted as trips."""
    found_open: int
    """Trips whose beginning the desk has not seen: in the sums, and not counted."""
    hold_times: HoldTimes


@dataclass(frozen=True, slots=True)
class Group:
    """The trips that share one value, and where their result came from."""

    by: str
    name: str
    count: int
    won: int
    parts: Attribution


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day that has ended."""

    day: date
    parts: Attribution
    transfers: Exact
    equity_first: Exact
    equity_last: Exact


@dataclass(frozen=True, slots=True)
class Daily:
    """Statistics of the returns of whole days, a year having 365; the day of the desk's opening is none."""

    days: tuple[Day, ...]
    sharpe: Estimate
    sortino: Estimate
    best: float | None
    worst: float | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The end of one of the equal parts into which the span is cut for the plots."""

    ts_us: int
    equity: Exact
    transfers: Exact
    """In all since the opening."""
    drawdown: Exact
    """The deepest within the part."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """What was in the market, and how far the equity fell; transfers are no fall."""

    drawdown: Exact
    drawdown_share: float
    """Of the equity that there would have been without that fall."""
    drawdown_share_highest: float
    """The like of the fall of which it was highest, which may be another one."""
    mean: float | None
    """Value of the positions over equity, over time."""
    highest: float | None
    in_market: float | None
    """Share of the time with a position."""
    curve: tuple[CurvePoint, ...]


@dataclass(frozen=True, slots=True)
class Trading:
    """What was traded."""

    fills: int
    turnover: Exact
    """Sum of price times quantity."""
    times_equity: float | None
    """Turnover over the mean of first and last equity."""
    maker_share: float | None
    """Of turnover."""
    maker_fills: int
    fees_bps: float | None
    slippage_bps: float | None
    slippage_expected_bps: float | None
    """By the model of costs."""
    fee_findings: int
    """Fills whose fee is not what the model of costs says."""


@dataclass(frozen=True, slots=True)
class ConfigInForce:
    """A policy or cost model, and from when to when something in the span was done under it."""

    hash: str
    first_us: int
    last_us: int
    count: int


@dataclass(frozen=True, slots=True)
class Trip:
    """One round trip as the tables show it."""

    number: int
    symbol: str
    side: str
    opened_us: int
    closed_us: int
    entry_price: Exact | None
    exit_price: Exact | None
    quantity: Exact
    trigger: str
    signal: str | None
    regime: str | None
    tier: str | None
    parts: Attribution
    r: float | None


@dataclass(frozen=True, slots=True)
class Provenance:
    """What the report rests on."""

    desk: str
    quote_currency: str
    archived_sequence: int
    """The books were read as they stood after this tape sequence."""
    policies: tuple[ConfigInForce, ...]
    """By the first fill under each; ``count`` is of fills."""
    cost_models: tuple[ConfigInForce, ...]
    """By the first; ``count`` is of configurations of the ledger that have it."""


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    asked: Span
    """What was asked for; rows that are exported are those of it."""
    span: Span
    """What of it the books tell of."""
    provenance: Provenance
    change: Change
    trips: TripStatistics
    open_net: Exact
    """The part of the span's result that is no ended trip's: of positions still open, or open at its start."""
    groups: tuple[Group, ...]
    daily: Daily
    exposure: Exposure
    trading: Trading
    best_trips: tuple[Trip, ...]
    worst_trips: tuple[Trip, ...]
    last_trips: tuple[Trip, ...]


_REPORT: TypeAdapter[Report] = TypeAdapter(Report)


def report_json(report: Report) -> dict[str, Any]:
    """Return the report as JSON-ready values; money is plain text."""
    content: dict[str, Any] = _REPORT.dump_python(report, mode="json")
    return content
