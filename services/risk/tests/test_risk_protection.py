"""Protective stops, busts and movements as the gate reads them."""

import json
from decimal import Decimal

import pytest

from tollgate_contracts.execution import OrderState
from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Account, Balance, MovementType
from tollgate_contracts.risk import Decision
from tollgate_contracts.strategy import Action, Purpose
from tollgate_risk.core import RiskCore
from tollgate_risk.core.reconciliation import clean, flat, not_flat

ENTRY = "tg" + "a" * 30
STOP_ID = "tg" + "5" * 30


def held(desk):
    return desk.core.state.held("BTC-USDT")


def state_account(desk, locked="0", **balances):
    desk.now_us += 1
    desk.step(
        Account(
            **desk.envelope("execution"),
            venue="simulated",
            account="main",
            balances=tuple(
                Balance(currency=currency, free=Decimal(amount), locked=Decimal(locked if currency == "BTC" else "0"))
                for currency, amount in balances.items()
            ),
            positions=(),
            maker_fee_bps=Decimal(10),
            taker_fee_bps=Decimal(20),
            venue_ts_us=desk.now_us,
        )
    )


def test_a_resting_stop_reserves_nothing_and_counts_in_no_cap(open_desk):
    """What it would sell may be sold by an exit: execution takes the stop back first."""
    open_desk.hold("5")
    before = open_desk.core.state.exposure("BTC-USDT")
    open_desk.protect(ENTRY, OrderState.ACKNOWLEDGED, quantity="5")
    assert open_desk.core.state.exposure("BTC-USDT") == before
    assert len(open_desk.core.state.orders) == 0
    assert open_desk.ask("SELL", "5").findings == ()


def test_two_exits_beside_a_stop_never_sell_more_than_is_held(open_desk):
    open_desk.hold("5")
    open_desk.protect(ENTRY, OrderState.ACKNOWLEDGED, quantity="5")
    open_desk.ask("SELL", "5")
    assert open_desk.reasons("SELL", "1", "100.01") == [Reason.CASH_INSUFFICIENT]


def test_what_a_stop_has_sold_no_exit_may_sell_again(open_desk):
    open_desk.hold("5")
    open_desk.protect(ENTRY, OrderState.ACKNOWLEDGED, quantity="5")
    open_desk.fill(STOP_ID, "4", "98", "SELL")
    assert open_desk.reasons("SELL", "2") == [Reason.CASH_INSUFFICIENT]
    assert open_desk.reasons("SELL", "1") == []


def test_a_stop_that_fills_ends_the_trip_as_a_stop(open_desk):
    open_desk.hold("1")
    open_desk.protect(ENTRY, OrderState.ACKNOWLEDGED)
    open_desk.fill(STOP_ID, "1", "98", "SELL")
    open_desk.protect(ENTRY, OrderState.FILLED, "1")
    results = open_desk.core.state.results
    assert (held(open_desk), results.counts.stopped, results.of("BTC-USDT").last_stop_us) == (
        ZERO,
        1,
        open_desk.now_us,
    )
    assert open_desk.core.state.orders.protective == {}


@pytest.mark.parametrize("state", [OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED])
def test_a_stop_that_is_over_is_forgotten(open_desk, state):
    open_desk.protect(ENTRY, OrderState.ACKNOWLEDGED)
    open_desk.protect(ENTRY, state)
    open_desk.protect(ENTRY, state)
    assert open_desk.core.state.orders.protective == {}


def test_the_switch_closes_a_position_only_once_its_stop_is_over(open_desk):
    """The stop locks what is to be sold; execution takes it back under the switch by itself."""
    open_desk.hold("5")
    open_desk.protect(ENTRY, OrderState.ACKNOWLEDGED, quantity="5")
    assert open_desk.kill(engaged=True, epoch=1, level="FLATTEN")[1:] == ()
    open_desk.protect(ENTRY, OrderState.CANCELLED, quantity="5")
    (closing,) = [message for message in open_desk.outputs if isinstance(message, Decision)]
    assert (closing.action, closing.symbol) == (Action.SUBMIT, "BTC-USDT")


def test_a_resting_stop_is_not_flat_and_does_not_hold_up_a_release(desk):
    """At HALT it stays, with the position that it protects; that is no reason not to go on."""
    desk.open(cash="1000", rules={"cash.reserve": "0"})
    desk.hold("5")
    desk.protect(ENTRY, OrderState.ACKNOWLEDGED, quantity="5")
    desk.kill(engaged=True, epoch=1)
    state_account(desk, USDT="500", BTC="0", locked="5")
    assert clean(desk.core.state) == ()
    desk.kill(engaged=True, epoch=2, level="FLATTEN")
    state_account(desk, USDT="500", BTC="0", locked="5")
    assert flat(desk.core.state) is None
    assert not_flat(desk.core.state)[0] == f"order {STOP_ID} in BTC-USDT is not over: ACKNOWLEDGED"


@pytest.mark.parametrize(("side", "price"), [("BUY", "100"), ("SELL", "110")])
def test_a_fill_and_its_bust_leave_only_their_record(open_desk, side, price):
    """Cash, holding, fees and what was realized are as they were, and so is what is at risk."""
    open_desk.hold("5")
    before = open_desk.core.snapshot()
    exposure, equity = open_desk.core.state.exposure("BTC-USDT"), open_desk.core.state.equity()
    open_desk.fill("tg" + "f" * 30, "5", price, side, fee="0.3")
    open_desk.bust()
    after = open_desk.core.snapshot()
    assert after["portfolio"] == before["portfolio"]
    assert after["results"]["trips"]["traces"] == before["results"]["trips"]["traces"]
    assert (open_desk.core.state.exposure("BTC-USDT"), open_desk.core.state.equity()) == (exposure, equity)
    assert open_desk.core.state.results.capital.trading == Decimal(100_000)
    assert open_desk.core.state.fault is None


def test_a_bust_gives_its_quantity_back_to_an_order_that_works(open_desk):
    """What was taken back may trade again, so it is reserved again."""
    open_desk.ask(client_order_id=ENTRY, quantity="5")
    open_desk.fill(ENTRY, "2")
    assert open_desk.core.state.exposure("BTC-USDT").buying == 3
    open_desk.bust()
    assert open_desk.core.state.exposure("BTC-USDT").buying == 5
    open_desk.order(ENTRY, OrderState.CANCELLED, "0", "5")
    assert len(open_desk.core.state.orders) == 0


def test_a_bust_of_what_was_sold_since_shuts_the_gate(open_desk):
    open_desk.hold("5")
    open_desk.bust()
    open_desk.bust()
    assert "cannot be taken back" in open_desk.core.state.fault


def test_a_bust_before_any_account_shuts_the_gate(desk):
    desk.hold("1")
    desk.policy()
    desk.bust()
    assert "came before any account" in desk.core.state.fault


@pytest.mark.parametrize(
    ("movement", "amount", "cash", "day_loss", "capital"),
    [
        pytest.param(MovementType.DEPOSIT, "500", "100500", "0", "100500", id="a deposit is no profit"),
        pytest.param(MovementType.WITHDRAWAL, "-500", "99500", "0", "99500", id="a withdrawal is no loss"),
        pytest.param(MovementType.TRANSFER, "-500", "99500", "0", "99500", id="nor is a transfer"),
        pytest.param(MovementType.FUNDING, "-500", "99500", "500", "99500", id="funding is a loss"),
        pytest.param(MovementType.FEE, "-5", "99995", "5", "99995", id="so is a fee"),
        pytest.param(MovementType.DUST, "-1", "99999", "1", "99999", id="and dust that is taken"),
        pytest.param(MovementType.REBATE, "5", "100005", "0", "100005", id="a rebate is a profit"),
        pytest.param(MovementType.UNEXPLAINED, "-5", "99995", "5", "99995", id="what is missing is a loss"),
        pytest.param(MovementType.UNEXPLAINED, "5", "100005", "0", "100005", id="and what is too much no profit"),
    ],
)
def test_a_movement_is_cash_and_a_transfer_is_neither_won_nor_lost(
    open_desk, movement, amount, cash, day_loss, capital
):
    open_desk.wait(1)
    open_desk.move(amount, movement)
    state = open_desk.core.state
    assert state.portfolio.cash == Decimal(cash)
    assert state.results.daily_loss == Decimal(day_loss)
    assert state.results.capital.trading == Decimal(capital)
    assert state.results.equity == Decimal(cash)
    assert state.results.peak == max(Decimal(100_000) if day_loss != "0" else Decimal(cash), Decimal(cash))


@pytest.mark.parametrize(
    ("movement", "day_loss", "deficit"),
    [
        pytest.param(MovementType.WITHDRAWAL, "0", "0", id="what is withdrawn is no loss, and its gain is a result"),
        pytest.param(MovementType.TRANSFER, "0", "0", id="nor is what is transferred"),
        pytest.param(MovementType.FEE, "400", "400", id="what is charged is lost at its cost"),
        pytest.param(MovementType.UNEXPLAINED, "400", "400", id="what nobody explains is missing"),
    ],
)
def test_what_moves_of_a_position_is_held_no_more_and_no_part_of_equity(open_desk, movement, day_loss, deficit):
    """Four bitcoins bought at 100 go at 110: the gate sees no position, no exposure, and the money that is left."""
    open_desk.hold("4")
    open_desk.quote("BTC-USDT", bid="109", ask="111")
    open_desk.wait(1)
    open_desk.move("-4", movement, "BTC", rate="110")
    state = open_desk.core.state
    assert state.held("BTC-USDT") == 0
    assert state.exposure("BTC-USDT").equity == 0
    assert state.equity() == state.results.equity == 99_600
    assert state.results.daily_loss == Decimal(day_loss)
    assert state.results.capital.trading + state.results.capital.treasury == 99_600
    assert state.results.capital.deficit == Decimal(deficit)
    assert (state.results.trips.open, state.results.counts.won) == ({}, 1)


def test_what_comes_of_a_symbols_currency_is_a_position_that_can_be_sold(open_desk):
    open_desk.quote("BTC-USDT", bid="109", ask="111")
    open_desk.wait(1)
    open_desk.move("4", currency="BTC", rate="110")
    state = open_desk.core.state
    assert (state.held("BTC-USDT"), state.equity(), state.results.daily_loss) == (4, 100_440, 0)
    assert state.results.capital.trading == 100_440


def test_what_comes_unexplained_and_goes_again_is_neither_won_nor_lost(open_desk):
    """Only what is missing in sum is a loss, and it is made good by what is found; also over a restart."""
    open_desk.wait(1)
    seen = []
    for amount in ("200", "-200", "-50", "80"):
        open_desk.move(amount, MovementType.UNEXPLAINED)
        results = open_desk.core.state.results
        seen.append(tuple(map(str, (results.daily_loss, results.peak, results.capital.deficit, results.equity))))
        restored = RiskCore()
        restored.restore(open_desk.core.snapshot())
        assert restored.state.results.capital == results.capital
    assert seen == [
        ("0", "100200", "0", "100200"),
        ("0", "100000", "0", "100000"),
        ("50", "100000", "50", "99950"),
        ("0", "100030", "0", "100030"),
    ]
    assert open_desk.core.state.treasury == 0


def test_a_deposit_does_not_hold_up_a_release(open_desk):
    """Venue and gate agree on it: both were told."""
    open_desk.kill(engaged=True, epoch=1)
    open_desk.wait(1)
    open_desk.move("500")
    open_desk.move("0.25", currency="BTC")
    state_account(open_desk, USDT="100500", BTC="0.25")
    assert clean(open_desk.core.state) == ()


def test_a_statement_older_than_a_movement_or_a_bust_is_not_judged(open_desk):
    opening = open_desk.core.state.reconciliation.judged
    open_desk.wait(1)
    open_desk.move("500", venue_ts_us=open_desk.now_us + 1_000)
    state_account(open_desk, USDT="100000")
    assert open_desk.core.state.reconciliation.judged == opening
    open_desk.wait(2_000)
    state_account(open_desk, USDT="100500")
    judged = open_desk.core.state.reconciliation.judged
    assert judged != opening
    open_desk.hold("1")
    open_desk.wait(10)
    open_desk.bust()
    open_desk.now_us -= 5
    state_account(open_desk, USDT="100400", BTC="1")
    assert open_desk.core.state.reconciliation.judged == judged


def test_another_accounts_movement_is_not_ours(open_desk):
    open_desk.wait(1)
    open_desk.move("500", account="other")
    assert open_desk.core.state.portfolio.cash == 100_000


def test_a_movement_before_the_policy_makes_the_statement_out_of_date(desk):
    desk.account(USDT="1000")
    desk.move("500")
    desk.policy()
    assert desk.core.state.portfolio is None
    desk.account(USDT="1500")
    assert desk.core.state.portfolio.cash == 1_500


def test_stops_busts_and_movements_stand_in_a_snapshot(open_desk):
    open_desk.hold("5")
    open_desk.protect(ENTRY, OrderState.ACKNOWLEDGED, quantity="5")
    open_desk.fill(STOP_ID, "2", "98", "SELL")
    open_desk.wait(1)
    open_desk.move("5")
    again = RiskCore()
    again.restore(json.loads(json.dumps(open_desk.core.snapshot())))
    open_desk.bust()
    again.step(open_desk.sequence, open_desk.taped[-1])
    assert json.dumps(again.snapshot()) == json.dumps(open_desk.core.snapshot())
    assert again.state.orders.purpose_of(STOP_ID) is Purpose.STOP
