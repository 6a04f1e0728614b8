"""The books and their database as metrics; Prometheus knows floats only, and nothing is decided on a gauge."""

import asyncio
import math
import time
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tollgate_chassis.tape import Record
from tollgate_chassis.telemetry.metrics import ledger as metrics
from tollgate_ledger.core import LedgerCore
from tollgate_ledger.core.rows import TradeCost
from tollgate_ledger.queries import Query
from tollgate_ledger.reading import BooksReader, NotRead, TooLong, Unanswerable

_REFRESH_S = 0.25
_DATABASE_S = 10.0
_US_PER_S = 1_000_000
_BPS = 10_000
# The broker's subject of a tape record: tape, desk, writer, kind.
_KIND = 3
_DATABASE = Query(
    "database",
    "SELECT pg_database_size(current_database()) AS bytes, current_setting('max_connections')::int AS connections_max,"
    " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections",
    (),
)


class BooksGauges:
    """Shows what stands in the books, at a bounded rate."""

    def __init__(self) -> None:
        self._due_s = -math.inf

    def refresh(self, core: LedgerCore) -> None:
        """Set them from the books, unless that was done a moment ago."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + _REFRESH_S
        said = core.status()
        metrics.LEDGER_OPEN.set(said["opened"])
        metrics.LEDGER_DRIFTING.set(len(said["drifting"]))
        for gauge, name in _IN_QUOTE:
            gauge.set(float(said[name]))
        for currency, amount in said["cash"].items():
            metrics.BOOKS_CASH.labels(currency).set(float(amount))
        self._show_positions(said["positions"])

    @staticmethod
    def _show_positions(positions: list[dict[str, Any]]) -> None:
        # What is not held any more has no series, rather than its last value.
        metrics.BOOKS_POSITION.clear()
        for position in positions:
            metrics.BOOKS_POSITION.labels(position["symbol"]).set(float(position["quantity"]))
        metrics.BOOKS_POSITIONS.set(len(positions))
        metrics.BOOKS_STALE_MARKS.set(sum(position["stale"] for position in positions))
        metrics.BOOKS_UNREALIZED.set(float(sum((Decimal(each["unrealized"]) for each in positions), Decimal(0))))


_IN_QUOTE = (
    (metrics.BOOKS_EQUITY, "equity"),
    (metrics.BOOKS_DRAWDOWN, "drawdown"),
    (metrics.BOOKS_REALIZED, "realized"),
    (metrics.BOOKS_FEES, "fees"),
    (metrics.BOOKS_TREASURY, "treasury"),
)


def tell_cost(cost: TradeCost) -> None:
    """Count what a booked fill has cost against the price at its decision, where there was one."""
    if cost.fee_finding is not None:
        metrics.LEDGER_FEE_FINDINGS.labels(cost.fee_finding.value).inc()
    if cost.reference_price:
        notional = float(cost.reference_price * cost.quantity)
        metrics.SLIPPAGE_BPS.labels(cost.symbol).observe(float(cost.slippage) / notional * _BPS)


def tell_booked(records: Iterable[Record], now_us: int) -> None:
    """Count how long the fills among ``records`` were on the tape before they were committed."""
    for record in records:
        if record.subject.split(".")[_KIND] == "fill":
            metrics.LEDGER_BOOKED_SECONDS.observe(max(now_us - record.stored_us, 0) / _US_PER_S)


async def watch_database(reading: BooksReader) -> None:
    """Show how large and how busy the database is, every ten seconds, for ever; the reader logs what is not read."""
    while True:
        try:
            (row,) = await reading.fetch(_DATABASE, "gauges")
        except (NotRead, TooLong, Unanswerable):
            pass
        else:
            metrics.POSTGRES_BYTES.set(row["bytes"])
            metrics.POSTGRES_CONNECTIONS.set(row["connections"])
            metrics.POSTGRES_CONNECTIONS_MAX.set(row["connections_max"])
        await asyncio.sleep(_DATABASE_S)
