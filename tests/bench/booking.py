"""How fast fills are booked durably against what the same server does for pgbench, and how late on a running desk.

pgbench's own simple update commits one small transaction after the other. The books commit batches, as the ledger
does, and each fill is archived, chained, posted in four to seven lines, balanced by the database, and read off into the
trade log. Both by one connection, in turns, with the server's default durability.
"""

import asyncio
import re
import subprocess
import time
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from tests.bench import desk, lives
from tests.bench.results import Result, percentile, show
from tests.bench.server import Server, postgres
from tests.conftest import Platform
from tollgate_chassis.tape import Record
from tollgate_console.supervisor.postgres_process import find_binaries
from tollgate_contracts.codec import encode
from tollgate_contracts.envelope import Message
from tollgate_contracts.subjects import tape_subject
from tollgate_ledger.core import JournalEntry, LedgerCore
from tollgate_ledger.core.rows import Row
from tollgate_ledger.recorder import FLUSH_RECORDS
from tollgate_ledger.store import Batch, Store

FILLS = 20_000
TURNS = 3
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_QUOTES_PER_S = 100
# How often it is asked how far the books are: as often as the answer is to be exact.
_LOOK_S = 0.002
_AGAINST = "pgbench --builtin=simple-update, one client, on the same server, in turns"


def measure(directory: Path, fills: int, seconds: int) -> list[Result]:
    """Book ``fills`` in turns with pgbench's ``seconds`` a turn, and look at a desk that trades for as long in all."""
    with postgres() as server:
        asyncio.run(_prepare(server))
        results = asyncio.run(_measure_rates(server, fills, seconds))
    with desk.running(directory / "booking", desk.busy(_QUOTES_PER_S)) as platform:
        return [*results, *asyncio.run(_measure_lag(platform, TURNS * seconds))]


async def _prepare(server: Server) -> None:
    await server.make_books("books")
    await server.execute("postgres", "CREATE DATABASE pgbench")
    connection = await asyncpg.connect(server.dsn("books", "postgres"))
    settings = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in _DURABLE}
    await connection.close()
    if set(settings.values()) != {"on"}:
        raise RuntimeError(f"the server is not durable: {settings}")
    _pgbench(server, "--initialize", "--quiet", "--scale=10")


def _pgbench(server: Server, *options: str) -> str:
    command = (str(find_binaries() / "pgbench"), *options, server.dsn("pgbench", "postgres"))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def _simple_updates(server: Server, seconds: int) -> float:
    said = _pgbench(server, "--builtin=simple-update", "--client=1", "--no-vacuum", f"--time={seconds}")
    (rate,) = re.findall(r"^tps = ([0-9.]+)", said, re.MULTILINE)
    return float(rate)


@dataclass
class _Source:
    """A tape of fills, stepped by the core as it is read."""

    core: LedgerCore = field(default_factory=LedgerCore)
    sequence: int = 0
    postings: int = 0

    def batch(self, messages: Iterator[Message], size: int) -> Batch:
        """Return the next records with what the core makes of them."""
        records: list[Record] = []
        effects: list[object] = []
        for _, message in zip(range(size), messages, strict=False):
            self.sequence += 1
            records.append(
                Record(self.sequence, tape_subject(message), message.id, encode(message), {}, lives.START_US)
            )
            effects += self.core.step(self.sequence, message).effects
        entries = [effect for effect in effects if isinstance(effect, JournalEntry)]
        self.postings += sum(len(entry.postings) for entry in entries)
        return Batch(records, entries, None, [effect for effect in effects if isinstance(effect, Row)])


def _tape(fills: int) -> Iterator[Message]:
    yield from lives.beginning()
    yield from map(lives.fill, range(1, fills + 1))


async def _measure_rates(server: Server, fills: int, seconds: int) -> list[Result]:
    store = Store(server.dsn("books", "tollgate_ledger"), "main")
    await store.open()
    source, messages = _Source(), _tape(fills + FLUSH_RECORDS)
    # What is first written is first read: the plans, the catalogue, the first pages.
    await store.commit(source.batch(messages, FLUSH_RECORDS))
    updates, committing_s, steps_s, times = [], 0.0, 0.0, []
    source.postings = 0
    for _ in range(TURNS):
        updates.append(await asyncio.to_thread(_simple_updates, server, seconds))
        for _ in range(fills // TURNS // FLUSH_RECORDS):
            began = time.perf_counter()
            batch = source.batch(messages, FLUSH_RECORDS)
            steps_s += time.perf_counter() - began
            began = time.perf_counter()
            await store.commit(batch)
            times.append(time.perf_counter() - began)
            committing_s += times[-1]
    await store.close()
    booked, postings = len(times) * FLUSH_RECORDS, source.postings
    simple = sum(updates) / len(updates)
    rate, fill_rate = postings / committing_s, booked / committing_s
    rows = [
        ("postings committed, a second", rate),
        ("fills committed, a second", fill_rate),
        ("fills stepped and committed, a second", booked / (committing_s + steps_s)),
        ("pgbench simple updates, a second", simple),
        ("postings to simple updates", rate / simple),
        (f"commit of {FLUSH_RECORDS} fills, p50 ms", percentile(times, 50) * 1e3),
        (f"commit of {FLUSH_RECORDS} fills, p99 ms", percentile(times, 99) * 1e3),
    ]
    show("Booking, durably", ("what", "measured"), rows)
    note = f"{booked:,} fills in batches of {FLUSH_RECORDS}, {postings:,} postings"
    return [
        Result("booking.postings", rate, "postings/s", None, note),
        Result("booking.fills", fill_rate, "fills/s", None, note),
        Result("booking.stepped_fills", booked / (committing_s + steps_s), "fills/s", None, "the core's steps too"),
        Result("booking.simple_updates", simple, "transactions/s", None, _AGAINST),
        Result("booking.postings.ratio", rate / simple, "ratio", _AGAINST, "above 1 the books are quicker"),
        Result("booking.fills.ratio", fill_rate / simple, "ratio", _AGAINST, "above 1 the books are quicker"),
        Result("booking.commit.p50", percentile(times, 50) * 1e3, "ms", None, note),
        Result("booking.commit.p99", percentile(times, 99) * 1e3, "ms", None, note),
    ]


async def _measure_lag(platform: Platform, seconds: float) -> list[Result]:
    """Return how long a fill that the broker has stored waits until another connection sees it committed.

    All of it is real: broker, ledger, and what runs beside them on the machine, whose one clock all times are of.
    """
    await asyncio.sleep(desk.SETTLE_S)
    tape = await desk.connect(platform)
    try:
        first = (await tape.bounds()).last + 1
        committed = await _watch(platform, seconds)
        fills = [record for record in await desk.read(tape, first) if ".fill." in record.subject]
    finally:
        await tape.close()
    lags = [lag for lag in (_lag_ms(record, committed) for record in fills) if lag is not None]
    rows = [(f"p{percent}", percentile(lags, percent)) for percent in (50, 99)]
    show("From a fill on the tape to booked and committed, ms", ("percentile", "ms"), rows)
    note = f"{len(lags)} fills of a desk that runs at {_QUOTES_PER_S} quotes a second; a batch waits 50 ms by design"
    return [Result(f"booking.lag.{name}", value, "ms", None, note) for name, value in rows]


async def _watch(platform: Platform, seconds: float) -> list[tuple[int, int]]:
    """Return how far the books were and when, in microseconds, each time that they had moved."""
    dsn = (platform.state / "secrets" / "reader" / "postgres_dsn").read_text().strip()
    connection = await asyncpg.connect(dsn)
    seen: list[tuple[int, int]] = []
    ends_at = time.monotonic() + seconds
    try:
        while time.monotonic() < ends_at:
            archived = await connection.fetchval("SELECT archived_sequence FROM ledger.checkpoint")
            if not seen or archived > seen[-1][0]:
                seen.append((archived, time.time_ns() // 1_000))
            await asyncio.sleep(_LOOK_S)
    finally:
        await connection.close()
    return seen


def _lag_ms(fill: Record, committed: list[tuple[int, int]]) -> float | None:
    """Return how long after being stored a fill was committed; none for one that was there at the start, or is not."""
    place = bisect_left(committed, (fill.sequence, 0))
    if place in {0, len(committed)}:
        return None
    return (committed[place][1] - fill.stored_us) / 1_000
