"""kill -9 of each part in mid-run under traffic: the platform recovers by itself and nothing is lost or doubled."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import BUSY, SERVICES, Platform, ask_venue, assert_everyone_agrees, settle
from tollgate_contracts.codec import decode
from tollgate_contracts.execution import Fill, Order, OrderState, Report, ReportStatus
from tollgate_research.recording import Run, load
from tollgate_research.replay import Replay

pytestmark = pytest.mark.platform
VICTIMS = (*SERVICES, "nats", "postgres")
# Import, recovery and the supervisor's backoff together, on a busy machine.
RECOVERY_S = 60


def test_every_part_is_killed_under_traffic_and_nothing_is_lost_or_doubled(
    platform: Callable[..., Platform], tmp_path: Path
):
    desk = platform(BUSY)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 5, "traffic", 60)
    recovery_s = {}
    for victim in VICTIMS:
        recovery_s[victim] = kill_and_wait_for_fills(desk, victim)
    print({victim: round(seconds, 1) for victim, seconds in recovery_s.items()})

    settle(desk)
    view = assert_everyone_agrees(desk)
    run_file = tmp_path / "run.jsonl.gz"
    assert desk.run("record", str(run_file), "--state-dir", str(desk.state)).returncode == 0
    assert asyncio.run(unbalanced_entries(desk)) == []
    assert desk.stop() == 0

    run = load(run_file)
    assert_every_order_ended_once(run, {fill.client_order_id for fill in view.fills})
    assert sorted(fill.trade.trade_id for fill in fills_on_tape(run)) == sorted(f.trade.trade_id for f in view.fills)
    report = Replay(run.desk).run(run)
    assert report.differences == []


def kill_and_wait_for_fills(desk: Platform, victim: str) -> float:
    """Kill one part; return the seconds until everything is live and an order has been filled again."""
    before = desk.pid(victim)
    fills = desk.fills()
    began = time.monotonic()
    desk.kill(victim)
    desk.wait_until(lambda: desk.pid_or_none(victim) not in {None, before}, f"{victim} started again", RECOVERY_S)
    desk.wait_until(desk.all_live, f"all live after {victim} was killed", RECOVERY_S)
    desk.wait_until(lambda: desk.fills() > fills, f"fills after {victim} was killed", RECOVERY_S)
    return time.monotonic() - began


def fills_on_tape(run: Run) -> list[Fill]:
    messages = [decode(record.data) for record in run.records if ".execution.fill." in record.subject]
    return [message for message in messages if isinstance(message, Fill)]


def assert_every_order_ended_once(run: Run, filled_at_venue: set[str]) -> None:
    """Each order on the tape has one terminal state; one that the venue never filled has not FILLED here."""
    terminal = {OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED}
    ends: dict[str, list[OrderState]] = {}
    for record in run.records:
        message = decode(record.data)
        if isinstance(message, Order):
            ends.setdefault(message.client_order_id, [])
            if message.to_state in terminal:
                ends[message.client_order_id].append(message.to_state)
        elif isinstance(message, Report) and message.status is ReportStatus.ABSENT:
            assert message.client_order_id not in filled_at_venue
    assert ends
    assert [order for order, states in ends.items() if len(states) != 1] == []
    filled_here = {order for order, states in ends.items() if states == [OrderState.FILLED]}
    assert filled_here <= filled_at_venue


async def unbalanced_entries(desk: Platform) -> list[object]:
    """Ask the database itself for entries that do not sum to zero in some currency."""
    dsn = (desk.state / "secrets" / "ledger" / "postgres_dsn").read_text().strip()
    connection = await asyncpg.connect(dsn)
    try:
        rows: list[object] = await connection.fetch(
            "SELECT entry_id, currency FROM ledger.postings GROUP BY entry_id, currency HAVING sum(amount) <> 0"
        )
        assert await connection.fetchval("SELECT count(*) FROM ledger.postings") > 0
        return rows
    finally:
        await connection.close()


async def assert_no_approval_was_placed_twice(desk: Platform) -> None:
    """Hold execution's journal against the venue.

    Each order that the venue has traded is a row. Of each approval at most one order has traded, and its stops have
    sold no more than it has bought.
    """
    dsn = (desk.state / "secrets" / "execution" / "postgres_dsn").read_text().strip()
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT client_order_id, approval_hash, leg FROM execution.journal")
    finally:
        await connection.close()
    traded: dict[str, Decimal] = {}
    for fill in (await ask_venue(desk)).fills:
        if fill.trade is not None:
            traded[fill.client_order_id] = traded.get(fill.client_order_id, Decimal(0)) + fill.trade.quantity
    assert traded.keys() <= {row["client_order_id"] for row in rows}
    orders, sold, bought = Counter[str](), dict[str, Decimal](), dict[str, Decimal]()
    for row in rows:
        quantity = traded.get(row["client_order_id"], Decimal(0))
        of_leg = bought if row["leg"] == "ORDER" else sold
        of_leg[row["approval_hash"]] = of_leg.get(row["approval_hash"], Decimal(0)) + quantity
        orders[row["approval_hash"]] += row["leg"] == "ORDER" and quantity > 0
    assert [approval for approval, count in orders.items() if count > 1] == []
    assert {approval: each for approval, each in sold.items() if each > bought.get(approval, 0)} == {}
