"""Fees in what was bought, in a third currency, and in one that nobody quotes: venue, books and services agree."""

import gzip
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ASK, BUSY, Platform, VenueView, assert_everyone_agrees, drill, settle
from tollgate_contracts.strategy import Side

pytestmark = pytest.mark.platform
FILLS = 24
TRIES = 10
# The venue trades one symbol more than the desk, so that nobody quotes it to the tape.
SYMBOLS = {"BTC": "60000", "ETH": "3000", "SOL": "150", "XRP": "0.6", "AVAX": "30", "BNB": "500"}
GRID = {"tick": "0.0001", "step": "0.0001", "min_quantity": "0.0001", "min_notional": "5"}
INSTRUMENTS = [{"symbol": f"{base}-USDT", "start_price": price, **GRID} for base, price in SYMBOLS.items()]
# Enough of both for the fees of a short run.
OPENING = {"USDT": "100000", "AVAX": "100", "BNB": "10"}


def settled_with_a_purchase(desk: Platform) -> tuple[VenueView, str]:
    """Stop trading at a moment at which a purchase is still in hand, and return its trade."""
    for _ in range(TRIES):
        # Stops are taken back, so that nothing of ours is open.
        assert desk.engage(level="CANCEL").status_code == httpx.codes.OK
        settle(desk)
        view = assert_everyone_agrees(desk)
        for fill in reversed(view.fills):
            trade, base = fill.trade, fill.symbol.split("-")[0]
            if trade is not None and fill.side is Side.BUY and trade.fee_currency == base:
                held = Decimal(_positions(desk).get(fill.symbol, "0"))
                if held >= trade.quantity - trade.fee:
                    return view, trade.trade_id
        fills = desk.fills()
        assert desk.release(timeout_s=60).status_code == httpx.codes.OK
        desk.wait_until(lambda fills=fills: desk.fills() > fills + 3, "more fills", 60)
    raise AssertionError("nothing was ever in hand")


def _positions(desk: Platform) -> dict[str, str]:
    positions: dict[str, str] = desk.status("execution")["positions"]
    return positions


def round_trips(desk: Platform) -> dict[str, int]:
    """Return how many round trips risk has seen end, and how."""
    answer = ASK.get(f"{desk.url('risk')}/v1/state", headers=desk.operator("read"), timeout=10)
    ended: dict[str, int] = answer.json()["results"]["round_trips"]
    return ended


def recorded(desk: Platform, run: Path) -> list[dict[str, Any]]:
    """Record the run and return its fills as they stand on the tape."""
    assert desk.run("record", str(run), "--state-dir", str(desk.state)).returncode == 0
    with gzip.open(run, "rt") as lines:
        messages = [json.loads(json.loads(line)["data"]) for line in lines if ".execution.fill." in line]
    return [message for message in messages if message["kind"] == "fill"]


def test_a_purchase_pays_with_what_it_has_bought(platform: Callable[..., Platform], tmp_path: Path):
    """What is left after the fee is all that anybody counts, sells and protects; a bust gives the fee back."""
    desk = platform(BUSY | {"TOLLGATE_SIMVENUE__FEE_CURRENCY": "base", "TOLLGATE_STRATEGY__PROTECTIVE_STOP_BPS": "300"})
    desk.start()
    desk.wait_until(lambda: desk.fills() >= FILLS, f"{FILLS} fills", 120)
    view, bought = settled_with_a_purchase(desk)
    currencies = {fill.trade.fee_currency for fill in view.fills if fill.trade is not None}
    assert "USDT" in currencies
    assert len(currencies) > 2
    before = desk.status("ledger")["entries"]
    drill(desk, "POST", "busts", {"trade_id": bought})
    desk.wait_until(lambda: desk.status("ledger")["entries"] > before, "the bust in the books", 60)
    assert_everyone_agrees(desk)
    assert desk.release(timeout_s=60).status_code == httpx.codes.OK
    fills = desk.fills()
    desk.wait_until(lambda: desk.fills() > fills, "trading goes on", 60)
    # What is left of a position after its fee is below the venue's step, and is no position any more.
    assert round_trips(desk)["ended"] > 0

    run = tmp_path / "run.jsonl.gz"
    for fill in recorded(desk, run):
        base, quote = fill["symbol"].split("-")
        assert fill["trade"]["fee_currency"] == (base if fill["side"] == "BUY" else quote)
        assert fill["fee_rate_source"] == ("trade" if fill["side"] == "BUY" else "")
        assert (fill["fee_rate"] is None) == (fill["side"] == "SELL")
    assert desk.stop() == 0
    replayed = desk.run("replay", str(run), timeout_s=300)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


@pytest.mark.parametrize(
    ("currency", "is_quoted"),
    [pytest.param("AVAX", True, id="that the desk trades"), pytest.param("BNB", False, id="that nobody quotes")],
)
def test_a_fee_in_a_third_currency_stops_nobody(
    platform: Callable[..., Platform], tmp_path: Path, currency: str, *, is_quoted: bool
):
    """With a rate it is realized and paid, without one it is in suspense; trading goes on either way."""
    venue = {"FEE_CURRENCY": currency, "OPENING_BALANCES": json.dumps(OPENING), "INSTRUMENTS": json.dumps(INSTRUMENTS)}
    desk = platform(BUSY | {f"TOLLGATE_SIMVENUE__{name}": value for name, value in venue.items()})
    desk.start()
    desk.wait_until(lambda: desk.fills() >= FILLS, f"{FILLS} fills", 120)
    settle(desk)
    fills = recorded(desk, tmp_path / "run.jsonl.gz")
    charged = [fill for fill in fills if fill["trade"]["fee_currency"] == currency]
    assert len(charged) >= FILLS // 2
    assert {fill["fee_rate_source"][:6] for fill in charged} == ({"quote:"} if is_quoted else {""})

    ledger = {**desk.status("ledger"), **desk.books()}
    assert ledger["drifting"] == []
    assert desk.status("execution")["drifting"] == []
    fee = sum(Decimal(fill["trade"]["fee"]) for fill in charged)
    if is_quoted:
        assert ledger["alarms"] == {}
        assert Decimal(ledger["fees"]) > 0
        assert ledger["suspense"] == {}
    else:
        assert ledger["alarms"] == {"fee_currency": len(charged)}
        assert {name: Decimal(amount) for name, amount in ledger["suspense"].items()} == {currency: fee}
    for service in ("strategy", "risk", "execution"):
        status = desk.status(service)
        assert status.get("fault") is None
        lacks = {name: Decimal(amount) for name, amount in status["fees_without_rate"].items()}
        assert lacks == ({} if is_quoted else {currency: fee})
    assert desk.release(timeout_s=60).status_code == httpx.codes.OK
    before = desk.fills()
    desk.wait_until(lambda: desk.fills() > before, "trading goes on", 60)
