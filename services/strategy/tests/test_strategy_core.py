"""The momentum strategy: when it enters, when it leaves, and all the times it keeps still."""

import json
from decimal import Decimal

import pytest

from tollgate_contracts.codec import decode, encode
from tollgate_contracts.config import canonical_json
from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState, InstrumentStatus
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_strategy.core import StrategyCore

TERMINAL = [OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED]
WORKING = [state for state in OrderState if state not in TERMINAL]


def quantity_held(market, symbol="BTC-USDT"):
    return market.core.state.portfolio.holding(symbol).quantity


def test_an_entry_is_a_bounded_ioc_order_with_its_reasons(open_market):
    """The jump to 101 takes the fast average half-way and the slow one a hundredth: 49 bps apart."""
    intent = open_market.buy("101")
    assert (intent.side, intent.order_type, intent.time_in_force) == (Side.BUY, OrderType.LIMIT, TimeInForce.IOC)
    assert (intent.reduce_only, intent.post_only) == (False, False)
    # The ask of 101.01 and 10 bps are 101.11101, a buy rounds down to the tick.
    assert intent.limit_price == Decimal("101.11")
    assert intent.quantity == Decimal("9.89")
    assert intent.expires_us == open_market.now_us + 2_000_000
    why = intent.rationale
    assert (why.signal, why.regime, why.tier, why.strength) == ("momentum", "rising", "full", Decimal("49.0050"))
    assert why.confidence == Decimal("0.54")
    assert [(step.step, step.quantity) for step in why.sizing] == [
        ("target 1000 USDT at 101.11", Decimal("9.890218573830481653")),
        ("tier full takes 1 of it", Decimal("9.890218573830481653")),
        ("down to a multiple of 0.001", Decimal("9.89")),
    ]
    assert decode(encode(intent)) == intent


@pytest.mark.parametrize(
    ("mid", "tier", "quantity"),
    [
        pytest.param("100.20", None, None, id="below the threshold"),
        pytest.param("100.21", "probe", "4.984", id="at the threshold"),
        pytest.param("100.60", "probe", "4.964", id="below the next tier"),
        pytest.param("100.63", "full", "9.926", id="the next tier"),
        pytest.param("102", "strong", "19.586", id="the strongest tier"),
    ],
)
def test_strength_decides_the_tier_and_the_tier_the_size(open_market, mid, tier, quantity):
    """Nothing below the threshold; above it, half, all, or twice the target."""
    outputs = open_market.quote(mid)
    assert [(o.rationale.tier, o.quantity) for o in outputs] == ([(tier, Decimal(quantity))] if tier else [])


@pytest.mark.parametrize(
    ("knobs", "cash", "quantity", "last_bound"),
    [
        pytest.param({"order_notional_max": "500"}, "100000", "4.945", "at most one order: 500 USDT", id="one order"),
        pytest.param({}, "800", "3.956", "at most 0.5 of free cash: 400 USDT", id="free cash"),
    ],
)
def test_size_is_bounded_by_one_order_and_by_free_cash(market, knobs, cash, quantity, last_bound):
    """Each bound that bites stands in the sizing steps."""
    intent = market.open(cash, **knobs).buy()
    assert intent.quantity == Decimal(quantity)
    assert intent.rationale.sizing[-2].step == last_bound


@pytest.mark.parametrize(
    "instrument",
    [
        pytest.param({"min_notional": Decimal(2_000)}, id="less than the least notional"),
        pytest.param({"min_quantity": Decimal(10)}, id="less than the least quantity"),
        pytest.param({"step": Decimal(10), "min_quantity": Decimal(10)}, id="less than one step"),
        pytest.param({"status": InstrumentStatus.HALTED}, id="halted"),
        pytest.param({"status": InstrumentStatus.CANCEL_ONLY}, id="cancel-only"),
        pytest.param({"valid_until_us": 1}, id="metadata past its validity"),
    ],
)
def test_what_the_venue_would_not_take_is_not_wanted(open_market, instrument):
    """An intent that the venue's own metadata rules out is not written."""
    open_market.instrument(**instrument)
    assert open_market.quote("101") == ()


@pytest.mark.parametrize("state", [FeedState.DEGRADED, FeedState.STALE, FeedState.GAP])
def test_a_feed_that_is_not_up_stops_entries_and_exits(open_market, state):
    """On a broken feed a quote is not a reason."""
    open_market.hold()
    open_market.feed(state)
    assert open_market.quote("50") == ()
    open_market.feed(FeedState.RECOVERED)
    assert len(open_market.quote("50")) == 1


@pytest.mark.parametrize("missing", ["config", "account", "feed", "instrument"])
def test_until_everything_is_known_nothing_is_wanted(market, missing):
    """Fails closed: no configuration, no account, no feed or no metadata, no intent."""
    if missing != "config":
        market.config()
    if missing != "account":
        market.account(USDT="100000")
    if missing != "feed":
        market.feed(FeedState.UP)
    if missing != "instrument":
        market.instrument()
    market.quote("100")
    assert market.quote("101") == ()


def test_no_entry_before_the_averages_have_warmed_up(market):
    """The first quotes make an average of nothing."""
    market.open(warmup_ms=1_000)
    assert market.quote("101", milliseconds=999) == ()
    assert len(market.quote("102", milliseconds=1)) == 1


def test_an_average_does_not_move_without_time(open_market):
    """Quotes of the same microsecond are one place in time, however many there are."""
    assert open_market.quote("150", milliseconds=0) == ()
    assert len(open_market.quote("150", milliseconds=100)) == 1


def test_a_symbol_outside_the_configuration_is_not_entered(open_market):
    """Metadata and quotes of a symbol are no invitation."""
    open_market.quote("100", "XRP-USDT")
    assert open_market.quote("101", "XRP-USDT") == ()


def test_one_quote_message_may_enter_several_symbols_each_once(open_market):
    """Five symbols change in one message, and each is judged by itself, with the cash the others leave."""
    open_market.quote("100", "ETH-USDT")
    intents = open_market.quote("101", "BTC-USDT", "ETH-USDT")
    assert [intent.symbol for intent in intents] == ["BTC-USDT", "ETH-USDT"]
    assert [intent.id for intent in intents] == [f"strategy:{open_market.sequence}:{n}" for n in (0, 1)]


def test_open_buys_leave_less_cash_for_the_next(market):
    """Cash is promised once: half of 800 is 400 for the first, half of what is left for the second."""
    market.open("800")
    market.quote("100", "ETH-USDT")
    first, second = market.quote("101", "BTC-USDT", "ETH-USDT")
    # 3.956 at 101.11 are 399.99116, and half of what is left of 800 buys 1.978.
    assert (first.quantity, second.quantity) == (Decimal("3.956"), Decimal("1.978"))


def test_an_unanswered_intent_is_the_only_one(open_market):
    """Until it is answered, no second one is written for the symbol, whatever the quotes say."""
    open_market.buy()
    assert open_market.quote("103") == ()
    assert open_market.quote("50") == ()


@pytest.mark.parametrize("state", WORKING)
def test_an_order_that_works_is_the_only_one(open_market, state):
    """UNKNOWN included: what may have traded is waited for."""
    intent = open_market.buy()
    open_market.approve(intent)
    open_market.order(intent, state)
    assert open_market.quote("103") == ()


@pytest.mark.parametrize("answer", ["reject", "refuse", "venue rejects", "expires"])
def test_after_a_no_the_symbol_waits_for_its_back_off(open_market, answer):
    """A strategy that is told no does not ask again with every quote."""
    intent = open_market.buy()
    if answer == "reject":
        open_market.reject(intent)
    else:
        decision_id = open_market.approve(intent)
        if answer == "refuse":
            open_market.refuse(intent, decision_id)
        else:
            open_market.order(intent, OrderState.REJECTED if answer == "venue rejects" else OrderState.EXPIRED)
    assert open_market.quote("103", milliseconds=999) == ()
    assert len(open_market.quote("104", milliseconds=1)) == 1


def test_an_ioc_that_found_nothing_may_be_tried_again_at_once(open_market):
    """CANCELLED without a fill is the market's answer, not a refusal."""
    intent = open_market.buy()
    open_market.approve(intent)
    open_market.order(intent, OrderState.CANCELLED)
    (again,) = open_market.quote("103")
    assert again.client_order_id != intent.client_order_id


def test_answers_to_other_intents_change_nothing(open_market):
    """A decision, refusal or order that is not about the outstanding intent leaves it outstanding."""
    intent = open_market.buy()
    open_market.reject(intent, intent_id="strategy:999:0")
    open_market.approve(intent)
    open_market.refuse(intent, "risk:999:0")
    stranger = intent.model_copy(update={"client_order_id": "tg" + "e" * 30})
    open_market.order(stranger, OrderState.CANCELLED)
    assert open_market.quote("103") == ()


def test_an_order_that_is_over_is_waited_for_until_its_fills_are_here(open_market):
    """A quote may fall between an order's end and its fills; the strategy must not think itself flat."""
    intent = open_market.buy()
    open_market.approve(intent)
    open_market.order(intent, OrderState.FILLED, intent.quantity)
    assert open_market.quote("103") == ()
    open_market.fill(intent, "4")
    assert open_market.quote("50") == ()
    open_market.fill(intent, intent.quantity - 4)
    (exit_intent,) = open_market.quote("50")
    assert (exit_intent.side, exit_intent.quantity) == (Side.SELL, intent.quantity)


def test_flat_again_means_a_cooldown_before_the_next_entry(open_market):
    """After an exit the symbol rests."""
    bought = open_market.hold()
    (sale,) = open_market.quote("103")
    open_market.approve(sale)
    open_market.fill(sale)
    open_market.order(sale, OrderState.FILLED, sale.quantity)
    assert quantity_held(open_market) == 0
    assert bought.quantity == sale.quantity
    assert open_market.quote("110", milliseconds=499) == ()
    assert len(open_market.quote("110", milliseconds=1)) == 1


@pytest.mark.parametrize(
    ("bid_less", "milliseconds", "knobs", "signal"),
    [
        pytest.param("-1.01", 100, {}, None, id="a tick before the stop"),
        pytest.param("-1.02", 100, {}, "stop_loss", id="the stop"),
        pytest.param("1.01", 100, {}, None, id="a tick before the profit"),
        pytest.param("1.02", 100, {}, "take_profit", id="the profit"),
        pytest.param("0", 59_999, {"exit_bps": "9999"}, None, id="a millisecond before the longest hold"),
        pytest.param("0", 60_000, {"exit_bps": "9999"}, "max_hold", id="the longest hold"),
    ],
)
def test_a_position_is_left_at_its_stop_its_profit_or_its_time(market, bid_less, milliseconds, knobs, signal):
    """Bought at 101.11: one per cent below the bid is 100.0989, one per cent above 102.1211."""
    market.open(**{"exit_bps": "9999", **knobs})
    bought = market.hold()
    bid = bought.limit_price + Decimal(bid_less)
    outputs = market.quote(str(bid + Decimal("0.01")), milliseconds=milliseconds)
    assert [o.rationale.signal for o in outputs] == ([signal] if signal else [])


def test_a_position_is_left_when_momentum_turns(market):
    """The fast average falls below the slow one by the exit threshold."""
    market.open(stop_loss_bps="9999")
    market.hold()
    assert market.quote("101") == ()
    signals = [intent.rationale.signal for _ in range(3) for intent in market.quote("99")]
    assert signals == ["reversal"]


def test_an_exit_sells_all_that_is_held_and_only_that(open_market):
    """Reduce-only, at the bid less the slippage, rounded up to the tick."""
    bought = open_market.hold()
    (sale,) = open_market.quote("90")
    assert (sale.side, sale.reduce_only, sale.quantity) == (Side.SELL, True, bought.quantity)
    # The bid of 89.99 less 10 bps is 89.90001, a sale rounds up to the tick.
    assert sale.limit_price == Decimal("89.91")
    assert (sale.rationale.signal, sale.rationale.tier) == ("stop_loss", "all")


def test_a_position_above_the_largest_order_is_sold_in_slices(market):
    """Each slice stays below risk's cap for one order, counted at the ask."""
    market.open(order_notional_max="1000")
    market.hold()
    (sale,) = market.quote("103")
    assert sale.quantity == Decimal("9.707")
    assert sale.quantity * Decimal("103.01") <= 1_000
    market.approve(sale)
    market.fill(sale)
    market.order(sale, OrderState.FILLED, sale.quantity)
    (rest,) = market.quote("104")
    assert rest.quantity == Decimal("0.183")


def test_dust_that_the_venue_would_not_take_counts_as_flat(market):
    """What cannot be sold is kept, and the next entry makes it whole again."""
    market.open()
    bought = market.hold()
    (sale,) = market.quote("103")
    market.approve(sale)
    market.fill(sale, sale.quantity - Decimal("0.01"))
    market.order(sale, OrderState.CANCELLED, sale.quantity - Decimal("0.01"))
    assert quantity_held(market) == Decimal("0.01")
    assert market.quote("50") == ()
    market.quote("50", milliseconds=600_000)
    (entry,) = market.quote("60")
    assert (entry.side, bought.side) == (Side.BUY, Side.BUY)


def test_what_was_held_before_is_not_the_strategys_to_sell(market):
    """The opening balances of base currencies belong to whoever bought them."""
    market.config()
    market.account(USDT="100000", BTC="5")
    market.feed(FeedState.UP)
    market.instrument()
    market.quote("100")
    assert market.quote("50") == ()
    assert quantity_held(market) == 0


def test_the_account_that_comes_before_the_configuration_is_kept_for_it(market):
    """Services start in any order; the opening balances are said once."""
    market.account(USDT="5")
    market.account(USDT="6")
    market.config()
    assert market.core.state.portfolio.cash == 5
    market.account(USDT="7")
    assert market.core.state.portfolio.cash == 5


def test_another_accounts_balances_are_not_ours(market):
    """The configuration says which venue and account it trades for."""
    market.config()
    market.account(venue="elsewhere", USDT="5")
    assert market.core.state.portfolio is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="truncated"),
        pytest.param("{}", id="nothing in it"),
        pytest.param(canonical_json({"knobs": {}, "desk": 1}), id="wrong types"),
    ],
)
def test_a_configuration_that_cannot_be_read_stops_the_strategy(open_market, text):
    """Not the old one and not a guess: nothing, until one that can be read."""
    open_market.config_text(text)
    assert open_market.quote("101") == ()
    assert "configuration" in open_market.core.state.fault
    open_market.config()
    open_market.quote("102")
    assert open_market.core.state.fault is None


def test_a_configuration_whose_hash_is_not_its_own_stops_the_strategy(open_market):
    """Every intent names the hash; it must be of this text."""
    open_market.config_text("{}", hash_of="something else")
    assert open_market.core.state.parameters is None


def test_configurations_of_other_services_are_none_of_its_business(open_market):
    """Each service's configuration is its own."""
    open_market.config_text("{}", writer="execution")
    assert len(open_market.quote("101")) == 1


def test_a_fill_that_cannot_be_booked_stops_the_strategy(open_market):
    """When its books are wrong it wants nothing more, until it is configured anew."""
    intent = open_market.buy()
    open_market.approve(intent)
    open_market.stop_fills(intent, "1", "100")
    open_market.order(intent, OrderState.FILLED, intent.quantity)
    assert "cannot be booked" in open_market.core.state.fault
    assert open_market.quote("120") == ()


@pytest.mark.parametrize(
    ("fee", "kept"),
    [
        pytest.param({"fee": "0.01", "currency": "BTC", "fee_rate": "101"}, "-0.01", id="in what it has bought"),
        pytest.param({"fee": "0.01", "currency": "BNB", "fee_rate": "500"}, "0", id="in a third currency"),
        pytest.param({"fee": "0.01", "currency": "BNB"}, "0", id="in one of which nobody knows the worth"),
    ],
)
def test_a_fee_in_another_currency_stops_nothing(open_market, fee, kept):
    """What it may sell is what is left after the fee."""
    intent = open_market.buy()
    open_market.approve(intent)
    open_market.fill(intent, **fee)
    open_market.order(intent, OrderState.FILLED, intent.quantity)
    assert open_market.core.state.fault is None
    held = intent.quantity + Decimal(kept)
    assert open_market.core.state.portfolio.holding("BTC-USDT").quantity == held
    (leave,) = open_market.quote("50")
    assert (leave.side, leave.quantity) == (Side.SELL, held)


def test_the_client_order_id_is_derived_from_what_is_wanted(new_market):
    """The same tape gives the same id; another price, size, time, symbol or cycle another one."""
    here, there = new_market().open(), new_market().open()
    assert here.buy().client_order_id == there.buy().client_order_id
    others = {
        new_market().open().buy("102").client_order_id,
        new_market().open(target_notional="999").buy().client_order_id,
        new_market().open(name="other").buy().client_order_id,
        new_market().open(intent_life_ms=1_999).buy().client_order_id,
        here.core.state.symbols["BTC-USDT"].working.client_order_id,
    }
    assert len(others) == 5


def test_a_snapshot_taken_at_any_place_continues_as_if_nothing_had_happened(new_market):
    """Restored from its own JSON at each message in turn, the strategy writes the same bytes."""
    market = new_market().open()
    market.hold()
    (sale,) = market.quote("103")
    market.approve(sale)
    market.fill(sale, "4")
    market.order(sale, OrderState.CANCELLED, "4")
    market.quote("104")
    expected = [encode(output) for output in market.outputs]
    for at in range(1, len(market.taped) + 1):
        core, outputs = StrategyCore(), []
        for sequence, message in enumerate(market.taped, start=1):
            if sequence == at:
                state = json.loads(json.dumps(core.snapshot()))
                core = StrategyCore()
                core.restore(state)
            outputs.extend(core.step(sequence, message).outputs)
        assert [encode(output) for output in outputs] == expected
        assert core.snapshot() == market.core.snapshot()
