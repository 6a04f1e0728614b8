"""The report's values, read from the books: in one transaction that sees one state of them and can change nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import asyncpg

from tollgate_contracts.money import ZERO
from tollgate_research.books import Connection
from tollgate_research.report import statements, statistics
from tollgate_research.report.configurations import Taken, first_books, taken
from tollgate_research.report.span import DAY_US, Span
from tollgate_research.report.values import (
    Attribution,
    Change,
    ConfigInForce,
    CurvePoint,
    Daily,
    Day,
    Exposure,
    Group,
    HoldTimes,
    Point,
    Provenance,
    Report,
    Trading,
    Trip,
    TripStatistics,
)

# As many points as a wide screen shows.
CURVE_PARTS = 480
# As many trips as a page shows of the best, the worst and the last.
TRIPS_SHOWN = 10
_S_US, _MINUTE_US, _HOUR_US = 1_000_000, 60_000_000, 3_600_000_000
# Finer where strategies differ, from one second to a month.
HOLD_BOUNDS_US = (
    *(count * _S_US for count in (1, 5, 15)),
    *(count * _MINUTE_US for count in (1, 5, 15)),
    *(count * _HOUR_US for count in (1, 4, 12)),
    *(count * DAY_US for count in (1, 7, 30)),
)
_QUANTILES = (10, 25, 50, 75, 90, 100)


class NothingBooked(Exception):
    """There is no state of the books in the span."""


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The span as it is covered by states of the books."""

    span: Span
    first: Point
    last: Point

    @property
    def sequences(self) -> tuple[int, int]:
        """Return the tape sequences between which all of the span lies, the first outside it."""
        return self.first.tape_sequence, self.last.tape_sequence


async def read_report(connection: Connection, asked: Span) -> Report:
    """Return the report of a span; raises ``NothingBooked``."""
    bounds = await _bounds(connection, asked)
    trading, slippage = await _trading(connection, bounds)
    trips, change = await _trips(connection, bounds), _change(bounds, slippage)
    shown = [
        await _trip_list(connection, statement, bounds)
        for statement in (statements.TRIPS_BEST, statements.TRIPS_WORST, statements.TRIPS_LAST)
    ]
    return Report(
        asked=asked,
        span=bounds.span,
        provenance=await _provenance(connection, bounds),
        change=change,
        trips=trips,
        open_net=change.parts.net - trips.parts.net,
        groups=await _groups(connection, bounds),
        daily=await _daily(connection, Span(bounds.span.from_us, asked.until_us)),
        exposure=await _exposure(connection, bounds),
        trading=trading,
        best_trips=shown[0],
        worst_trips=shown[1],
        last_trips=shown[2],
    )


async def _bounds(connection: Connection, asked: Span) -> _Bounds:
    before, last = [await connection.fetchrow(statements.POINT_BEFORE, us) for us in (asked.from_us, asked.until_us)]
    if last is None or last == before:
        raise NothingBooked("the books say nothing of this span")
    first = before or await _one(connection, statements.POINT_FIRST)
    # A span without a beginning or an end is one from the first to the last that the books tell of.
    extent = await _one(connection, statements.EXTENT, asked.from_us, asked.until_us)
    from_us = max(asked.from_us, extent["first_us"]) if before is None else asked.from_us
    return _Bounds(Span(from_us, min(asked.until_us, extent["last_us"] + 1)), Point(**first), Point(**last))


async def _one(connection: Connection, statement: str, *arguments: object) -> asyncpg.Record:
    """Return the row of a statement that always has one."""
    return (await connection.fetch(statement, *arguments))[0]


def _change(bounds: _Bounds, slippage: Decimal) -> Change:
    """Return what became of the equity; what nothing else explains was made by prices, on paper or in fact."""
    first, last = bounds.first, bounds.last
    transfers, funding, other = last.transfers - first.transfers, last.funding - first.funding, last.other - first.other
    fees = last.fees - first.fees + last.charges - first.charges
    net = last.equity - first.equity - transfers
    return Change(
        first,
        last,
        Attribution(net + slippage + fees - funding - other, slippage, fees, funding, net, other),
        transfers,
    )


async def _trading(connection: Connection, bounds: _Bounds) -> tuple[Trading, Decimal]:
    """Return what was traded, and what slipped in all."""
    first, last = bounds.first, bounds.last
    row = await _one(connection, statements.TRADING, *bounds.sequences)
    turnover, fees = row["turnover"], last.fees - first.fees
    equity = (first.equity + last.equity) / 2
    trading = Trading(
        fills=row["fills"],
        turnover=turnover,
        times_equity=_ratio(turnover, equity) if equity > ZERO else None,
        maker_share=_ratio(row["maker_turnover"], turnover),
        maker_fills=row["maker_fills"],
        fees_bps=_ratio(fees, turnover, 10_000),
        slippage_bps=_ratio(row["slippage"], turnover, 10_000),
        slippage_expected_bps=_ratio(row["slippage_expected"], turnover, 10_000),
        fee_findings=row["fee_findings"],
    )
    return trading, row["slippage"]


def _ratio(part: Decimal, whole: Decimal, scale: int = 1) -> float | None:
    return float(part) / float(whole) * scale if whole else None


async def _trips(connection: Connection, bounds: _Bounds) -> TripStatistics:
    row = await _one(connection, statements.TRIP_SUMS, *bounds.sequences)
    count = row["count"]
    sample = None
    if count <= statistics.RESAMPLED_MAX:
        sample = [each["net"] for each in await connection.fetch(statements.TRIP_NETS, *bounds.sequences)]
    sums = statistics.Results(
        count, float(row["gained"]), float(row["given_back"]), row["gained_squared"], row["lost_squared"]
    )
    return TripStatistics(
        count=count,
        won=row["won"],
        lost=row["lost"],
        win_rate=statistics.share(row["won"], count),
        average_r=statistics.mean(statistics.Moments(row["r_count"], row["r_mean"], row["r_deviation"])),
        average_net=statistics.mean(statistics.Moments(count, row["net_mean"], row["net_deviation"])),
        profit_factor=statistics.profit_factor(sums, sample),
        gained=row["gained"],
        given_back=row["given_back"],
        best=row["best"],
        worst=row["worst"],
        parts=_parts(row),
        corrections=row["corrections"],
        found_open=row["found_open"],
        hold_times=await _hold_times(connection, bounds),
    )


def _parts(row: asyncpg.Record, other: Decimal = ZERO) -> Attribution:
    return Attribution(row["edge"], row["slippage"], row["fees"], row["funding"], row["net"], other)


async def _hold_times(connection: Connection, bounds: _Bounds) -> HoldTimes:
    bins = await connection.fetch(statements.HOLD_COUNTS, *bounds.sequences, list(HOLD_BOUNDS_US))
    counts = {row["bin"]: row["count"] for row in bins}
    fractions = [percent / 100 for percent in _QUANTILES]
    quantiles = await connection.fetchval(statements.HOLD_QUANTILES, *bounds.sequences, fractions)
    return HoldTimes(
        HOLD_BOUNDS_US,
        tuple(counts.get(number, 0) for number in range(len(HOLD_BOUNDS_US) + 1)),
        tuple(zip(_QUANTILES, quantiles or (), strict=False)),
    )


async def _groups(connection: Connection, bounds: _Bounds) -> tuple[Group, ...]:
    """Return the groups by what they are grouped by, in its order, and by name; hours are those of closing, UTC."""
    groups = []
    for row in await connection.fetch(statements.GROUPS, *bounds.sequences):
        by = next(name for name in statements.GROUPED_BY if not row[f"no_{name}"])
        groups.append(Group(by, row[by] or "none", row["count"], row["won"], _parts(row)))
    order = {name: place for place, name in enumerate(statements.GROUPED_BY)}
    return tuple(sorted(groups, key=lambda group: (order[group.by], group.name)))


async def _daily(connection: Connection, span: Span) -> Daily:
    rows = await connection.fetch(statements.DAYS, *span.whole_days)
    days = tuple(
        Day(row["day"], _parts(row, row["other"]), row["transfers"], row["equity_first"], row["equity_last"])
        for row in rows
    )
    returns = [earned for earned in map(day_return, days) if earned is not None]
    return Daily(
        days=days,
        sharpe=statistics.sharpe(returns),
        sortino=statistics.sortino(returns),
        best=max(returns, default=None),
        worst=min(returns, default=None),
    )


def day_return(day: Day) -> float | None:
    """Return ``equity_last / (equity_first + transfers) - 1``: what came in had the whole day to work.

    None where there was nothing to earn it with.
    """
    invested = day.equity_first + day.transfers
    return float(day.equity_last - invested) / float(invested) if invested > ZERO else None


async def _exposure(connection: Connection, bounds: _Bounds) -> Exposure:
    span = bounds.span
    rows = await connection.fetch(statements.CURVE, *bounds.sequences, span.from_us, span.until_us, CURVE_PARTS)
    lasted_us = sum(int(row["lasted_us"]) for row in rows)
    equity_time = sum(row["equity_time"] for row in rows)
    deepest = max(rows, key=lambda row: row["drawdown"])
    return Exposure(
        drawdown=deepest["drawdown"],
        drawdown_share=deepest["drawdown_share"] or 0.0,
        drawdown_share_highest=max(row["share_highest"] or 0.0 for row in rows),
        mean=sum(row["exposure_time"] for row in rows) / equity_time if equity_time > 0 else None,
        highest=max((row["exposure_highest"] for row in rows if row["exposure_highest"] is not None), default=None),
        in_market=sum(int(row["in_market_us"] or 0) for row in rows) / lasted_us if lasted_us else None,
        curve=tuple(CurvePoint(row["at_us"], row["equity"], row["transfers"], row["drawdown"]) for row in rows),
    )


async def _trip_list(connection: Connection, statement: str, bounds: _Bounds) -> tuple[Trip, ...]:
    rows = await connection.fetch(statement, *bounds.sequences, TRIPS_SHOWN)
    named = (
        *("number", "symbol", "side", "opened_us", "closed_us", "entry_price", "exit_price", "quantity"),
        *("trigger", "signal", "regime", "tier", "r"),
    )
    return tuple(Trip(parts=_parts(row), **{name: row[name] for name in named}) for row in rows)


async def _provenance(connection: Connection, bounds: _Bounds) -> Provenance:
    checkpoint = await _one(connection, statements.CHECKPOINT)
    desk = checkpoint["desk"] or ""
    policies = await connection.fetch(statements.POLICIES, *bounds.sequences)
    configs = await taken(connection, desk, *bounds.sequences)
    return Provenance(
        desk=desk,
        quote_currency=configs[0].parameters.quote_currency if configs else "quote",
        archived_sequence=checkpoint["archived_sequence"],
        policies=tuple(ConfigInForce(**row) for row in policies),
        cost_models=await _cost_models(connection, desk, configs, bounds),
    )


async def _cost_models(
    connection: Connection, desk: str, configs: Sequence[Taken], bounds: _Bounds
) -> tuple[ConfigInForce, ...]:
    """Return each cost model as the first books under each configuration name it."""
    said: list[tuple[int, str]] = []
    for place, config in enumerate(configs, start=1):
        if config.tape_sequence > bounds.last.tape_sequence:
            break
        until = configs[place].tape_sequence if place < len(configs) else None
        books = await first_books(connection, desk, config, until)
        if books is not None:
            said.append((max(books.ts_us, bounds.span.from_us), books.cost_model))
    return _in_force(said, bounds.span.until_us)


def _in_force(said: Sequence[tuple[int, str]], until_us: int) -> tuple[ConfigInForce, ...]:
    """Return each model with its first and its last time: one is in force until the next configuration."""
    models: dict[str, ConfigInForce] = {}
    for place, (from_us, name) in enumerate(said, start=1):
        last_us = said[place][0] if place < len(said) else until_us
        before = models.get(name, ConfigInForce(name, from_us, last_us, 0))
        models[name] = replace(before, last_us=last_us, count=before.count + 1)
    return tuple(models.values())
