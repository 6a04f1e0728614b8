"""What the venue takes back, and money that moves without an order: venue, books and every service still agree."""

import gzip
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import BUSY, Platform, assert_everyone_agrees, drill, settle
from tollgate_contracts.strategy import Side

pytestmark = pytest.mark.platform
FILLS = 20


def test_a_bust_a_deposit_and_a_fee_leave_everyone_in_agreement(platform: Callable[..., Platform], tmp_path: Path):
    """While entries are protected by stops and trading goes on; the switch can be released, and the run replays."""
    # Far away, so that they rest and are taken back for every exit.
    desk = platform(BUSY | {"TOLLGATE_STRATEGY__PROTECTIVE_STOP_BPS": "300"})
    desk.start()
    desk.wait_until(lambda: desk.fills() >= FILLS, f"{FILLS} fills", 120)
    drill(desk, "POST", "movements", {"type": "DEPOSIT", "currency": "USDT", "amount": "1234.5"})
    drill(desk, "POST", "movements", {"type": "FEE", "currency": "USDT", "amount": "-3.25"})
    desk.wait_until(lambda: desk.fills() >= 2 * FILLS, f"{2 * FILLS} fills", 120)
    # Stops are taken back, so that the last sale is of an exit and nothing is under way when it is taken back.
    assert desk.engage(level="CANCEL").status_code == httpx.codes.OK
    settle(desk)
    sold = next(fill for fill in reversed(assert_everyone_agrees(desk).fills) if fill.side is Side.SELL)
    assert sold.trade is not None
    before = desk.status("ledger")["entries"]
    drill(desk, "POST", "busts", {"trade_id": sold.trade.trade_id})
    desk.wait_until(lambda: desk.status("ledger")["entries"] > before, "the bust in the books", 60)
    view = assert_everyone_agrees(desk)
    assert [fill.busts for fill in view.fills if fill.busts] == [sold.trade.trade_id]
    assert desk.release(timeout_s=60).status_code == httpx.codes.OK

    run = tmp_path / "run.jsonl.gz"
    assert desk.run("record", str(run), "--state-dir", str(desk.state)).returncode == 0
    assert desk.stop() == 0
    with gzip.open(run, "rt") as lines:
        rested = sum('protects\\":\\"tg' in line and 'to_state\\":\\"ACKNOWLEDGED' in line for line in lines)
    assert rested >= 1, "stops came to rest at the venue"
    replayed = desk.run("replay", str(run), timeout_s=300)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
