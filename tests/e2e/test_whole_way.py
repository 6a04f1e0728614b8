"""A recorded market, two hundred fills and more, and everyone agrees to the last digit."""

import gzip
import json
import re
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ASK, BUSY, Platform, assert_everyone_agrees, recorded_market, settle

pytestmark = pytest.mark.platform
FILLS = 200
TAPE_MESSAGES = 10_000


def test_an_order_goes_its_whole_way_on_a_recorded_market(platform: Callable[..., Platform], tmp_path: Path):
    """Positions agree exactly, the kill switch stops it all, and the run replays byte for byte."""
    recording = recorded_market("binance_spot_BTCUSDT_20240808.raw.gz")
    environment = BUSY | {"TOLLGATE_SIMVENUE__QUOTES_PER_S": "300", "TOLLGATE_STRATEGY__MAX_HOLD_MS": "300"}
    desk = platform(environment, ("--replay", str(recording), "--speed", "4"))
    desk.start()
    desk.wait_until(lambda: desk.fills() >= FILLS, f"{FILLS} fills", 180)
    desk.wait_until(lambda: desk.status("ledger").get("archived", 0) >= TAPE_MESSAGES, f"{TAPE_MESSAGES} messages", 180)

    settle(desk)
    view = assert_everyone_agrees(desk)
    assert len(view.fills) >= FILLS
    assert len({fill.symbol for fill in view.fills}) == 5

    run = tmp_path / "run.jsonl.gz"
    assert desk.run("record", str(run), "--state-dir", str(desk.state)).returncode == 0
    order = view.fills[-1].client_order_id
    live = _explained(desk, order, "--state-dir", str(desk.state))
    assert desk.stop() == 0
    assert _explained(desk, order, "--run", str(run)) == live
    assert sum(Decimal(trade["quantity"]) for trade in live["trades"]) == sum(
        fill.trade.quantity for fill in view.fills if fill.client_order_id == order
    )
    assert live["verdict"]["as_computed"]
    replayed = desk.run("replay", str(run), timeout_s=300)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert re.search(r"fingerprint [0-9a-f]{64}", replayed.stdout)
    assert "market messages without recorded frames" not in replayed.stdout

    tampered = tmp_path / "tampered.jsonl.gz"
    assert _change_one_quantity(run, tampered)
    differs = desk.run("replay", str(tampered), timeout_s=300)
    assert differs.returncode == 1
    assert "differs" in differs.stdout


def _explained(desk: Platform, order: str, *where: str) -> dict[str, Any]:
    """Return what is told of an order, but for how long the tape was by then."""
    told = desk.run("explain", order, "--json", *where)
    assert told.returncode == 0, told.stdout + told.stderr
    answer: dict[str, Any] = json.loads(told.stdout)
    return {key: value for key, value in answer.items() if key not in {"records", "result"}}


def _change_one_quantity(run: Path, tampered: Path) -> bool:
    """Change one digit of one intent, as someone would who wants another history."""
    changed = False
    with gzip.open(run, "rt") as source, gzip.open(tampered, "wt") as target:
        for line in source:
            content = json.loads(line)
            if not changed and ".strategy.intent." in content.get("subject", ""):
                content["data"] = re.sub(r'"quantity":"(\d)', r'"quantity":"1\1', content["data"], count=1)
                changed = True
            target.write(json.dumps(content) + "\n")
    return changed


def test_the_kill_switch_stops_trading_and_the_view_shows_it_within_a_second(platform: Callable[..., Platform]):
    desk = platform(BUSY)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 5, "some fills", 60)

    put_at = time.time()
    answer = desk.engage()
    assert answer.json()["engaged"] is True
    desk.wait_until(lambda: "ENGAGED" in desk.output.read_text(), "the view shows it", 1)

    settle(desk)
    fills = desk.fills()
    intents = desk.status("risk")["intents"]
    desk.wait_until(lambda: desk.status("risk")["intents"] >= intents + 5, "intents go on", 30)
    decisions = desk.status("risk")["decisions"]
    assert decisions["by_reason"]["gate.kill_switch"] >= 5
    assert desk.fills() == fills
    read = desk.operator("read")
    orders = ASK.get(f"{desk.url('execution')}/v1/orders", headers=read, timeout=5).json()
    assert all(order["since_us"] <= (put_at + 1) * 1_000_000 for order in orders)

    without = ASK.delete(f"{desk.url('risk')}/v1/kill-switch", timeout=5)
    assert without.status_code == httpx.codes.UNAUTHORIZED
    released = desk.release(reason="the drill is over")
    assert released.status_code == httpx.codes.OK, released.text
    desk.wait_until(lambda: desk.fills() > fills, "trading goes on", 30)


def test_a_second_start_goes_on_where_the_first_ended(platform: Callable[..., Platform]):
    desk = platform(BUSY)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= 5, "some fills", 60)
    refused = desk.run(*desk.command()[1:], timeout_s=20)
    assert refused.returncode == 73
    assert str(desk.process.pid) in refused.stderr + refused.stdout
    assert desk.stop() == 0
    before = desk.output.read_text()

    desk.start()
    fills = desk.fills()
    assert fills >= 5
    desk.wait_until(lambda: desk.fills() >= fills + 5, "more fills", 60)
    settle(desk)
    assert_everyone_agrees(desk)
    assert "halt" not in desk.output.read_text()[len(before) :].lower()
