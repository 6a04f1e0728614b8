"""The stop that the strategy asks for, and what it makes of protective fills, busts and movements."""

from decimal import Decimal

import pytest

from tollgate_contracts.execution import OrderState
from tollgate_contracts.money import ZERO
from tollgate_contracts.strategy import Protection, Side
from tollgate_strategy.core import StrategyCore


def held(market):
    return market.core.state.portfolio.holding("BTC-USDT").quantity


def test_no_stop_is_asked_for_by_default(open_market):
    assert open_market.buy().protection is None


@pytest.mark.parametrize(
    ("knobs", "tick", "expected"),
    [
        pytest.param(
            {"protective_stop_bps": "100"}, "0.01", ("100.10", "99.60"), id="below the bound, with room below it"
        ),
        pytest.param(
            {"protective_stop_bps": "100", "protective_limit_bps": "0"}, "0.01", ("100.10", "100.10"), id="no room"
        ),
        pytest.param({"protective_stop_bps": "5000"}, "0.01", ("50.56", "50.31"), id="far away"),
        pytest.param({"protective_stop_bps": "1"}, "5", None, id="a grid too coarse for one"),
    ],
)
def test_the_stop_lies_below_the_entrys_worst_price_and_on_the_grid(market, knobs, tick, expected):
    """The bound of the entry is 101.11, and prices are rounded towards the entry: a sale never asks for less."""
    market.open(**knobs)
    market.instrument(tick=Decimal(tick))
    protection = market.buy("101").protection
    assert protection == (expected and Protection(trigger_price=Decimal(expected[0]), limit_price=Decimal(expected[1])))


def test_an_exit_asks_for_no_stop(market):
    market.open(protective_stop_bps="500")
    market.hold("101")
    (exit_,) = market.quote("90")
    assert (exit_.side, exit_.protection) == (Side.SELL, None)


def test_another_stop_is_another_order(new_market):
    """The id is derived from what is wanted, and the stop is a part of it."""
    near, far = (new_market().open(protective_stop_bps=bps).buy() for bps in ("100", "200"))
    assert near.client_order_id != far.client_order_id


def test_what_the_stop_fills_is_an_exit(market):
    """The position is flat, its cooldown runs, and nothing is sold a second time."""
    market.open(protective_stop_bps="500")
    entry = market.hold("101")
    market.protect(entry, OrderState.ACKNOWLEDGED)
    assert market.core.state.symbol("BTC-USDT").working is None
    market.stop_fills(entry, entry.quantity, "96")
    market.protect(entry, OrderState.FILLED, entry.quantity)
    assert held(market) == ZERO
    assert market.core.state.fault is None
    assert market.quote("90") == ()
    symbol = market.core.state.symbol("BTC-USDT")
    assert (symbol.opened_us, symbol.no_entry_before_us > market.now_us) == (None, True)


def test_an_exit_that_the_stop_has_overtaken_ends_with_nothing_and_the_symbol_goes_on(market):
    market.open(protective_stop_bps="500")
    entry = market.hold("101")
    (exit_,) = market.quote("90")
    market.approve(exit_)
    market.stop_fills(entry, entry.quantity, "96")
    market.order(exit_, OrderState.REJECTED)
    assert (held(market), market.core.state.symbol("BTC-USDT").working, market.core.state.fault) == (ZERO, None, None)


def test_a_busted_entry_was_never_bought(market):
    market.open()
    intent = market.buy()
    market.approve(intent)
    cash = market.core.state.portfolio.cash
    fill = market.fill(intent)
    market.order(intent, OrderState.FILLED, intent.quantity)
    market.bust(fill)
    assert (held(market), market.core.state.portfolio.cash) == (ZERO, cash)
    assert market.core.state.symbol("BTC-USDT").opened_us is None


def test_a_busted_exit_leaves_the_position_to_be_sold_again(market):
    market.open()
    market.hold("101")
    (exit_,) = market.quote("90")
    market.approve(exit_)
    sold = market.fill(exit_)
    market.order(exit_, OrderState.FILLED, exit_.quantity)
    market.bust(sold)
    assert held(market) == exit_.quantity
    (again,) = market.quote("90")
    assert (again.side, again.quantity) == (Side.SELL, exit_.quantity)


def test_a_fill_that_is_taken_back_while_its_order_works_does_not_count(market):
    """The order is over when the fills that stand are here: one that was busted is none of them."""
    market.open()
    intent = market.buy()
    market.approve(intent)
    market.bust(market.fill(intent, "1"))
    market.fill(intent, "2")
    assert market.core.state.symbol("BTC-USDT").working.filled == 2
    market.order(intent, OrderState.CANCELLED, "2")
    assert (market.core.state.symbol("BTC-USDT").working, held(market)) == (None, 2)


def test_a_bust_that_cannot_be_taken_back_stops_the_strategy(market):
    market.open()
    intent = market.buy()
    fill = market.fill(intent, "1")
    market.bust(fill)
    market.bust(fill)
    assert "cannot be taken back" in market.core.state.fault


def test_a_deposit_is_cash_to_trade_with_and_anothers_is_not(market):
    market.open(cash="1000")
    market.wait(1)
    market.move("500")
    market.move("999", account="other")
    assert market.core.state.portfolio.cash == 1_500


def test_what_was_withdrawn_is_not_sold_any_more(market):
    market.open()
    market.hold("101")
    quantity = held(market)
    market.wait(1)
    market.move(f"-{quantity}", currency="BTC", rate="101")
    assert (held(market), market.core.state.symbol("BTC-USDT").opened_us) == (0, None)
    assert market.quote("90") == ()


@pytest.mark.parametrize("rate", ["101", None])
def test_what_was_withdrawn_in_part_leaves_the_rest_to_sell(market, rate):
    market.open()
    market.hold("101")
    opened_us, quantity = market.core.state.symbol("BTC-USDT").opened_us, held(market)
    market.wait(1)
    market.move(f"-{quantity / 2}", currency="BTC", rate=rate)
    assert market.core.state.symbol("BTC-USDT").opened_us == opened_us
    (exit_,) = market.quote("90")
    assert (exit_.side, exit_.quantity) == (Side.SELL, quantity / 2)


def test_what_was_paid_in_of_a_symbols_currency_is_not_the_strategys_to_sell_and_goes_first(market):
    """As with what the account held at opening: it sells what it has bought."""
    market.open()
    market.hold("101")
    quantity = held(market)
    market.wait(1)
    market.move("3", currency="BTC", rate="101")
    market.move("-3", currency="BTC", rate="101")
    assert held(market) == quantity
    market.move("-1", currency="BTC", rate="101")
    assert held(market) == quantity - 1


def test_a_movement_before_the_configuration_makes_the_statement_out_of_date(market):
    """The next statement has the movement in it, and opens with it."""
    market.account(USDT="1000")
    market.move("500")
    market.config()
    assert market.core.state.portfolio is None
    market.account(USDT="1500")
    assert market.core.state.portfolio.cash == 1_500


def test_busts_and_movements_stand_in_a_snapshot(market):
    market.open()
    market.hold("101")
    (exit_,) = market.quote("90")
    market.approve(exit_)
    sold = market.fill(exit_)
    market.move("5")
    again = StrategyCore()
    again.restore(market.core.snapshot())
    market.bust(sold)
    again.step(market.sequence, market.taped[-1])
    assert again.snapshot() == market.core.snapshot()
