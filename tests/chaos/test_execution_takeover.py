"""Execution is told to stop, or falls, under traffic: it ends in order, and whoever goes on reads the venue first."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.test_takeover import START_S, Second, second_instance, stop_and_load, told
from tests.conftest import ASK, BUSY, Platform, assert_everyone_agrees, settle
from tollgate_contracts.execution import Order, Report, ReportStatus
from tollgate_contracts.reconciliation import Sync
from tollgate_contracts.risk import Decision
from tollgate_contracts.safety import SafeMode
from tollgate_contracts.tenure import Tenure
from tollgate_research.recording import Run

pytestmark = pytest.mark.platform
# The supervisor's patience; the drain's own bound is half of it.
PATIENCE_S = 8.0
# From the loss of the active instance to the first order that leaves, on a machine that runs twenty other things.
NEXT_ORDER_S_MAX = 30
NOT_AT_VENUE = {ReportStatus.NOT_SENT, ReportStatus.ABSENT, ReportStatus.NO_ANSWER}


def test_execution_that_is_told_to_stop_ends_in_order_and_the_next_start_loses_nothing(
    platform: Callable[..., Platform],
):
    """SIGTERM to the process alone, three times under traffic; entries are taken back and every row is settled."""
    desk = platform({**BUSY, "TOLLGATE_EXECUTION__ON_STOP": "cancel"})
    desk.start()
    for _ in range(3):
        fills = desk.fills()
        desk.wait_until(lambda fills=fills: desk.fills() > fills + 3, "traffic", 60)
        pid, began = desk.pid("execution"), time.monotonic()
        os.kill(pid, signal.SIGTERM)
        desk.wait_until(lambda pid=pid: desk.pid_or_none("execution") not in {None, pid}, "it came back", START_S)
        print(f"seen again {time.monotonic() - began:.2f} s after SIGTERM")
        desk.wait_until(desk.all_live, "live again", START_S)
    lines = desk.log("execution")
    drained = [line for line in lines if line.get("event") == "service.drained"]
    assert [line["outcome"] for line in drained] == ["done"] * 3
    assert max(line["latency_ms"] for line in drained) < PATIENCE_S * 1_000 / 2
    print([line["latency_ms"] for line in drained], "ms to drain")
    assert [line["outcome"] for line in lines if line.get("event") == "orders.drained"] == ["cancel"] * 3
    assert "did not stop" not in (desk.state / "logs" / "supervisor.jsonl").read_text()
    settle(desk)
    assert_everyone_agrees(desk)
    assert desk.stop() == 0


def test_whoever_takes_over_execution_reads_the_venue_before_the_first_order_leaves(
    platform: Callable[..., Platform], tmp_path: Path
):
    """Stopped in order, and killed; each time the one that stood by goes on after a whole round of reconciliation."""
    desk = platform(BUSY)
    desk.start()
    lost_us: dict[str, int] = {}
    for name, how in (("stopped", signal.SIGTERM), ("killed", signal.SIGKILL)):
        desk.wait_until(lambda: desk.status("execution").get("live"), "execution is live", START_S)
        fills = desk.fills()
        desk.wait_until(lambda fills=fills: desk.fills() > fills + 3, "traffic", 60)
        (tmp_path / name).mkdir()
        with second_instance(desk, "execution", tmp_path / name) as second:
            lost_us[name] = time.time_ns() // 1_000
            os.kill(desk.pid("execution"), how)
            desk.wait_until(lambda second=second: second.status().get("live"), "the second took over", START_S)
            desk.wait_until(lambda second=second: has_entered(desk, second), "it enters", START_S)
            second.process.kill()
        desk.wait_until(desk.all_live, "the first one took over again", START_S)
    settle(desk)
    run = stop_and_load(desk, tmp_path)
    took_s = {name: after_the_loss_s(run, at_us) for name, at_us in lost_us.items()}
    print({name: {what: round(seconds, 3) for what, seconds in each.items()} for name, each in took_s.items()})
    for each in took_s.values():
        assert each["tenure"] < each["round"] < each["order"] < NEXT_ORDER_S_MAX
    assert [message for _, message in told(run, SafeMode) if message.engaged] == []


def has_entered(desk: Platform, second: Second) -> bool:
    """Say whether an entry was filled that was decided on under this instance; others were on their way before it."""
    url, tenure = f"http://127.0.0.1:{second.port}/v1/orders?limit=1000", second.status().get("tenure")
    orders = ASK.get(url, headers=desk.operator("read"), timeout=5).json()
    return bool(tenure) and any(
        order["side"] == "BUY" and order["filled"] != "0" and int(order["decision_id"].split(":")[1]) > tenure
        for order in orders
    )


def after_the_loss_s(run: Run, lost_us: int) -> dict[str, float]:
    """Return the seconds from the loss to the next tenure, to its first round, and to the first entry after that."""
    tenure_us = next(us for us, each in told(run, Tenure) if each.writer == "execution" and us > lost_us)
    round_us = next(us for us, _ in told(run, Sync) if us > tenure_us)
    # What makes a position smaller need not wait for the round.
    exits = {order.client_order_id for _, order in told(run, Order) if order.reduce_only or order.protects}
    # What was decided on before the tenure may have left before the loss.
    entries = {each.client_order_id for us, each in told(run, Decision) if us > tenure_us} - exits
    # Of the stream's frame and the answer to the submit the tape has whichever came first.
    reports = ((us, each) for us, each in told(run, Report) if each.client_order_id in entries)
    order_us = next(us for us, each in reports if each.status not in NOT_AT_VENUE)
    return {
        "tenure": (tenure_us - lost_us) / 1e6,
        "round": (round_us - lost_us) / 1e6,
        "order": (order_us - lost_us) / 1e6,
    }
