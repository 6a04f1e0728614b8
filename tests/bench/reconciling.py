"""How long a round of reconciliation takes as open orders grow, without the venue: its answers are all there at once.

A quiet round compares every open order and finds nothing. A round that has missed everything books one fill of each.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.bench.orders import SYMBOL, Writer, new_core, order_id, trade
from tests.bench.results import Result, median, percentile, show
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark
from tollgate_chassis.tape import MemoryTape, Record
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.codec import encode
from tollgate_contracts.core import Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reconciliation import Balance, SyncCause
from tollgate_contracts.strategy import Side
from tollgate_contracts.subjects import tape_subject
from tollgate_execution.lanes import Lanes
from tollgate_execution.reports import Reporter
from tollgate_execution.rounds import Rounds
from tollgate_execution.sender import Sender
from tollgate_execution.settings import SyncSection
from tollgate_execution.statements import Statements
from tollgate_venues.adapter import Capabilities
from tollgate_venues.evidence import AccountEvidence, Evidence, FillEvidence, FillPage, MovementPage, OrderPage

OPEN = (1, 100, 1_000)
_HOUR_MS = 3_600_000


class _Venue:
    """Has all its answers ready."""

    def __init__(self, count: int, now_us: int) -> None:
        self.capabilities = Capabilities(
            looks_up_by_client_id=True, refuses_duplicate_ids=True, cancels_at_once=True, has_post_only=True,
            has_stops=True, has_fill_cursor=True, visibility_us=0, receive_window_us=2_000_000,
            client_id_length_max=64, client_id_pattern=".*",
        )  # fmt: skip
        self._now_us = now_us
        numbers = range(1, count + 1)
        self.open = [
            Evidence(order_id(n), ReportSource.QUERY, ReportStatus.OPEN, f"v{n}", Decimal(0), venue_ts_us=now_us)
            for n in numbers
        ]
        self.fills: tuple[FillEvidence, ...] = ()

    def fill_all(self) -> None:
        """Fill every open order."""
        count = len(self.open)
        sides = {number: Side.BUY if number % 2 else Side.SELL for number in range(1, count + 1)}
        self.fills = tuple(
            FillEvidence(order_id(n), SYMBOL, side, trade(n, self._now_us + 1)) for n, side in sides.items()
        )
        self.open = []

    async def open_orders(self) -> list[Evidence]:
        return self.open

    async def recent_orders(self, since_us: int) -> OrderPage:
        return OrderPage((), is_complete=True)

    async def fills_since(self, cursor: str) -> FillPage:
        left = () if cursor else self.fills
        return FillPage(left, "all" if left else cursor, is_last=True)

    async def movements_since(self, cursor: str) -> MovementPage:
        return MovementPage((), cursor, is_last=True)

    async def account(self) -> AccountEvidence:
        balances = tuple(Balance(currency=c, free=Decimal(1_000_000), locked=Decimal(0)) for c in ("USDT", "BTC"))
        return AccountEvidence(balances, Decimal(10), Decimal(20), self._now_us)


class _Shell(Shell):
    """Tells the rounds how far the reader is."""

    rounds: Rounds | None = None

    async def carry_out(self, record: Record, message: Message, step: Step, live: bool) -> None:
        """Send nothing."""

    async def settled(self, record: Record) -> None:
        """Note that the reader has moved on."""
        if self.rounds is not None:
            self.rounds.applied()


def _tape(count: int) -> tuple[MemoryTape, int]:
    """Return a tape on which so many orders are accepted and work, and the time at its end."""
    tape, core, writer = MemoryTape(), new_core(), Writer()

    def put(message: Message) -> None:
        tape.insert(tape_subject(message), encode(message), message.id)
        for output in core.step(tape.tip, message).outputs:
            tape.insert(tape_subject(output), encode(output), output.id)

    for message in writer.opening():
        put(message)
    for number in range(1, count + 1):
        put(writer.decision(number, tape.tip + 1))
        put(writer.report(number, filled=False))
    working = core.orders.counts().get("ACKNOWLEDGED", 0)
    if working != count:
        raise AssertionError(f"{working} of {count} orders work")
    return tape, writer.now_us


async def _measure(directory: Path, count: int, times: int) -> tuple[list[float], float]:
    """Return the milliseconds of each quiet round, and of the one that has missed every fill."""
    tape, now_us = _tape(count)
    core, shell, venue = new_core(), _Shell(), _Venue(count, now_us)
    ticks = itertools.count(now_us + 1)
    mark = HighWaterMark(directory)
    tracing = Tracing("execution", "bench", None)
    identity = Identity("execution", "main", "bench")
    runner = Runner(identity, core, shell, tape, FileSnapshots(directory), mark, tracing, snapshot_every=None)
    reporter = Reporter("main", "bench", "simulated", "main", lambda: next(ticks), lambda: 1)
    parts: Any = venue
    unused: Any = None
    lanes = Lanes(16)
    sender = Sender(core, runner, unused, parts, reporter, unused, unused, lanes, unused)
    statements = Statements(core, runner, parts, reporter, _HOUR_MS)
    rounds = Rounds(SyncSection(), core, runner, parts, unused, sender, reporter, statements)
    shell.rounds = rounds
    process = asyncio.create_task(runner.run())
    await runner.live.wait()
    await rounds.make(SyncCause.START)
    quiet = [await _timed(rounds) for _ in range(times)]
    venue.fill_all()
    missed = await _timed(rounds)
    if core.fills != count:
        raise AssertionError(f"{core.fills} of {count} fills were booked")
    runner.stop()
    await process
    await lanes.finish(0)
    mark.close()
    return quiet, missed


async def _timed(rounds: Rounds) -> float:
    began = time.perf_counter()
    await rounds.make(SyncCause.SCHEDULE)
    return (time.perf_counter() - began) * 1_000


def measure(directory: Path, times: int, counts: Sequence[int] = OPEN) -> list[Result]:
    """Make ``times`` quiet rounds for each count of open orders, and one in which all of them have filled."""
    results, rows = [], []
    for count in counts:
        state = directory / f"reconciling-{count}"
        state.mkdir()
        quiet, missed = asyncio.run(_measure(state, count, times))
        middle, slow = median(quiet), percentile(quiet, 99)
        note = f"{times} rounds, venue not counted"
        results += [
            Result(f"reconciliation.quiet_p50.{count}", middle, "ms", None, note),
            Result(f"reconciliation.quiet_p99.{count}", slow, "ms", None, note),
            Result(f"reconciliation.all_missed.{count}", missed, "ms", None, "one fill of each order booked"),
        ]
        rows.append((f"{count:,}", middle, slow, missed))
    columns = ("open orders", "quiet p50, ms", "quiet p99, ms", "every fill missed, ms")
    show("One round of reconciliation, without the venue", columns, rows)
    return results
