"""How long a reader of the ledger waits for a page, and how long booking takes while readers ask without a pause.

Books of many rows are made by the database itself, orders are archived as the ledger does it. A page is asked for
through the routes and their door, without a socket. Reader and booking share the process, as in the ledger.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import httpx
from fastapi import FastAPI

from tests.bench.results import Result, percentile, say, show
from tests.bench.server import postgres
from tollgate_chassis import operator_door
from tollgate_chassis.operator_door import OperatorDoor
from tollgate_chassis.operator_trail import CallLog
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens, TokenList, TokenScope, mint
from tollgate_chassis.tape import Record
from tollgate_chassis.telemetry import logs
from tollgate_contracts.codec import encode
from tollgate_contracts.execution import Order, OrderState
from tollgate_contracts.ledger import Books, Position
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_contracts.subjects import tape_subject
from tollgate_ledger.api import build_router
from tollgate_ledger.reading import BooksReader
from tollgate_ledger.store import Batch, Store

ROWS = 1_000_000
# Each trip has two fills. The journal with its lines, and orders, which are archived as the ledger does it, would take
# most of the bench's time: they are a tenth as many, and their pages follow an index like the others.
_FILLS_A_TRIP, _FEWER = 2, 10
# Each sums over every trip.
_SUMS = 20
_SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
_STATES = (OrderState.SUBMITTING, OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED, OrderState.FILLED)
# A minute and a half between two rows: three years of them at 1,000,000.
_STEP_US, _START_US = 90_000_000, 1_700_006_400_000_000
_BATCH = 500
_COMMITS = 300
_READERS = 4
_SEED = f"""
SET session_replication_role = replica;
INSERT INTO ledger.trips
SELECT n, (ARRAY{list(_SYMBOLS)!r})[1 + n % 5], 'simulated', 'BUY', {_START_US} + n * {_STEP_US}::bigint,
    {_START_US} + (n + 1) * {_STEP_US}::bigint, 2 * n, 2 * n + 1, 30000.25 + n % 977, 30001.25 + n % 977, 0.010, 2,
    n % 41 - 20.125, n % 41 - 20, 0.125, 0.6005, 0, n % 41 - 20.7255, 12.5, 'signal', 'momentum' || n % 7,
    'calm', 'tier' || n % 3, 0.7, 0.8, 'momentum', n, repeat('a', 64), 100000.5 + n % 977, 100001.5 + n % 977, 0.25,
    'tg' || lpad(to_hex(n), 30, '0'), 'tg' || lpad(to_hex(n), 30, '0'), false
FROM generate_series(1, $1 / {_FILLS_A_TRIP}) AS n;
INSERT INTO ledger.trade_costs
SELECT n, {_START_US} + n * {_STEP_US}::bigint, (ARRAY{list(_SYMBOLS)!r})[1 + n % 5], 't' || n, 'BUY', 0.010,
    30000.25 + n % 977, 30000.125 + n % 977, 'quote:' || n, 0.00125, 0.6005, 'USDT', 0.6005, n % 2 = 0,
    'tg' || lpad(to_hex(n), 30, '0'), n / 2, 'entry', 'momentum' || n % 7, 'calm', 'tier' || n % 3, 0.7, 0.8,
    'momentum', n, repeat('a', 64), 0.6, NULL
FROM generate_series(1, $1) AS n;
INSERT INTO ledger.equity
SELECT {_START_US} + n * {_STEP_US}::bigint, n, 100000.5 + n % 977, 90000, 10000, 0.5 + n % 977, n % 41, 0.6005 * n,
    0, 0, 101477.5, 977 - n % 977, 10000, 12.25, 0, 0, 0
FROM generate_series(1, $1) AS n;
INSERT INTO ledger.days
SELECT date '2023-11-15' + n, 1, 0.25, 0.5, 0, 0, 0.25, 0, 100000, 100000.25 FROM generate_series(0, $1 / 960) AS n;
INSERT INTO ledger.entries
SELECT n, 'main', 'simulated', n, 'execution:' || n || ':0', 'fill', {_START_US} + n * {_STEP_US}::bigint, 'bench', n,
    4,
    (ARRAY{list(_SYMBOLS)!r})[1 + n % 5], 't' || n, 'tg' || lpad(to_hex(n), 30, '0'), repeat('a', 64), NULL, NULL, NULL,
    NULL, NULL, decode(repeat('00', 32), 'hex')
FROM generate_series(1, $1 / {_FEWER}) AS n;
INSERT INTO ledger.postings
SELECT n, line, (ARRAY['asset:BTC', 'trading:BTC-USDT', 'asset:USDT', 'trading:BTC-USDT'])[line],
    (ARRAY['BTC', 'BTC', 'USDT', 'USDT'])[line], (ARRAY[0.01, -0.01, -300.0025, 300.0025])[line]
FROM generate_series(1, $1 / {_FEWER}) AS n, generate_series(1, 4) AS line;
"""  # noqa: S608 - put together from our own words

Ask = Callable[..., Awaitable[httpx.Response]]


def measure(directory: Path, rows: int, pages: int) -> list[Result]:
    """Read ``pages`` pages of each kind out of books of ``rows`` rows each, and return what was found."""
    return asyncio.run(_measure(directory, rows, pages))


async def _measure(directory: Path, rows: int, pages: int) -> list[Result]:
    logs.configure("ledger", "warning")
    with postgres() as server:
        await server.make_books("books")
        store = Store(server.dsn("books", "tollgate_ledger"), "main")
        await store.open()
        last = await _archive(store, rows // _FEWER)
        say(f"{last:,} records are archived")
        # The store is open already, and does not look at entries that it has not written.
        await server.execute("books", _SEED.replace("$1", str(rows)), "VACUUM ANALYZE")
        say(f"{rows:,} rows are made")
        reading = BooksReader(server.dsn("books", "tollgate_reader"))
        async with _caller(directory, reading) as ask:
            results = await _measure_pages(ask, rows, pages)
            results += await _measure_booking(store, ask, rows, last)
        reading.close()
        await store.close()
    return results


def _order(number: int, state: OrderState) -> Order:
    return Order(
        id=f"execution:{number}:0",
        cause=number,
        desk="main",
        run_id="bench",
        ts_us=_START_US,
        cycle_id=1,
        client_order_id=f"tg{number // len(_STATES):030x}",
        attempt=1,
        protects=None,
        venue_order_id=f"v{number}",
        intent_id=f"strategy:{number}:0",
        symbol=_SYMBOLS[number // len(_STATES) % len(_SYMBOLS)],
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        post_only=False,
        reduce_only=False,
        quantity=Decimal("0.01"),
        limit_price=Decimal("30000.25"),
        trigger_price=None,
        from_state=OrderState.PLANNED,
        to_state=state,
        cumulative_quantity=Decimal(0),
        cumulative_quote=Decimal(0),
        reason=None,
        detail="",
        config_hash="a" * 64,
    )


def _books_message(sequence: int) -> Books:
    amount, one, hash_ = Decimal("100000.25"), Decimal(1), "a" * 64
    position: dict[str, Any] = {
        "quantity": one,
        "cost": amount,
        "mark": amount,
        "mark_us": 1,
        "stale": False,
        "unrealized": one,
    }
    names = ("equity", "realized", "unrealized", "fees", "funding", "treasury", "peak_equity", "drawdown")
    sums: dict[str, Any] = dict.fromkeys(names, amount)
    return Books(
        id=f"ledger:{sequence}:0",
        cause=sequence,
        desk="main",
        run_id="bench",
        ts_us=_START_US,
        cycle_id=1,
        as_of=sequence,
        cash=(),
        positions=tuple(Position(symbol=symbol, **position) for symbol in sorted(_SYMBOLS)),
        fees_by_currency=(),
        suspense=(),
        cost_model=hash_,
        config_hash=hash_,
        **sums,
    )


async def _archive(store: Store, rows: int) -> int:
    """Archive ``rows`` states of a quarter as many orders, say the books, and return the last sequence."""
    for start in range(1, rows + 1, _BATCH):
        messages = [(at, _order(at, _STATES[at % len(_STATES)])) for at in range(start, min(start + _BATCH, rows + 1))]
        await store.commit(Batch([_record(at, message) for at, message in messages]))
    await store.commit(Batch([_record(rows + 1, _books_message(rows + 1))]))
    return rows + 1


def _record(sequence: int, message: Order | Books) -> Record:
    stored_us = _START_US + sequence * _STEP_US
    return Record(sequence, tape_subject(message), message.id, encode(message), {}, stored_us)


@asynccontextmanager
async def _caller(directory: Path, reading: BooksReader) -> AsyncIterator[Ask]:
    # One caller asks here for as many as a desk ever has; the rate of one token is not what is measured.
    operator_door.RATE_PER_S = operator_door.BURST = 1_000_000
    # Of one token one question runs at a time.
    minted = [mint(f"bench-{one}", (TokenScope.READ,), time.time_ns() // 1_000, 1) for one in range(_READERS)]
    tokens = TokenList(tokens=tuple(entry for entry, _ in minted))
    path = directory / TOKENS_FILE
    path.write_text(tokens.model_dump_json())
    path.chmod(0o600)
    app = FastAPI()
    app.include_router(build_router(reading, OperatorDoor(OperatorTokens(path, tokens), CallLog()), "main"))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ledger/v1") as client:

        async def ask(path: str, reader: int = 0) -> httpx.Response:
            answer = await client.get(path, headers={"Authorization": f"Bearer {minted[reader][1]}"})
            if answer.status_code not in {200, 422, 503}:
                raise RuntimeError(f"{path}: {answer.status_code} {answer.text[:200]}")
            return answer

        yield ask


def _questions(rows: int, limit: int) -> dict[str, Callable[[], str]]:
    """Return, by name, what is asked: pages from anywhere in the books, their ends, and sums over all of them."""
    chance = Random(1)  # noqa: S311 - the same pages in every run
    counts = {"/trades": rows // _FILLS_A_TRIP, "/orders": rows // _FEWER, "/entries": rows // _FEWER}

    def anywhere(path: str, cursor: str = "{at}") -> Callable[[], str]:
        def question() -> str:
            at = chance.randrange(counts.get(path, rows))
            span = f"from_us={_START_US + at * _STEP_US}"
            choice = (f"after={cursor.format(at=at)}", "newest_first=true", span, "symbol=BTC-USDT")
            usable = choice if path in {"/trades", "/fills", "/orders"} else choice[:3]
            return f"{path}?limit={limit}&{chance.choice(usable)}"

        return question

    kinds = ("signal", "symbol", "regime", "tier", "hour", "day")
    return {
        "positions": lambda: "/positions",
        "equity": anywhere("/equity"),
        "trades": anywhere("/trades", "{at}.0"),
        "fills": anywhere("/fills"),
        "orders": anywhere("/orders"),
        "entries": anywhere("/entries"),
        "days": lambda: f"/days?limit={limit}",
        "attribution": lambda: f"/attribution?by={chance.choice(kinds)}",
    }


async def _measure_pages(ask: Ask, rows: int, pages: int) -> list[Result]:
    results, table = [], []
    for name in _questions(rows, 1):
        line: list[object] = [name]
        for limit in (100, 1_000):
            question, times = _questions(rows, limit)[name], []
            await ask(question())
            for _ in range(min(pages, _SUMS) if name == "attribution" else pages):
                began = time.perf_counter()
                answer = await ask(question())
                times.append((time.perf_counter() - began) * 1e3)
                if answer.status_code != httpx.codes.OK:
                    raise RuntimeError(f"{name}: {answer.text}")
            for percent in (50, 99):
                value = percentile(times, percent)
                line.append(value)
                results.append(Result(f"reading.{name}.limit_{limit}.p{percent}", value, "ms", note=f"{rows} rows"))
        table.append(line)
    columns = ("page", "100 rows: p50 ms", "p99", "1,000 rows: p50 ms", "p99")
    show(f"one page out of {rows:,} rows, {pages} times", columns, table)
    return results


async def _measure_booking(store: Store, ask: Ask, rows: int, last: int) -> list[Result]:
    sequences = itertools.count(last + 1)
    alone = await _commit(store, sequences)
    asked, refused = itertools.count(), itertools.count()

    async def read_on(number: int) -> None:
        questions = list(_questions(rows, 1_000).values())
        for at in itertools.count(number):
            answer = await ask(questions[at % len(questions)](), number)
            next(asked if answer.status_code == httpx.codes.OK else refused)

    readers = [asyncio.create_task(read_on(number)) for number in range(_READERS)]
    beside = await _commit(store, sequences)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    results = []
    for percent in (50, 99):
        without, with_readers = percentile(alone, percent), percentile(beside, percent)
        results += [
            Result(f"reading.commit.alone.p{percent}", without, "ms"),
            Result(f"reading.commit.with_readers.p{percent}", with_readers, "ms", note=f"{_READERS} readers"),
            Result(
                f"reading.commit.ratio.p{percent}", with_readers / without, "ratio", against="the same without readers"
            ),
        ]
    figures = (percentile(times, percent) for percent in (50, 99) for times in (alone, beside))
    show("one commit, ms", ("p50 alone", "p50 with readers", "p99 alone", "p99 with readers"), [list(figures)])
    say(f"{_READERS} readers had {next(asked)} pages of 1,000 rows meanwhile, and {next(refused)} refusals")
    return results


async def _commit(store: Store, sequences: "itertools.count[int]") -> list[float]:
    times = []
    for sequence in itertools.islice(sequences, _COMMITS):
        record = _record(sequence, _order(sequence, OrderState.FILLED))
        began = time.perf_counter()
        await store.commit(Batch([record]))
        times.append((time.perf_counter() - began) * 1e3)
        # As long as a batch waits before it is committed: booking is not all that the process does.
        await asyncio.sleep(0.005)
    return times
