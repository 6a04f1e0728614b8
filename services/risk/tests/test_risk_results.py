"""What trading has brought, as it comes about: the day, the peak, streaks, outcomes and the treasury."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.marketdata import FeedState, MarginTerms
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import VenuePosition
from tollgate_contracts.strategy import Purpose
from tollgate_risk.core import RiskCore
from tollgate_risk.views import state_view

# The desk's tape begins 6,400 seconds before midnight UTC.
TO_MIDNIGHT_US = 6_400_000_000
TERMS = MarginTerms(initial_rate=Decimal("0.1"), maintenance_rate=Decimal("0.05"), leverage_max=Decimal(20))


def quote(desk: Any, price: str) -> None:
    cent = Decimal("0.01")
    desk.quote(bid=str(Decimal(price) - cent), ask=str(Decimal(price) + cent))


def results_of(desk: Any) -> Any:
    return desk.core.state.results


def test_the_days_loss_counts_open_and_closed_positions_from_midnight_to_midnight(open_desk):
    """What was lost before midnight is yesterday's, and what is open then counts from its mark at midnight."""
    desk, results = open_desk, results_of(open_desk)
    desk.hold("10")
    desk.trip("95", symbol="ETH-USDT")
    quote(desk, "90")
    desk.wait(TO_MIDNIGHT_US - 1)
    assert results.daily_loss == 105
    desk.wait(1)
    assert results.daily_loss == 0
    quote(desk, "89")
    desk.wait(1)
    assert results.daily_loss == 10
    quote(desk, "95")
    desk.wait(1)
    assert results.daily_loss == 0, "a day of profit has no loss"
    assert results.drawdown_bps == Decimal("5.5"), "the peak knows no days: 100,000 less 55"


def test_equity_is_first_known_when_the_last_holding_has_its_mark(desk):
    """Day and peak wait for it: what the account holds is worth nothing only because nobody has quoted it."""
    desk.policy()
    desk.account(USDT="1000", BTC="2", ETH="1")
    results = results_of(desk)
    assert (results.daily_loss, results.drawdown_bps) == (None, None)
    desk.quote("BTC-USDT")
    desk.wait(1)
    assert (results.equity, results.peak, results.day_opening) == (None, None, None)
    desk.quote("ETH-USDT")
    desk.wait(1)
    assert (results.equity, results.peak, results.day_opening) == (1300, 1300, 1300)


def test_a_day_without_marks_opens_when_they_are_back(open_desk):
    """The day's loss is not known at first, and then counts from there."""
    desk, results = open_desk, results_of(open_desk)
    desk.hold("1", symbol="AVAX-USDT")
    desk.wait(TO_MIDNIGHT_US)
    assert results.daily_loss is None
    assert results.equity == 100_000, "what was known last"
    desk.quote("AVAX-USDT")
    desk.wait(1)
    quote(desk, "100")
    desk.hold("10")
    quote(desk, "99")
    desk.wait(1)
    assert results.daily_loss == 10


def test_a_higher_revision_begins_peak_streaks_and_lockouts_anew_and_leaves_the_day_alone(open_desk):
    """An operator who has looked at the losses may go on; the day's loss stays what it is."""
    desk, results = open_desk, results_of(open_desk)
    tight = {"loss.consecutive": 2, "loss.symbol_consecutive": 2, "pace.after_loss_ms": 60_000}
    desk.trip("90")
    desk.trip("90")
    desk.policy(tight)
    refused = [Reason.PACE_OUTCOME_COOLDOWN, Reason.LOSS_CONSECUTIVE, Reason.LOSS_SYMBOL_LOCKOUT]
    assert desk.reasons() == refused, "the same revision changes nothing"
    assert results.drawdown_bps == 2
    desk.policy({**tight, "revision": 2})
    assert desk.reasons() == [Reason.PACE_OUTCOME_COOLDOWN]
    assert (results.drawdown_bps, results.peak, results.daily_loss) == (0, 99_980, 20)
    assert results.win_rate_bps(1) is None
    desk.trip("90")
    desk.trip("90")
    desk.policy({**tight, "revision": 1})
    desk.policy({**tight, "revision": 2})
    assert desk.reasons() == refused, "a revision that was there before begins nothing"


def test_a_higher_revision_without_marks_begins_the_peak_when_they_are_back(open_desk):
    """No peak is made up in the meantime."""
    desk, results = open_desk, results_of(open_desk)
    desk.hold("1", symbol="AVAX-USDT", price="50")
    desk.policy({"revision": 2})
    assert (results.peak, results.drawdown_bps) == (None, None)
    desk.quote("AVAX-USDT")
    desk.wait(1)
    assert results.peak == 100_050


@pytest.mark.parametrize(("cash", "drawdown"), [("0", None), ("0.00000001", 0)])
def test_a_drawdown_needs_a_peak_above_zero(new_desk, cash, drawdown):
    """Of nothing there is no part."""
    assert results_of(new_desk().open(cash=cash)).drawdown_bps == drawdown


def test_a_loss_after_the_pause_is_the_first_of_a_new_row(new_desk):
    """Whether or not the clock has said meanwhile that the pause is over."""
    desk = new_desk().open({"loss.consecutive": 2, "loss.consecutive_pause_ms": 1_000})
    results = results_of(desk)
    desk.trip("99")
    desk.trip("99")
    desk.wait(999_999)
    assert results.consecutive_losses == 2
    desk.hold("1")
    desk.now_us += 1
    desk.fill("tg" + "f" * 30, "1", "99", "SELL")
    assert results.consecutive_losses == 1
    desk.trip("99")
    desk.wait(1_000_000)
    assert results.consecutive_losses == 0


def test_the_win_rate_is_of_the_last_round_trips(open_desk):
    """Too few say nothing; one that brought nothing has not won."""
    desk, results = open_desk, results_of(open_desk)
    for price in ("101", "99", "100"):
        desk.trip(price)
    assert results.win_rate_bps(4) is None
    assert results.win_rate_bps(3) == Decimal("3333.3333")
    desk.trip("101", symbol="ETH-USDT")
    assert [results.win_rate_bps(trips) for trips in (1, 2, 3, 4)] == [10_000, 5_000, Decimal("3333.3333"), 5_000]
    counts = results.counts
    assert (counts.ended, counts.won, counts.lost, counts.stopped) == (4, 2, 1, 0)


def test_no_more_outcomes_are_kept_than_any_policy_may_ask_for(open_desk):
    """A thousand, the oldest go first; memory does not grow with history."""
    desk, results = open_desk, results_of(open_desk)
    desk.trip("101")
    for _ in range(1_000):
        desk.trip("99")
    assert len(results.outcomes) == 1_000
    assert results.win_rate_bps(1_000) == 0
    assert results.counts.ended == 1_001


def test_a_stop_is_known_by_the_purpose_of_the_order_that_ends_the_trip(open_desk):
    """Neither a stop that only reduced nor a sale that was no stop is one."""
    desk, results = open_desk, results_of(open_desk)
    desk.hold("2")
    stop = desk.ask("SELL", "1", purpose=Purpose.STOP)
    desk.fill(stop.client_order_id, "1", "99", "SELL")
    sale = desk.ask("SELL", "1")
    desk.fill(sale.client_order_id, "1", "99", "SELL")
    assert results.of("BTC-USDT").last_stop_us is None
    desk.now_us += 7
    desk.stop("99")
    assert results.of("BTC-USDT").last_stop_us == desk.now_us
    assert results.counts.stopped == 1


def test_fees_make_a_loss_of_a_trip_that_sold_above_its_price(open_desk):
    """The result is after fees."""
    desk, results = open_desk, results_of(open_desk)
    desk.fill("tg" + "f" * 30, "1", "100", fee="0.6")
    desk.fill("tg" + "f" * 30, "1", "101", "SELL", fee="0.6")
    assert results.consecutive_losses == 1
    assert results.of("BTC-USDT").last_loss_us == desk.now_us


def test_a_fifth_of_profits_goes_to_the_treasury_and_is_not_cash(new_desk):
    """Losses are made good first; what is the treasury's buys nothing any more."""
    desk = new_desk().open({"cash.treasury_share_bps": "2000", "cash.reserve": "0"}, cash="1000")
    desk.account(fee_bps="0")
    desk.trip("90")
    assert results_of(desk).capital.deficit == 10
    desk.trip("130", quantity="2")
    state = desk.core.state
    assert (state.treasury, state.portfolio.cash) == (10, 1050)
    assert desk.reasons("BUY", "10.401") == [Reason.CASH_RESERVE, Reason.CASH_INSUFFICIENT]
    assert desk.reasons("BUY", "10.4") == []
    desk.trip("10")
    assert state.treasury == 10, "and it never falls"


@pytest.mark.parametrize("quoted", [True, False])
def test_what_the_account_held_at_opening_is_no_profit_when_it_is_sold(desk, quoted):
    """It is taken in at its first mark, or at the price of a fill that comes before any; only the rest is result."""
    desk.policy({"cash.treasury_share_bps": "5000"})
    desk.account(USDT="1000", BTC="2")
    desk.feed(FeedState.UP)
    desk.instrument()
    if quoted:
        desk.quote("BTC-USDT")
        desk.wait(1)
    desk.fill("tg" + "f" * 30, "1", "120", "SELL")
    desk.fill("tg" + "f" * 30, "1", "120", "SELL")
    results, capital = results_of(desk), results_of(desk).capital
    assert capital.treasury == (20 if quoted else 0)
    assert capital.trading + capital.treasury == desk.core.state.portfolio.cash == 1240
    assert results.outcomes == [quoted]


def test_a_perpetual_held_at_opening_counts_from_its_first_mark(desk):
    """What it had won before is the account's opening, and what it wins from there is result."""
    desk.policy({"cash.treasury_share_bps": "5000"})
    desk.instrument(margin=TERMS)
    desk.quote("BTC-USDT")
    position = {"symbol": "BTC-USDT", "entry_price": Decimal(110), "liquidation_price": None}
    desk.account(positions=(VenuePosition(quantity=Decimal(-2), **position),), USDT="1000")
    results, state = results_of(desk), desk.core.state
    assert (results.equity, results.capital.trading) == (1020, 1020)
    desk.fill("tg" + "f" * 30, "2", "90")
    assert state.portfolio.cash == 1040
    assert (results.capital.treasury, results.capital.trading) == (10, 1030)


def test_a_position_whose_metadata_is_not_here_yet_is_still_on_margin(desk):
    """It adds to equity what it has won, and not its whole value."""
    desk.policy()
    desk.quote("BTC-USDT")
    position = {"symbol": "BTC-USDT", "entry_price": Decimal(90), "liquidation_price": None}
    desk.account(positions=(VenuePosition(quantity=Decimal(2), **position),), USDT="1000")
    assert results_of(desk).equity == 1020
    desk.fill("tg" + "f" * 30, "3", "100", "SELL")
    assert desk.core.state.held("BTC-USDT") == -1
    assert desk.core.state.fault is None


def test_a_fill_that_cannot_be_booked_is_no_result(open_desk):
    """The gate shuts itself, and what trading has brought stays what it was."""
    before = json.dumps(open_desk.core.snapshot()["results"])
    open_desk.fill("tg" + "f" * 30, "1", side="SELL")
    assert open_desk.core.state.fault is not None
    assert json.dumps(open_desk.core.snapshot()["results"]) == before


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), st.sampled_from(["BUY", "SELL"]), st.integers(1, 9), st.integers(90, 110)),
        st.tuples(st.just("quote"), st.integers(90, 110)),
        st.tuples(st.just("wait"), st.sampled_from([1, 999_999, 60_000_000, TO_MIDNIGHT_US])),
        st.tuples(st.just("policy"), st.integers(1, 4)),
    ),
    max_size=40,
)
RULES = {
    "cash.treasury_share_bps": "3333",
    "loss.consecutive": 2,
    "loss.consecutive_pause_ms": 1_000,
    "loss.symbol_consecutive": 2,
    "loss.symbol_lockout_ms": 1_000,
}


def play(desk: Any, step: tuple[Any, ...]) -> None:
    match step:
        case ("fill", side, quantity, price):
            desk.fill("tg" + "f" * 30, str(quantity), f"{price}.37", side, fee="0.123456789")
        case ("quote", price):
            quote(desk, str(price))
        case ("wait", microseconds):
            desk.wait(microseconds)
        case ("policy", revision):
            desk.policy({**RULES, "revision": revision})


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 40))
def test_money_is_conserved_and_a_snapshot_forgets_nothing(new_desk, steps, cut):
    """Trading capital, treasury and what is open come to equity; a restored gate goes on with the same bytes."""
    desk = new_desk().open(RULES)
    desk.instrument(margin=TERMS)
    treasury = Decimal(0)
    for number, step in enumerate(steps):
        if number == cut:
            again = RiskCore()
            again.restore(json.loads(json.dumps(desk.core.snapshot())))
            desk.core = again
        play(desk, step)
        state = desk.core.state
        results, opened = state.results, state.results.trips.open.get("BTC-USDT")
        unrealized = Decimal(0) if opened is None else opened.quantity * state.quotes["BTC-USDT"].mark - opened.cost
        assert results.capital.trading + results.capital.treasury + unrealized == state.equity()
        assert results.capital.trading + results.capital.treasury == state.portfolio.cash
        assert results.capital.treasury >= treasury
        treasury = results.capital.treasury
    straight = new_desk()
    for sequence, message in enumerate(desk.taped, start=1):
        straight.core.step(sequence, message)
    assert json.dumps(straight.core.snapshot()) == json.dumps(desk.core.snapshot())


def test_the_view_tells_what_trading_has_brought(open_desk):
    """JSON-ready, decimals as plain strings, none where nothing is known."""
    desk = open_desk
    desk.policy({"loss.consecutive": 1, "loss.consecutive_pause_ms": 5, "cash.treasury_share_bps": "1000"})
    desk.trip("110", symbol="ETH-USDT")
    desk.trip("90")
    view = state_view(desk.core.state)["results"]
    assert json.loads(json.dumps(view)) == {
        "equity": "100000",
        "day": 19_675,
        "day_opening_equity": "100000",
        "daily_loss": "0",
        "peak_equity": "100010",
        "drawdown_bps": "1",
        "revision": 1,
        "treasury": "1",
        "trading_capital": "99999",
        "deficit": "10",
        "round_trips": {"ended": 2, "won": 1, "lost": 1, "stopped": 0},
        "consecutive_losses": 1,
        "paused_until_us": desk.now_us + 5_000,
        "symbols": {
            "BTC-USDT": {
                "consecutive_losses": 1,
                "locked_out_until_us": None,
                "last_win_us": None,
                "last_loss_us": desk.now_us,
                "last_stop_us": None,
            },
            "ETH-USDT": {
                "consecutive_losses": 0,
                "locked_out_until_us": None,
                "last_win_us": desk.now_us,
                "last_loss_us": None,
                "last_stop_us": None,
            },
        },
    }


def test_the_view_of_a_gate_that_has_seen_nothing(desk):
    """Nothing is made up before the policy and the account are known."""
    view = state_view(desk.core.state)["results"]
    assert view["equity"] is None
    assert view["paused_until_us"] is None
    assert view["symbols"] == {}
