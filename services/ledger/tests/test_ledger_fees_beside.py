"""Fees out of what is no position, and what they leave of one: the result, the treasury, the days and the trips."""

from decimal import Decimal

import pytest
from trade_log_desk import DAY_US, ENTRY, EXIT, Desk

from tollgate_contracts.money import ZERO
from tollgate_ledger.core import LedgerCore
from tollgate_ledger.core.rows import DayClosed, EquityPoint, TripEnded

BNB = {"symbol": "BNB-USDT"}
PAID_IN_BNB = {"fee_currency": "BNB", "rate": "500"}


def day_of(desk):
    """Let the day end, and return its row."""
    desk.put(desk.speak.clock(99, ts_us=desk.speak.start_us + DAY_US))
    return desk.of(DayClosed)[-1]


def test_what_a_fee_costs_is_lost_wherever_it_is_paid_from(speak):
    """Bought at 100 and sold at 108 with two fees of 0.01 BNB at 500: eight won, ten paid, and no profit to share."""
    desk = Desk(speak, share="5000", USDT="1000", BNB="10")
    desk.quote("100")
    desk.fill(ENTRY, "BUY", "1", "100", "0.01", **PAID_IN_BNB)
    desk.fill(EXIT, "SELL", "1", "108", "0.01", **PAID_IN_BNB)
    (trip,) = desk.of(TripEnded)
    assert (trip.gross, trip.fees, trip.net) == (8, 10, -2)
    point = desk.of(EquityPoint)[-1]
    assert (point.equity, point.realized, point.fees, point.treasury) == (1008, 8, 10, 0)
    assert (point.transfers, point.drawdown) == (10, 2)
    day = day_of(desk)
    assert (day.edge, day.fees, day.net, day.transfers) == (8, 10, -2, 10)
    assert desk.core.balances["equity:transfers", "USDT"] == -10


def test_a_rebate_in_what_is_no_position_is_won_and_has_gone_there(speak):
    desk = Desk(speak, share="5000", USDT="1000", BNB="10")
    desk.fill(ENTRY, "BUY", "1", "100", "-0.01", **PAID_IN_BNB)
    point = desk.of(EquityPoint)[-1]
    assert (point.equity, point.fees, point.treasury, point.transfers) == (1000, -5, Decimal("2.5"), -5)
    day = day_of(desk)
    assert (day.fees, day.net, day.transfers) == (-5, 5, -5)


def test_a_bust_takes_back_what_its_fee_has_brought_in(speak):
    desk = Desk(speak, share="5000", USDT="1000", BNB="10")
    before = desk.core.balances
    fill = desk.fill(ENTRY, "BUY", "1", "100", "0.01", **PAID_IN_BNB)
    desk.put(speak.bust(fill))
    assert desk.core.balances == before
    assert (day_of(desk).net, desk.of(EquityPoint)[-1].drawdown) == (0, 0)


def test_a_coin_that_was_bought_since_pays_no_fee_that_others_of_it_can_pay(speak):
    """Ten BNB were there before the desk traded it. The books, the trips and the next day tell the same of the one."""
    desk = Desk(speak, USDT="1000", BNB="10")
    desk.put(speak.config(books_interval_ms=0, symbols=("BTC-USDT", "ETH-USDT", "BNB-USDT")))
    desk.quote("10", "BNB-USDT")
    desk.fill(ENTRY, "BUY", "1", "10", **BNB)
    desk.fill(ENTRY, "BUY", "1", "100", "0.01", fee_currency="BNB", rate="12")
    desk.fill(EXIT, "SELL", "1", "10", **BNB)
    assert [position["symbol"] for position in desk.core.status()["positions"]] == ["BTC-USDT"]
    assert set(desk.core.snapshot()["trade_log"]["log"]["trips"]["open"]) == {"BTC-USDT"}
    day = day_of(desk)
    assert (day.net, day.transfers) == (Decimal("-0.12"), Decimal("0.12"))
    desk.quote("20", "BNB-USDT")
    desk.put(speak.clock(100, ts_us=speak.start_us + 2 * DAY_US))
    after = desk.of(DayClosed)[-1]
    assert (after.net, after.equity_last - after.equity_first - after.transfers) == (0, 0)


def test_a_trip_ends_though_its_fee_leaves_what_nobody_can_sell(speak):
    """The rest is the next trip's, and so is what it cost."""
    desk = Desk(speak, USDT="1000").instrument()
    for _ in range(3):
        desk.fill(ENTRY, "BUY", "1", "100", "0.001", fee_currency="BTC", rate="100")
        desk.fill(EXIT, "SELL", "0.99", "90")
    trips = desk.of(TripEnded)
    assert [(trip.number, trip.quantity, trip.net) for trip in trips] == [
        (1, 1, -10), (2, Decimal("1.009"), -10), (3, Decimal("1.018"), -10)
    ]  # fmt: skip
    assert desk.core.snapshot()["trade_log"]["log"]["open"] == {}
    desk.quote("50")
    assert day_of(desk).net == Decimal(-30) + Decimal("0.027") * -50


@pytest.mark.parametrize("is_known", [True, False])
def test_the_rules_of_what_can_be_sold_are_those_on_the_tape(speak, is_known):
    desk = Desk(speak, USDT="1000")
    if is_known:
        desk.instrument(min_notional="50")
    desk.fill(ENTRY, "BUY", "1", "100")
    desk.fill(EXIT, "SELL", "0.6", "100")
    assert len(desk.of(TripEnded)) == is_known
    again = LedgerCore()
    again.restore(desk.core.snapshot())
    assert again.snapshot() == desk.core.snapshot()


def test_what_a_bust_gives_back_of_a_fee_is_held_and_was_bought(speak):
    """The sale of a coin was charged the last of another one, which is a long again."""
    desk = Desk(speak, USDT="1000")
    desk.put(speak.config(books_interval_ms=0, symbols=("BTC-USDT", "ETH-USDT", "BNB-USDT")))
    desk.fill(ENTRY, "BUY", "1", "100")
    desk.fill(ENTRY, "BUY", "0.5", "50", **BNB)
    sale = desk.fill(EXIT, "SELL", "1", "110", "0.5", fee_currency="BNB", rate="60")
    assert sorted(trip.symbol for trip in desk.of(TripEnded)) == ["BNB-USDT", "BTC-USDT"]
    desk.put(speak.bust(sale))
    desk.fill(EXIT, "SELL", "0.5", "60", **BNB)
    trip = desk.of(TripEnded)[-1]
    assert (trip.symbol, trip.side, trip.quantity) == ("BNB-USDT", "BUY", Decimal("0.5"))
    assert (trip.entry_price, trip.exit_price, trip.net) == (50, 60, ZERO)
