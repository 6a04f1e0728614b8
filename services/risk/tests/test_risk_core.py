"""The gate's state machine: what it answers, what it keeps in reserve, and how it shuts itself."""

import json
from decimal import Decimal

import pytest

from tollgate_contracts.approval import Approval, Scope
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.config import canonical_json
from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Decision, Outcome, TradingMode
from tollgate_contracts.strategy import Action, OrderType, Protection, Side
from tollgate_risk.core import RiskCore
from tollgate_risk.core.gates.cash import free_cash
from tollgate_risk.views import status_view

TERMINAL = [OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED]
WORKING = [state for state in OrderState if state not in TERMINAL]


def approval_of(decision: Decision) -> Approval:
    assert decision.approval is not None
    return Approval.model_validate_json(decision.approval.text)


def test_an_intent_before_any_policy_is_rejected_as_not_armed(desk):
    """Without a policy nothing is judged, and the answer says so."""
    decision = desk.ask()
    assert [finding.code for finding in decision.findings] == [Reason.GATE_NOT_ARMED]
    assert decision.config_hash == "0" * 64


def test_an_approval_repeats_the_intent_and_binds_it(open_desk):
    """Everything execution needs, and nothing that it could choose."""
    open_desk.kill(engaged=True, epoch=4)
    open_desk.kill(engaged=False, epoch=4)
    protection = Protection(trigger_price=Decimal(98), limit_price=Decimal("97.5"))
    until_us = open_desk.now_us + 60_000_000
    intent = open_desk.intent("BUY", "1.5", "100.01", good_until_us=until_us, protection=protection)
    decision = open_desk.decide(intent)
    approval = approval_of(decision)
    assert approval == Approval(
        scope=Scope.TRADE,
        environment="simulated",
        desk="main",
        venue="simulated",
        account="main",
        action=Action.SUBMIT,
        client_order_id=intent.client_order_id,
        intent_id=intent.id,
        symbol="BTC-USDT",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("1.5"),
        limit_price=Decimal("100.01"),
        time_in_force=intent.time_in_force,
        post_only=False,
        reduce_only=False,
        issued_us=open_desk.now_us,
        expires_us=open_desk.now_us + 1_500_000,
        good_until_us=intent.good_until_us,
        replaces=None,
        protection=intent.protection,
        policy_hash=open_desk.core.state.policy_hash,
        kill_epoch=4,
        key_id=open_desk.core.state.policy.key_id,
    )
    assert decision.approval.text == canonical_json(json.loads(decision.approval.text))
    assert decision.approval.signature == "0" * 128
    assert decision.config_hash == open_desk.core.state.policy_hash


def test_an_approval_ends_with_its_intent_when_that_is_sooner(open_desk):
    """The policy's life of an approval is an upper bound."""
    decision = open_desk.ask(expires_us=open_desk.now_us + 1)
    assert approval_of(decision).expires_us == open_desk.now_us + 1


@pytest.mark.parametrize(
    ("side", "bid", "ask", "expected"),
    [
        pytest.param("BUY", "99.99", "100.01", "101", id="a buy at the collar"),
        pytest.param("SELL", "99.99", "100.01", "99", id="a sale at the collar"),
        pytest.param("BUY", "33.33", "33.36", "33.67", id="a buy rounds into the collar"),
        pytest.param("SELL", "33.33", "33.36", "33.02", id="a sale rounds into the collar"),
    ],
)
def test_a_market_order_is_approved_with_the_collar_as_its_bound(desk, side, bid, ask, expected):
    """Nothing goes to a venue without a worst price."""
    desk.open({"intents.allow_market_orders": True})
    desk.hold("5")
    desk.quote(bid=bid, ask=ask)
    decision = desk.ask(side, "1", None, order_type=OrderType.MARKET)
    assert approval_of(decision).limit_price == Decimal(expected)


def test_a_cancel_is_approved_without_a_price(open_desk):
    """The approval of a cancel names the order and no bound."""
    order = open_desk.ask()
    cancel = open_desk.ask(action=Action.CANCEL, client_order_id=order.client_order_id)
    approval = approval_of(cancel)
    assert (approval.action, approval.limit_price) == (Action.CANCEL, None)
    assert len(open_desk.core.state.orders) == 1


@pytest.mark.parametrize("state", TERMINAL)
def test_a_reservation_ends_with_its_order(open_desk, state):
    """All four ends of an order release what was reserved, once its fills are here."""
    order = open_desk.ask("BUY", "3")
    reserved = free_cash(open_desk.core.state)
    assert reserved == Decimal(100_000) - Decimal(300) * Decimal("1.002")
    filled = "3" if state is OrderState.FILLED else "0"
    if state is OrderState.FILLED:
        open_desk.fill(order.client_order_id, "3")
    open_desk.order(order.client_order_id, state, filled, quantity="3")
    assert len(open_desk.core.state.orders) == 0
    assert free_cash(open_desk.core.state) == open_desk.core.state.portfolio.cash


@pytest.mark.parametrize("state", WORKING)
def test_a_reservation_stays_while_the_outcome_is_open(open_desk, state):
    """PLANNED to UNKNOWN: what may still trade is reserved."""
    order = open_desk.ask("BUY", "3")
    before = free_cash(open_desk.core.state)
    open_desk.order(order.client_order_id, state, quantity="3")
    assert free_cash(open_desk.core.state) == before


def test_an_order_that_is_over_before_its_fills_are_here_keeps_their_reservation(open_desk):
    """A quote may fall between the state and its fills; the gate must not think itself flat in between."""
    order = open_desk.ask("BUY", "3")
    open_desk.order(order.client_order_id, OrderState.CANCELLED, "2", quantity="3")
    assert open_desk.core.state.exposure_in_all().worst == 200
    open_desk.fill(order.client_order_id, "0.5")
    assert open_desk.core.state.exposure_in_all().worst == 200
    open_desk.fill(order.client_order_id, "1.5")
    assert open_desk.core.state.exposure_in_all().worst == 200
    assert len(open_desk.core.state.orders) == 0


def test_an_order_that_execution_made_smaller_reserves_less(open_desk):
    """Execution may make an order smaller, and the gate takes note."""
    order = open_desk.ask("BUY", "3")
    open_desk.order(order.client_order_id, OrderState.SUBMITTING, quantity="1")
    assert open_desk.core.state.exposure_in_all().worst == 100


def test_an_order_that_was_never_approved_here_counts_as_risk(open_desk):
    """If execution says that an order is open, it is."""
    open_desk.order("tg" + "e" * 30, OrderState.ACKNOWLEDGED, quantity="7")
    assert open_desk.core.state.exposure_in_all().worst == 700
    open_desk.order("tg" + "e" * 30, OrderState.CANCELLED, quantity="7")
    assert open_desk.core.state.exposure_in_all().worst == 0
    open_desk.order("tg" + "d" * 30, OrderState.CANCELLED, quantity="7")
    assert len(open_desk.core.state.orders) == 0


def test_a_refusal_releases_the_decision_that_it_names_and_no_other(open_desk):
    """Whoever replays an approval must not talk the gate out of the working order's reservation."""
    order = open_desk.ask("BUY", "3")
    open_desk.refuse(order, decision_id="risk:999:0")
    assert len(open_desk.core.state.orders) == 1
    open_desk.refuse(order)
    assert len(open_desk.core.state.orders) == 0


def test_a_refusal_after_execution_took_the_order_releases_nothing(open_desk):
    """The same decision presented again is refused as reused while the first of it works."""
    order = open_desk.ask("BUY", "3")
    open_desk.order(order.client_order_id, OrderState.SUBMITTING, quantity="3")
    open_desk.refuse(order)
    assert len(open_desk.core.state.orders) == 1


def test_a_decided_id_is_forgotten_only_after_its_expiry_and_the_policys_memory(open_desk):
    """Memory is bounded on tape time, and what is forgotten has long expired."""
    intent = open_desk.intent(quantity="0.0001", expires_us=open_desk.now_us + 5_000_000)
    open_desk.decide(intent)
    open_desk.wait(65_000_000)
    assert intent.client_order_id in open_desk.core.state.decided
    open_desk.wait(1)
    assert open_desk.core.state.decided == {}
    late = open_desk.decide(intent)
    assert late.findings[0].code is Reason.INTENT_EXPIRED


def test_an_open_orders_id_is_a_duplicate_for_as_long_as_the_order_is_open(open_desk):
    """An order that rests for hours is not forgotten with its intent."""
    order = open_desk.ask(quantity="1")
    open_desk.wait(3_600_000_000)
    assert open_desk.core.state.decided == {}
    assert Reason.INTENT_DUPLICATE in open_desk.reasons(client_order_id=order.client_order_id)


def test_an_expiry_far_ahead_does_not_stretch_the_memory(open_desk):
    """A strategy cannot fill the gate's memory with ids that never expire."""
    open_desk.ask(expires_us=7_000_000_000_000_000)
    open_desk.wait(70_000_001)
    assert open_desk.core.state.decided == {}


def test_the_first_policy_sets_the_mode_and_the_same_mode_is_not_said_again(desk):
    """A mode message is a change of mode."""
    desk.policy({"mode": "REDUCE_ONLY"})
    desk.policy({"mode": "REDUCE_ONLY", "revision": 2})
    desk.policy({"mode": "NORMAL", "revision": 3})
    changes = [(mode.from_mode, mode.to_mode) for mode in desk.modes()]
    assert changes == [(None, TradingMode.REDUCE_ONLY), (TradingMode.REDUCE_ONLY, TradingMode.NORMAL)]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="truncated"),
        pytest.param("[]", id="no object"),
        pytest.param('{"version":1}', id="nothing but a version"),
    ],
)
def test_a_policy_that_cannot_be_read_shuts_the_gate(open_desk, text):
    """Not the old policy and not a guess: nothing, until a policy that can be read."""
    open_desk.policy_text(text)
    assert open_desk.reasons() == [Reason.GATE_NOT_ARMED]
    assert open_desk.modes()[-1].to_mode is TradingMode.OBSERVE_ONLY
    assert "policy" in open_desk.core.state.fault
    open_desk.policy()
    assert open_desk.core.state.fault is None
    assert open_desk.reasons() == []


def test_a_policy_whose_hash_is_not_its_own_shuts_the_gate(open_desk):
    """The hash is what approvals name; it must be of this text."""
    (policy,) = [message for message in open_desk.taped if message.kind == "policy"]
    open_desk.step(policy.model_copy(update={"id": "risk:policy:x", "hash": "0" * 64}))
    assert open_desk.reasons() == [Reason.GATE_NOT_ARMED]


def test_a_fill_that_cannot_be_booked_shuts_the_gate(open_desk):
    """When books and venue differ the gate observes and lets nothing through, until the operator's next policy."""
    (mode,) = open_desk.fill("tg" + "e" * 30, "1", side="SELL")
    assert (mode.from_mode, mode.to_mode) == (TradingMode.NORMAL, TradingMode.OBSERVE_ONLY)
    assert open_desk.reasons() == [Reason.GATE_OBSERVE_ONLY]
    open_desk.policy({"revision": 2})
    assert open_desk.reasons() == []


@pytest.mark.parametrize(
    ("fee", "held", "capital"),
    [
        pytest.param({"fee": "0.01", "fee_currency": "BTC", "fee_rate": "110"}, "0.99", "-1", id="in what was bought"),
        pytest.param({"fee": "0.01", "fee_currency": "BNB", "fee_rate": "500"}, "1", "0", id="in a third currency"),
        pytest.param({"fee": "0.01", "fee_currency": "BNB"}, "1", "0", id="in one of which nobody knows the worth"),
    ],
)
def test_a_fee_in_another_currency_shuts_nothing(open_desk, fee, held, capital):
    """What it has taken of the holding is gone at its cost; what lies beside was never counted as capital."""
    before = open_desk.core.state.results.capital.trading
    open_desk.fill("tg" + "e" * 30, "1", **fee)
    state = open_desk.core.state
    assert state.fault is None
    assert state.held("BTC-USDT") == Decimal(held)
    assert state.results.capital.trading == before + Decimal(capital)
    assert state.results.trips.open["BTC-USDT"].quantity == Decimal(held)
    assert open_desk.reasons() == []
    lacks = {} if "fee_rate" in fee else {"BNB": "0.01"}
    assert status_view(state)["fees_without_rate"] == lacks
    open_desk.bust()
    assert (state.held("BTC-USDT"), state.results.capital.trading + state.results.capital.treasury) == (0, before)
    assert status_view(state)["fees_without_rate"] == {}


def test_a_fee_paid_with_another_symbol_s_base_takes_that_risk_away(open_desk):
    """What is held of it is less at once, and its trip may end; the exposure is what is left."""
    open_desk.quote("ETH-USDT", bid="49", ask="51")
    before = open_desk.core.state.results.capital.trading
    open_desk.fill("tg" + "d" * 30, "1", "50", symbol="ETH-USDT")
    open_desk.fill("tg" + "e" * 30, "1", fee="1", fee_currency="ETH", fee_rate="60")
    state = open_desk.core.state
    assert (state.held("ETH-USDT"), state.held("BTC-USDT")) == (0, 1)
    assert state.exposures.symbols(state) == ["BTC-USDT"]
    assert (state.results.counts.ended, state.results.counts.won) == (1, 1)
    assert state.results.capital.trading + state.results.capital.treasury == before - 50


def test_the_account_that_comes_before_the_policy_is_kept_for_it(desk):
    """Services start in any order; the opening balances are said once."""
    desk.account(USDT="5000")
    desk.account(USDT="6000")
    desk.policy()
    assert desk.core.state.portfolio.cash == 5000
    desk.account(USDT="7000", fee_bps="12.34567")
    assert desk.core.state.portfolio.cash == 5000
    assert desk.core.state.fee_bps == Decimal("12.3457")


def test_another_accounts_balances_are_not_ours(desk):
    """The policy says which venue and account it binds."""
    desk.policy()
    desk.account(USDT="5000", venue="elsewhere")
    assert desk.core.state.portfolio is None


def test_the_kill_epoch_never_falls(open_desk):
    """An old message cannot make old approvals good again."""
    open_desk.kill(engaged=True, epoch=5)
    open_desk.kill(engaged=False, epoch=2)
    assert (open_desk.core.state.kill.engaged, open_desk.core.state.kill.epoch) == (False, 5)


def test_the_largest_numbers_on_the_wire_do_not_break_the_gate(open_desk):
    """Twenty digits before the point and eighteen after it are answered like any other intent."""
    huge = "12345678901234567890.123456789012345678"
    open_desk.account(USDT="1", fee_bps="99999999999999999999.999999999999999999")
    assert open_desk.ask("BUY", huge, huge).outcome is Outcome.REJECTED
    assert open_desk.ask("SELL", huge, huge).outcome is Outcome.REJECTED
    tiny = "0.000000000000000001"
    decision = open_desk.ask("BUY", tiny, tiny)
    assert decode(encode(decision)) == decision


def test_a_snapshot_taken_at_any_place_continues_as_if_nothing_had_happened(open_desk):
    """Restored from its own JSON, the gate has the same state and gives the same answers."""
    first = open_desk.ask("BUY", "3", "100.01")
    open_desk.order(first.client_order_id, OrderState.PARTIALLY_FILLED, "1", quantity="3")
    open_desk.fill(first.client_order_id, "1", fee="0.2")
    open_desk.ask("BUY", "1.0005")
    open_desk.kill(engaged=True, epoch=1)
    open_desk.kill(engaged=False, epoch=1)
    state = json.loads(json.dumps(open_desk.core.snapshot()))
    again = RiskCore()
    again.restore(state)
    assert again.snapshot() == state
    following = [open_desk.intent("BUY", "2"), open_desk.intent("SELL", "1"), open_desk.intent("SELL", "1")]
    for intent in following:
        open_desk.sequence += 1
        here, there = open_desk.core.step(open_desk.sequence, intent), again.step(open_desk.sequence, intent)
        assert [encode(o) for o in here.outputs] == [encode(o) for o in there.outputs]
    assert again.snapshot() == open_desk.core.snapshot()


def test_a_snapshot_of_a_gate_that_has_seen_nothing_can_be_restored(desk):
    """The first snapshot may be taken before the first message of note."""
    desk.account(USDT="1")
    again = RiskCore()
    again.restore(json.loads(json.dumps(desk.core.snapshot())))
    assert again.snapshot() == desk.core.snapshot()


def test_counts_follow_decisions_and_every_reason(open_desk):
    """What the status tells is counted where it is decided."""
    open_desk.ask()
    open_desk.ask(quantity="1.0005")
    open_desk.feed(FeedState.GAP)
    open_desk.ask(quantity="1.0005")
    counts = open_desk.core.state.counts
    assert (counts.intents, counts.approved, counts.rejected) == (3, 1, 2)
    assert counts.by_reason == {"instrument.precision": 2, "data.gap": 1}
