"""How long ``tollgate report`` takes over books of many fills, and how much memory, which must not grow with them.

The database makes the books itself, with a result that wanders at random. What is timed is the command as a person
runs it, in a process of its own: its start, every statement, the page, and every row written to files.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path

import psutil

from tests.bench import lives
from tests.bench.results import Result, show
from tests.bench.server import Server, postgres
from tests.conftest import TOLLGATE
from tollgate_contracts.codec import encode

FILLS = 1_000_000
_START_US = 1_700_006_400_000_000
# A fill every half minute: nearly a year at a million.
_STEP_US = 30_000_000
_SYMBOLS = "(ARRAY['BTC-USDT', 'ETH-USDT', 'SOL-USDT', 'XRP-USDT', 'AVAX-USDT'])[1 + n % 5]"
_WHY = "'momentum' || n % 7, 'calm', 'tier' || n % 3, 0.7, 0.8, 'momentum', n, repeat('a', 64)"
_NO_HASH = "decode(repeat('00', 32), 'hex')"
_SEED = f"""
SET session_replication_role = replica;
SELECT setseed(0.5);
INSERT INTO ledger.trips
SELECT n, {_SYMBOLS}, 'simulated', 'BUY', {_START_US} + (2 * n - 2) * {_STEP_US}::bigint,
    {_START_US} + (2 * n - 1) * {_STEP_US}::bigint + (random() * 20000000)::bigint, 2 * n - 1, 2 * n, 30000.25,
    30001.25, 0.010, 2, edge - 0.125, edge, 0.125, 0.6005, 0, edge - 0.125 - 0.6005, 12.5, 'signal', {_WHY},
    100000, 100001, 0.25, 'tg' || lpad(to_hex(n), 30, '0'), 'tg' || lpad(to_hex(n), 30, '0'), false
FROM (SELECT n, round((random() * 41 - 19.6)::numeric, 6) AS edge FROM generate_series(1, $1 / 2) AS n) AS made;
INSERT INTO ledger.trade_costs
SELECT n, {_START_US} + (n - 1) * {_STEP_US}::bigint, {_SYMBOLS}, 't' || n, 'BUY', 0.010, 30000.25 + n % 977,
    30000.125 + n % 977, 'quote:' || n, 0.0625, 0.30025, 'USDT', 0.30025, n % 2 = 0,
    'tg' || lpad(to_hex(n), 30, '0'), (n + 1) / 2, 'entry', {_WHY}, 0.3, NULL
FROM generate_series(1, $1) AS n;
INSERT INTO ledger.equity
SELECT {_START_US} + (2 * number - back) * {_STEP_US}::bigint, 2 * number - back, equity, equity, 0, 0,
    equity - 100000, 0.6005 * number, 0, 0, 0, 0, 300.0025 * back, 12.25, 0, 0, 0
FROM (SELECT number, 100000 + sum(net) OVER (ORDER BY number) AS equity FROM ledger.trips) AS so_far,
    generate_series(0, 1) AS back;
INSERT INTO ledger.days
SELECT day, sum(edge), sum(slippage), sum(fees), 0, 0, sum(net), 0, min(100000 + day_first),
    min(100000 + day_first) + sum(net)
FROM (SELECT *, first_value(before) OVER (PARTITION BY day ORDER BY number) AS day_first
      FROM (SELECT *, sum(net) OVER (ORDER BY number) - net AS before,
                to_timestamp({_START_US // 1_000_000} + number * {2 * _STEP_US // 1_000_000})::date AS day
            FROM ledger.trips) AS dated) AS begun
GROUP BY day;
INSERT INTO ledger.archive
VALUES (1, 'ledger:0', 'tape.main.ledger.config', convert_to('$CONFIG', 'UTF8'), '{{}}', 0, {_NO_HASH}),
       (2, 'execution:1', 'tape.main.execution.account', convert_to('$ACCOUNT', 'UTF8'), '{{}}', 0, {_NO_HASH});
INSERT INTO ledger.archive
SELECT n + 2, 'execution:' || n || ':0', 'tape.main.execution.fill', convert_to(
        replace(replace(replace(replace(replace('$FILL', '"t1"', '"t' || n || '"'), 'BTC-USDT', symbol),
            '30001.25', 30000 + n % 977 || '.25'), '"BUY"', CASE n % 2 WHEN 1 THEN '"BUY"' ELSE '"SELL"' END),
            '{lives.START_US + 1}', ({_START_US} + (n - 1) * {_STEP_US}::bigint)::text), 'UTF8'), '{{}}', 0, {_NO_HASH}
FROM (SELECT pair * 2 - back AS n, symbol FROM (SELECT n AS pair, {_SYMBOLS} AS symbol
      FROM generate_series(1, $1 / 2) AS n) AS pairs, generate_series(0, 1) AS back) AS made;
INSERT INTO ledger.entries (id, desk, venue, tape_sequence, message_id, kind, ts_us, run_id, cycle_id, lines, symbol,
    trade_id, client_order_id, config_hash, chain_hash)
SELECT n + 1, 'main', 'simulated', n + 2, 'execution:' || n || ':0', 'fill', 0, 'bench', 1, 4, 'BTC-USDT', 't' || n,
    'tg' || lpad(to_hex(n), 30, '0'), repeat('a', 64), {_NO_HASH}
FROM generate_series(1, $1) AS n;
INSERT INTO ledger.entries
    (id, desk, venue, tape_sequence, message_id, kind, ts_us, run_id, cycle_id, lines, chain_hash)
VALUES (1, 'main', 'simulated', 2, 'execution:1', 'opening', 0, 'bench', 1, 2, {_NO_HASH});
UPDATE ledger.checkpoint SET desk = 'main', archived_sequence = $1;
"""  # noqa: S608 - put together from our own words
_SAMPLE_S = 0.02


def measure(fills: int) -> list[Result]:
    """Report over books of ``fills`` fills in each form, and once over a tenth of them."""
    results: list[Result] = []
    with postgres() as server:
        asyncio.run(_make_books(server, "books", fills))
        asyncio.run(_make_books(server, "fewer", fills // 10))
        with tempfile.TemporaryDirectory(prefix="tollgate-reports-") as folder:
            forms = {
                "terminal": (),
                "html": ("--json", "--html", f"{folder}/report.html"),
                "parquet": ("--json", "--parquet", f"{folder}/parquet"),
                "csv": ("--json", "--csv", f"{folder}/csv"),
                "lots": ("--json", "--lots", f"{folder}/lots.csv"),
            }
            for name, options in forms.items():
                results += _run(name, server, Path(folder), "books", fills, options)
            for name in ("parquet", "lots"):
                results += _run(f"{name}_of_a_tenth", server, Path(folder), "fewer", fills // 10, forms[name])
    show("tollgate report", ("form", "value", "unit"), [(result.name, result.value, result.unit) for result in results])
    return results


async def _make_books(server: Server, name: str, fills: int) -> None:
    await server.make_books(name)
    seed = _SEED.replace("$1", str(fills))
    config, _, account = lives.beginning()
    for place, message in {"$CONFIG": config, "$ACCOUNT": account, "$FILL": lives.fill(1)}.items():
        seed = seed.replace(place, encode(message).decode())
    await server.execute(name, seed, "VACUUM ANALYZE")


def _run(form: str, server: Server, folder: Path, database: str, fills: int, options: tuple[str, ...]) -> list[Result]:
    address = folder / "address"
    address.write_text(server.dsn(database, "tollgate_reader"))
    command = [str(TOLLGATE), "report", "--dsn-file", str(address), *options]
    output = folder / "output"
    began, spent = time.perf_counter(), os.times()
    with output.open("w") as file, psutil.Popen(command, stdout=file, stderr=file) as process:
        highest = 0
        while process.poll() is None:
            highest = max(highest, _resident(process))
            time.sleep(_SAMPLE_S)
    took_s, ended = time.perf_counter() - began, os.times()
    processor_s = ended.children_user - spent.children_user + ended.children_system - spent.children_system
    if process.returncode:
        raise RuntimeError(f"the report failed: {output.read_text()[-2_000:]}")
    note = f"{fills} fills"
    return [
        Result(f"report.{form}", took_s, "s", None, note),
        Result(f"report.{form}.processor", processor_s, "s", None, f"{note}; the command's own, not the database's"),
        Result(f"report.{form}.memory", highest / 2**20, "MiB", None, f"{note}; the most that was resident"),
    ]


def _resident(process: psutil.Popen) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
