"""The report's values, read from the books: in one transaction that sees one state of them and can change nothing."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from tollgate_contracts.money import ZERO
from tollgate_contracts.subjects import writer_prefix
from tollgate_research.report import statements, statistics
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

# Where `tollgate up` puts the way into the database for whoever may only read, below its state directory.
READER_DSN = Path("secrets/reader/postgres_dsn")
SCHEMA_VERSION = 3
_CONNECT_S = 5.0
# A report over millions of fills takes seconds; what takes longer than this has gone wrong.
_STATEMENT_S = 600
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

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class NoDatabase(Exception):
    """The books cannot be asked: nobody answers, or not with the schema that this version reads."""


class NothingBooked(Exception):
    """There is no state of the books in the span."""


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Connection]:
    """Open one read-only view of the books; raises ``NoDatabase``."""
    try:
        connection = await asyncpg.connect(
            dsn, timeout=_CONNECT_S, server_settings={"statement_timeout": str(_STATEMENT_S * 1_000)}
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise NoDatabase(f"the books cannot be asked: {error or 'no answer'}") from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await _check_schema(connection)
            yield connection
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise NoDatabase(f"the books do not answer any more: {error}") from error
    finally:
        await connection.close()


async def _check_schema(connection: Connection) -> None:
    try:
        version = await connection.fetchval("SELECT version FROM ledger.schema_version")
    except asyncpg.PostgresError as error:
        raise NoDatabase(f"there are no books in this database: {error}") from error
    if version != SCHEMA_VERSION:
        raise NoDatabase(f"the books have schema version {version}; this version reads {SCHEMA_VERSION}")


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The span as it is covered by states of the books."""

    span: Span
    first: Point
    last: Point


async def read_report(connection: Connection, asked: Span) -> Report:
    """Return the report of a span; raises ``NothingBooked``."""
    bounds = await _bounds(connection, asked)
    trading, slippage = await _trading(connection, bounds)
    trips, change = await _trips(connection, asked), _change(bounds, slippage)
    shown = [
        await _trip_list(connection, statement, asked)
        for statement in (statements.TRIPS_BEST, statements.TRIPS_WORST, statements.TRIPS_LAST)
    ]
    return Report(
        asked=asked,
        span=bounds.span,
        provenance=await _provenance(connection, bounds),
        change=change,
        trips=trips,
        open_net=change.parts.net - trips.parts.net,
        groups=await _groups(connection, asked),
        daily=await _daily(connection, asked),
        exposure=await _exposure(connection, bounds),
        trading=trading,
        best_trips=shown[0],
        worst_trips=shown[1],
        last_trips=shown[2],
    )


async def _bounds(connection: Connection, asked: Span) -> _Bounds:
    last = await connection.fetchrow(statements.POINT_LAST, asked.from_us, asked.until_us)
    if last is None:
        raise NothingBooked("the books say nothing of this span")
    before = await connection.fetchrow(statements.POINT_BEFORE, asked.from_us)
    first = before or await _one(connection, statements.POINT_FIRST, asked.from_us, asked.until_us)
    # A span without a beginning or an end is one from the first to the last that the books tell of.
    extent = await _one(connection, statements.EXTENT, asked.from_us, asked.until_us)
    span = Span(max(asked.from_us, extent["first_us"]), min(asked.until_us, extent["last_us"] + 1))
    return _Bounds(span, Point(**first), Point(**last))


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
    row = await _one(connection, statements.TRADING, first.tape_sequence, last.tape_sequence)
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
        fee_findings=row["fee_findings"],
    )
    return trading, row["slippage"]


def _ratio(part: Decimal, whole: Decimal, scale: int = 1) -> float | None:
    return float(part) / float(whole) * scale if whole else None


async def _trips(connection: Connection, span: Span) -> TripStatistics:
    row = await _one(connection, statements.TRIP_SUMS, span.from_us, span.until_us)
    count = row["count"]
    sample = None
    if count <= statistics.RESAMPLED_MAX:
        sample = [each["net"] for each in await connection.fetch(statements.TRIP_NETS, span.from_us, span.until_us)]
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
        hold_times=await _hold_times(connection, span),
    )


def _parts(row: asyncpg.Record, other: Decimal = ZERO) -> Attribution:
    return Attribution(row["edge"], row["slippage"], row["fees"], row["funding"], row["net"], other)


async def _hold_times(connection: Connection, span: Span) -> HoldTimes:
    bins = await connection.fetch(statements.HOLD_COUNTS, span.from_us, span.until_us, list(HOLD_BOUNDS_US))
    counts = {row["bin"]: row["count"] for row in bins}
    fractions = [percent / 100 for percent in _QUANTILES]
    quantiles = await connection.fetchval(statements.HOLD_QUANTILES, span.from_us, span.until_us, fractions)
    return HoldTimes(
        HOLD_BOUNDS_US,
        tuple(counts.get(number, 0) for number in range(len(HOLD_BOUNDS_US) + 1)),
        tuple(zip(_QUANTILES, quantiles or (), strict=False)),
    )


async def _groups(connection: Connection, span: Span) -> tuple[Group, ...]:
    """Return the groups by what they are grouped by, in its order, and by name; hours are those of closing, UTC."""
    groups = []
    for row in await connection.fetch(statements.GROUPS, span.from_us, span.until_us):
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
    first, last = bounds.first, bounds.last
    rows = await connection.fetch(
        statements.CURVE, first.tape_sequence, last.tape_sequence, first.ts_us, last.ts_us, CURVE_PARTS
    )
    lasted_us = sum(int(row["lasted_us"]) for row in rows)
    equity_time = sum(row["equity_time"] for row in rows)
    return Exposure(
        drawdown=max((row["drawdown"] for row in rows), default=ZERO),
        drawdown_share=max((row["drawdown_share"] or 0.0 for row in rows), default=0.0),
        mean=sum(row["exposure_time"] for row in rows) / equity_time if equity_time > 0 else None,
        highest=max((row["exposure_highest"] for row in rows if row["exposure_highest"] is not None), default=None),
        in_market=sum(int(row["in_market_us"] or 0) for row in rows) / lasted_us if lasted_us else None,
        curve=tuple(CurvePoint(row["ts_us"], row["equity"], row["transfers"], row["drawdown"]) for row in rows),
    )


async def _trip_list(connection: Connection, statement: str, span: Span) -> tuple[Trip, ...]:
    rows = await connection.fetch(statement, span.from_us, span.until_us, TRIPS_SHOWN)
    named = (
        *("number", "symbol", "side", "opened_us", "closed_us", "entry_price", "exit_price", "quantity"),
        *("trigger", "signal", "regime", "tier", "r"),
    )
    return tuple(Trip(parts=_parts(row), **{name: row[name] for name in named}) for row in rows)


async def _provenance(connection: Connection, bounds: _Bounds) -> Provenance:
    checkpoint = await _one(connection, statements.CHECKPOINT)
    desk = checkpoint["desk"] or ""
    between = (bounds.first.tape_sequence, bounds.last.tape_sequence)
    policies = await connection.fetch(statements.POLICIES, *between)
    currency, models = await _cost_models(connection, desk, bounds)
    return Provenance(
        desk=desk,
        quote_currency=currency,
        archived_sequence=checkpoint["archived_sequence"],
        policies=tuple(ConfigInForce(**row) for row in policies),
        cost_models=models,
    )


async def _cost_models(connection: Connection, desk: str, bounds: _Bounds) -> tuple[str, tuple[ConfigInForce, ...]]:
    """Return the quote currency, and each cost model as the first books under each configuration name it."""
    prefix = writer_prefix(desk, "ledger")
    first, last = bounds.first, bounds.last
    configs = await connection.fetch(statements.CONFIGS, first.tape_sequence, last.tape_sequence, f"{prefix}.config")
    currency = "quote"
    said: list[tuple[int, str]] = []
    for config in configs:
        text = json.loads(json.loads(config["body"])["text"])
        currency = text.get("quote_currency", currency)
        books = await connection.fetchrow(statements.BOOKS_AFTER, config["tape_sequence"], f"{prefix}.books")
        content: dict[str, Any] = {} if books is None else json.loads(books["body"])
        if "cost_model" in content:
            said.append((max(content["ts_us"], bounds.span.from_us), content["cost_model"]))
    return currency, _in_force(said, bounds.span.until_us)


def _in_force(said: Sequence[tuple[int, str]], until_us: int) -> tuple[ConfigInForce, ...]:
    """Return each model with its first and its last time: one is in force until the next configuration."""
    models: dict[str, ConfigInForce] = {}
    for place, (from_us, name) in enumerate(said, start=1):
        last_us = said[place][0] if place < len(said) else until_us
        before = models.get(name, ConfigInForce(name, from_us, last_us, 0))
        models[name] = replace(before, last_us=last_us, count=before.count + 1)
    return tuple(models.values())
