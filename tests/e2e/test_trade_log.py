"""Where the money came from, on a platform that trades: every trade, trip and part of the equity accounted for."""

import asyncio
import gzip
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.conftest import ASK, BUSY, Platform, assert_everyone_agrees, drill, settle
from tests.policies import PATIENT
from tollgate_domain.attribution import By, Parts, grouped, whole

pytestmark = pytest.mark.platform
FILLS = 40
ZERO = Decimal(0)

_UNATTRIBUTED = """
SELECT (SELECT count(*) FROM ledger.entries WHERE kind = 'fill')
     - (SELECT count(*) FROM ledger.trade_costs WHERE quantity > 0) AS fills,
       (SELECT count(*) FROM ledger.trade_costs WHERE purpose IS NULL OR reference_price IS NULL) AS unexplained,
       (SELECT count(*) FROM ledger.trips
        LEFT JOIN (SELECT trip, sum(slippage) AS slippage, sum(fee_value) AS fees
                   FROM ledger.trade_costs GROUP BY trip) AS its ON its.trip = trips.number
        WHERE trips.slippage IS DISTINCT FROM its.slippage OR trips.fees IS DISTINCT FROM its.fees) AS untrue
"""
_LAST = "SELECT * FROM ledger.equity ORDER BY tape_sequence DESC LIMIT 1"
_FIRST = "SELECT * FROM ledger.equity ORDER BY tape_sequence LIMIT 1"
_TREASURY = "SELECT -coalesce(sum(amount), 0) FROM ledger.balances WHERE account = 'equity:treasury'"
_LAST_EXIT = """
SELECT entries.symbol, trade_id FROM ledger.entries JOIN ledger.trips ON tape_sequence = closed_sequence
WHERE kind = 'fill' ORDER BY tape_sequence DESC LIMIT 1
"""
_OPEN_COSTS = """
SELECT coalesce(sum(slippage), 0) AS slippage, coalesce(sum(fee_value), 0) AS fees FROM ledger.trade_costs
WHERE trip NOT IN (SELECT number FROM ledger.trips)
"""


async def ask(desk: Platform, *queries: str) -> list[list[asyncpg.Record]]:
    """Return the answers of the ledger's database."""
    dsn = (desk.state / "secrets" / "ledger" / "postgres_dsn").read_text().strip()
    connection = await asyncpg.connect(dsn)
    try:
        return [await connection.fetch(query) for query in queries]
    finally:
        await connection.close()


def held(desk: Platform) -> set[str]:
    """Return the symbols that the books hold."""
    return {position["symbol"] for position in desk.books()["positions"]}


class Row:
    """A row of the database by its columns' names."""

    def __init__(self, record: asyncpg.Record) -> None:
        self.__dict__.update(record)


def test_every_trade_and_every_trip_is_accounted_for_to_the_last_digit(
    platform: Callable[..., Platform], tmp_path: Path
):
    """Also after a bust, a deposit and a charge: everyone agrees, and the nets of all trips are what equity has moved.

    Meanwhile entries are protected by stops, far away, so that they rest and are taken back for every exit; at the end
    risk closes what is held, and the run replays byte for byte.
    """
    environment = BUSY | {"TOLLGATE_STRATEGY__PROTECTIVE_STOP_BPS": "300"}
    desk = platform(environment, policy=PATIENT | {"cash.treasury_share_bps": "2000"})
    desk.start()
    desk.wait_until(lambda: desk.fills() >= FILLS // 3, f"{FILLS // 3} fills", 120)
    drill(desk, "POST", "movements", {"type": "DEPOSIT", "currency": "USDT", "amount": "1234.5"})
    drill(desk, "POST", "movements", {"type": "FEE", "currency": "USDT", "amount": "-3.25"})
    desk.wait_until(lambda: desk.fills() >= FILLS, f"{FILLS} fills", 120)
    # Stops are taken back, so that nothing is under way when a sale is taken back that had ended its trip.
    assert desk.engage(level="CANCEL").status_code == httpx.codes.OK
    settle(desk)
    assert_everyone_agrees(desk)
    ((sold,),) = asyncio.run(ask(desk, _LAST_EXIT))
    drill(desk, "POST", "busts", {"trade_id": sold["trade_id"]})
    desk.wait_until(lambda: sold["symbol"] in held(desk), "the bust in the books", 60)
    assert [fill.busts for fill in assert_everyone_agrees(desk).fills if fill.busts] == [sold["trade_id"]]
    assert desk.engage(level="FLATTEN", wait_flat_s=60).status_code == httpx.codes.OK
    desk.wait_until(lambda: not held(desk), "nothing is held", 60)
    settle(desk)
    assert_everyone_agrees(desk)

    (gaps,), trips, (first,), (last,), ((treasury,),), (open_costs,) = asyncio.run(
        ask(desk, _UNATTRIBUTED, "SELECT * FROM ledger.trips", _FIRST, _LAST, _TREASURY, _OPEN_COSTS)
    )
    assert dict(gaps) == {"fills": 0, "unexplained": 0, "untrue": 0}
    assert dict(open_costs) == {"slippage": ZERO, "fees": ZERO}
    rows = [Row(trip) for trip in trips]
    assert len(rows) >= FILLS // 4
    together = whole(rows)
    assert last["charges"] == Decimal("3.25")
    assert together.net - last["charges"] == last["equity"] - first["equity"] - (last["transfers"] - first["transfers"])
    assert last["transfers"] - first["transfers"] == Decimal("1234.5")
    assert together.net == sum((trip["net"] for trip in trips), ZERO)
    for by in By:
        summed = Parts()
        for parts in grouped(rows, by).values():
            summed = summed.plus(parts)
        assert summed == together, by
    triggers = Counter(trip["trigger"] for trip in trips)
    assert triggers["bust"] == 1
    assert triggers["flatten"] >= 1
    assert set(triggers) <= {"signal", "stop", "protection", "flatten", "bust"}

    results = ASK.get(f"{desk.url('risk')}/v1/state", headers=desk.operator("read"), timeout=10).json()["results"]
    assert Decimal(results["treasury"]) == treasury == last["treasury"]
    where = ("--state-dir", str(desk.state))
    for check in ("verify", "rebuild"):
        audit = desk.run("audit", check, *where, timeout_s=120)
        assert audit.returncode == 0, audit.stdout + audit.stderr
    assert desk.release(timeout_s=60).status_code == httpx.codes.OK, "what was taken back does not stand in the way"
    assert_the_run_replays(desk, tmp_path / "run.jsonl.gz")


def assert_the_run_replays(desk: Platform, run: Path) -> None:
    """Record the run, end the platform, and compare; the stops of the run had come to rest at the venue."""
    assert desk.run("record", str(run), "--state-dir", str(desk.state)).returncode == 0
    assert desk.stop() == 0
    with gzip.open(run, "rt") as lines:
        rested = sum('protects\\":\\"tg' in line and 'to_state\\":\\"ACKNOWLEDGED' in line for line in lines)
    assert rested >= 1
    replayed = desk.run("replay", str(run), timeout_s=300)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
