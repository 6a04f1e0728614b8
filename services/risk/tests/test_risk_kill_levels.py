"""The kill switch's levels: HALT refuses, CANCEL cancels what works, FLATTEN closes what is held, and never more."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.approval import Approval, Scope
from tollgate_contracts.codec import encode
from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import InstrumentStatus, MarginTerms
from tollgate_contracts.money import round_down
from tollgate_contracts.reconciliation import Account, Balance, VenuePosition
from tollgate_contracts.risk import Decision, Outcome
from tollgate_contracts.strategy import Action, Side, TimeInForce
from tollgate_risk.core import RiskCore
from tollgate_risk.core.kill import DECISIONS_MAX, hindrances

RETRY_US = 1_000_000
MARGIN = MarginTerms(initial_rate=Decimal("0.1"), maintenance_rate=Decimal("0.05"), leverage_max=Decimal(10))


def approvals(outputs: Any) -> list[Approval]:
    """Return what the outputs approve, in order."""
    decisions = [output for output in outputs if isinstance(output, Decision)]
    assert all(decision.outcome is Outcome.APPROVED for decision in decisions)
    return [Approval.model_validate_json(decision.approval.text) for decision in decisions]


def engage(desk: Any, level: str, epoch: int = 1) -> list[Approval]:
    return approvals(desk.kill(engaged=True, epoch=epoch, level=level))


def after(desk: Any, microseconds: int) -> list[Approval]:
    """Return what is approved when so much time has passed."""
    before = len(desk.outputs)
    desk.wait(microseconds)
    return approvals(desk.outputs[before:])


def said_by(desk: Any, step: Callable[[], Any]) -> list[Approval]:
    before = len(desk.outputs)
    step()
    return approvals(desk.outputs[before:])


def working(desk: Any, number: int = 1, **fields: Any) -> str:
    """Let an order work at the venue that the gate did not approve in this test."""
    client_order_id = f"tg{number:030x}"
    desk.order(client_order_id, OrderState.ACKNOWLEDGED, **fields)
    return client_order_id


def with_position(desk: Any, quantity: str) -> Any:
    """Open the desk with a position in a perpetual."""
    desk.policy({})
    position = VenuePosition(
        symbol="BTC-USDT", quantity=Decimal(quantity), entry_price=Decimal(100), liquidation_price=None
    )
    desk.instrument("BTC-USDT", margin=MARGIN)
    desk.step(
        Account(
            **desk.envelope("execution"),
            venue="simulated",
            account="main",
            balances=(Balance(currency="USDT", free=Decimal(10_000), locked=Decimal(0)),),
            positions=(position,),
            maker_fee_bps=Decimal(0),
            taker_fee_bps=Decimal(0),
            venue_ts_us=desk.now_us,
        )
    )
    desk.quote("BTC-USDT")
    return desk


@pytest.mark.parametrize(
    ("level", "actions"),
    [("HALT", []), ("CANCEL", [Action.CANCEL]), ("FLATTEN", [Action.CANCEL, Action.SUBMIT])],
)
def test_each_level_does_what_the_one_before_does_and_more(open_desk: Any, level: str, actions: list[Action]) -> None:
    """One order works in BTC, two ETH are held."""
    working(open_desk)
    open_desk.hold("2", "ETH-USDT")
    assert [approval.action for approval in engage(open_desk, level)] == actions


def test_a_cancel_names_the_order_the_switch_and_its_epoch(open_desk: Any) -> None:
    order_id = working(open_desk)
    (decision,) = open_desk.kill(engaged=True, epoch=3, level="CANCEL")
    (cancel,) = approvals([decision])
    assert (cancel.action, cancel.scope, cancel.client_order_id) == (Action.CANCEL, Scope.TRADE, order_id)
    assert (cancel.symbol, cancel.side, cancel.kill_epoch) == ("BTC-USDT", Side.BUY, 3)
    assert decision.intent_id == cancel.intent_id == open_desk.core.state.kill.message_id
    assert decision.config_hash == cancel.policy_hash == open_desk.core.state.policy_hash


def test_a_cancel_is_repeated_at_the_retry_and_not_before(open_desk: Any) -> None:
    working(open_desk)
    assert len(engage(open_desk, "CANCEL")) == 1
    assert after(open_desk, RETRY_US - 1) == []
    (again,) = after(open_desk, 1)
    assert again.action is Action.CANCEL
    assert again.issued_us == open_desk.now_us, "another text than the first, so that it is not taken for a replay"


@pytest.mark.parametrize(
    ("state", "cumulative", "cancelled"),
    [
        (OrderState.SUBMITTING, "0", True),
        (OrderState.PARTIALLY_FILLED, "0", True),
        (OrderState.CANCELLING, "0", True),
        (OrderState.UNKNOWN, "0", True),
        (OrderState.CANCELLED, "0", False),
        # Over, and the fill that belongs to it is under way.
        (OrderState.CANCELLED, "0.5", False),
        (OrderState.FILLED, "1", False),
    ],
)
def test_every_order_that_may_still_trade_is_cancelled(
    open_desk: Any, state: OrderState, cumulative: str, cancelled: bool
) -> None:
    order_id = working(open_desk)
    open_desk.order(order_id, state, cumulative)
    assert bool(engage(open_desk, "CANCEL")) is cancelled


def test_an_approval_that_execution_has_not_answered_is_cancelled_too(open_desk: Any) -> None:
    decision = open_desk.ask()
    (cancel,) = engage(open_desk, "CANCEL")
    assert cancel.client_order_id == decision.client_order_id


def test_an_order_that_appears_later_is_cancelled_at_once(open_desk: Any) -> None:
    """Such as one that was on its way when the switch was engaged."""
    engage(open_desk, "CANCEL")
    assert len(said_by(open_desk, lambda: working(open_desk))) == 1


def test_an_order_that_is_over_is_forgotten(open_desk: Any) -> None:
    order_id = working(open_desk)
    engage(open_desk, "CANCEL")
    open_desk.order(order_id, OrderState.CANCELLED)
    assert after(open_desk, RETRY_US) == []
    assert open_desk.core.state.closing.cancel_due_us == {}


def test_a_raised_level_is_a_new_epoch_and_cancels_anew(open_desk: Any) -> None:
    working(open_desk)
    assert [cancel.kill_epoch for cancel in engage(open_desk, "CANCEL", 1)] == [1]
    assert [cancel.kill_epoch for cancel in engage(open_desk, "FLATTEN", 2)] == [2]


def test_one_step_decides_so_many_and_the_next_goes_on(open_desk: Any) -> None:
    for number in range(1, DECISIONS_MAX + 4):
        working(open_desk, number)
    open_desk.hold("1", "ETH-USDT")
    first = engage(open_desk, "FLATTEN")
    assert len(first) == DECISIONS_MAX
    rest = after(open_desk, 1)
    assert [approval.action for approval in rest] == [Action.CANCEL] * 3 + [Action.SUBMIT]


def test_a_released_switch_does_nothing(open_desk: Any) -> None:
    working(open_desk)
    open_desk.hold("2", "ETH-USDT")
    engage(open_desk, "FLATTEN")
    open_desk.kill(engaged=False, epoch=1, level="FLATTEN")
    assert after(open_desk, 10 * RETRY_US) == []


def test_a_closing_order_is_all_that_is_held_at_once_or_not_at_all_within_the_collar(open_desk: Any) -> None:
    open_desk.hold("2")
    (decision,) = open_desk.kill(engaged=True, epoch=4, level="FLATTEN")
    (order,) = approvals([decision])
    assert (order.scope, order.action, order.reduce_only, order.post_only) == (
        Scope.FLATTEN, Action.SUBMIT, True, False)  # fmt: skip
    assert (order.side, order.quantity, order.limit_price) == (Side.SELL, Decimal(2), Decimal(97))
    assert (order.time_in_force, order.kill_epoch) == (TimeInForce.IOC, 4)
    assert decision.intent_id == open_desk.core.state.kill.message_id
    assert open_desk.core.state.exposure("BTC-USDT").selling == Decimal(2), "it holds its reservation as any other"


def test_a_short_is_closed_by_buying(desk: Any) -> None:
    with_position(desk, "-2")
    (order,) = engage(desk, "FLATTEN")
    assert (order.side, order.quantity, order.limit_price) == (Side.BUY, Decimal(2), Decimal(103))


def test_a_long_perpetual_is_closed_by_selling(desk: Any) -> None:
    with_position(desk, "2")
    (order,) = engage(desk, "FLATTEN")
    assert (order.side, order.quantity) == (Side.SELL, Decimal(2))


def test_an_order_beside_a_closing_one_may_not_take_the_position_from_under_it(desk: Any) -> None:
    with_position(desk, "2")
    (order,) = engage(desk, "FLATTEN")
    (closing,) = desk.core.state.orders.by_id.values()
    assert (closing.client_order_id, closing.reducing) == (order.client_order_id, True)


@pytest.mark.parametrize("rules", [{"mode": "OBSERVE_ONLY"}, {"limits.open_orders": 0}, {"pace.orders_per_day": 0}])
def test_no_mode_and_no_gate_stands_in_the_way_of_an_exit(open_desk: Any, rules: dict[str, Any]) -> None:
    open_desk.hold("2")
    open_desk.policy(rules)
    assert len(engage(open_desk, "FLATTEN")) == 1


def test_nothing_is_closed_while_an_order_of_the_symbol_is_open(open_desk: Any) -> None:
    """Not even while only its fills are missing: what it sells is not held any more."""
    open_desk.hold("2")
    order_id = working(open_desk, side=Side.SELL)
    assert [approval.action for approval in engage(open_desk, "FLATTEN")] == [Action.CANCEL]
    assert said_by(open_desk, lambda: open_desk.order(order_id, OrderState.CANCELLED, "0.5")) == []
    (order,) = said_by(open_desk, lambda: open_desk.fill(order_id, "0.5", side="SELL"))
    assert (order.action, order.quantity) == (Action.SUBMIT, Decimal("1.5"))


def complete(desk: Any, order: Approval, quantity: Decimal | None = None) -> list[Approval]:
    """Let the venue fill so much of a closing order and end it."""
    done = f"{order.quantity if quantity is None else quantity}"
    before = len(desk.outputs)
    if Decimal(done):
        desk.fill(order.client_order_id, done, side=order.side.value, symbol=order.symbol)
    state = OrderState.FILLED if Decimal(done) == order.quantity else OrderState.CANCELLED
    desk.order(order.client_order_id, state, done, f"{order.quantity}", symbol=order.symbol, side=order.side)
    return approvals(desk.outputs[before:])


def test_a_large_position_is_closed_in_slices_one_after_the_other(open_desk: Any) -> None:
    """At most limits.order_notional each, at the mark: 50 at 100 is 5,000."""
    open_desk.hold("120")
    orders = engage(open_desk, "FLATTEN")
    for _ in range(2):
        orders += complete(open_desk, orders[-1])
    assert [order.quantity for order in orders] == [Decimal(50), Decimal(50), Decimal(20)]
    assert complete(open_desk, orders[-1]) == []
    assert not open_desk.core.state.held("BTC-USDT")


@pytest.mark.parametrize(
    ("held", "first"),
    [
        # Less than the venue takes would be left behind: both halves are large enough.
        pytest.param("50.005", "25.002", id="halves"),
        pytest.param("50.01", "25.005", id="too small a rest by its value"),
        pytest.param("50.1", "50", id="a rest that can follow"),
        # What is finer than the step is dust from the beginning.
        pytest.param("50.0005", "50", id="finer than the step"),
    ],
)
def test_no_slice_leaves_a_rest_behind_that_is_too_small_to_follow(open_desk: Any, held: str, first: str) -> None:
    open_desk.hold(held)
    assert [order.quantity for order in engage(open_desk, "FLATTEN")] == [Decimal(first)]


def test_what_did_not_trade_is_tried_again_at_the_retry_and_not_before(open_desk: Any) -> None:
    open_desk.hold("2")
    (first,) = engage(open_desk, "FLATTEN")
    assert complete(open_desk, first, Decimal("0.5")) == []
    assert after(open_desk, RETRY_US - 1) == []
    (second,) = after(open_desk, 1)
    assert second.quantity == Decimal("1.5")
    assert second.client_order_id != first.client_order_id


def test_a_closing_order_that_stays_is_cancelled_at_the_retry(open_desk: Any) -> None:
    """It should have ended at once: cancelled only when it has not."""
    open_desk.hold("2")
    (order,) = engage(open_desk, "FLATTEN")
    shape = {"side": Side.SELL, "quantity": "2"}
    assert said_by(open_desk, lambda: open_desk.order(order.client_order_id, OrderState.UNKNOWN, **shape)) == []
    (cancel,) = after(open_desk, RETRY_US)
    assert (cancel.action, cancel.client_order_id) == (Action.CANCEL, order.client_order_id)


def test_a_refused_closing_order_is_released_and_tried_again(open_desk: Any) -> None:
    open_desk.hold("2")
    (decision,) = open_desk.kill(engaged=True, epoch=1, level="FLATTEN")
    open_desk.refuse(decision)
    assert len(open_desk.core.state.orders) == 0
    assert len(after(open_desk, RETRY_US)) == 1


def test_ids_are_derived_and_differ_by_symbol_epoch_and_place_on_the_tape(new_desk: Any) -> None:
    def ids(level_epoch: int) -> list[str]:
        desk = new_desk().open()
        desk.hold("2")
        desk.hold("2", "ETH-USDT")
        return [order.client_order_id for order in engage(desk, "FLATTEN", level_epoch)]

    assert ids(1) == ids(1)
    assert len({*ids(1), *ids(2)}) == 4


CANNOT = [
    pytest.param("0.009", {}, "100.01", None, id="dust by quantity"),
    pytest.param("0.01", {}, "100.01", None, id="dust by value at the bound"),
    pytest.param("2", {"status": InstrumentStatus.HALTED}, "100.01", "takes no orders", id="halted"),
    pytest.param("2", {"status": InstrumentStatus.CANCEL_ONLY}, "100.01", "takes no orders", id="cancel-only"),
    pytest.param("2", {"status": InstrumentStatus.AUCTION}, "100.01", "takes no orders", id="auction"),
    pytest.param("2", {"min_notional": Decimal(180), "min_quantity": Decimal("1.9")}, "100.01", None, id="just enough"),
    pytest.param("60", {"min_quantity": Decimal(51)}, "100.01", "limits.order_notional", id="the cap is too small"),
]


@pytest.mark.parametrize(("held", "instrument", "ask", "words"), CANNOT)
def test_what_cannot_be_closed_is_said_in_words(
    open_desk: Any, held: str, instrument: dict[str, Any], ask: str, words: str | None
) -> None:
    """Dust is no hindrance: the proof of flat lists it."""
    open_desk.hold(held)
    open_desk.instrument("BTC-USDT", **instrument)
    orders = engage(open_desk, "FLATTEN")
    said = hindrances(open_desk.core.state)
    assert bool(said) == (words is not None)
    assert all(words in text and held in text for text in said if words)
    is_dust = Decimal(held) < Decimal("0.1")
    assert bool(orders) == (words is None and not is_dust)


def test_what_was_never_quoted_or_described_is_said_in_words(desk: Any) -> None:
    desk.policy()
    desk.account(USDT="1000", BTC="2", ETH="2")
    desk.instrument("BTC-USDT")
    assert engage(desk, "FLATTEN") == []
    assert hindrances(desk.core.state) == (
        "BTC-USDT: 2 held, it was never quoted",
        "ETH-USDT: 2 held, the venue has not said how it is traded",
    )
    desk.quote("BTC-USDT")
    assert [order.symbol for order in after(desk, 1)] == ["BTC-USDT"]


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        pytest.param(lambda desk: None, "no policy", id="no policy"),
        pytest.param(lambda desk: desk.policy(), "has not stated the account", id="no account"),
        pytest.param(lambda desk: desk.policy({"arming.dry_run": True}), "not armed", id="a dry run"),
        pytest.param(lambda desk: desk.policy(environment="live"), "live_trading_ack", id="live and not armed"),
    ],
)
def test_a_desk_that_may_not_send_sends_nothing_and_says_so(
    desk: Any, prepare: Callable[[Any], Any], words: str
) -> None:
    prepare(desk)
    assert engage(desk, "FLATTEN") == []
    assert any(words in text for text in hindrances(desk.core.state))


def test_a_desk_that_is_not_armed_closes_nothing_and_cancels_all_the_same(open_desk: Any) -> None:
    open_desk.hold("2", "ETH-USDT")
    working(open_desk)
    open_desk.policy({"arming.dry_run": True})
    assert [approval.action for approval in engage(open_desk, "FLATTEN")] == [Action.CANCEL]


EVENT = st.one_of(
    st.tuples(st.just("venue"), st.integers(0, 5), st.sampled_from([*OrderState]), st.integers(0, 100)),
    st.tuples(st.just("wait"), st.sampled_from([1, 250_000, RETRY_US])),
    st.tuples(st.just("quote"), st.integers(90, 110)),
    st.tuples(st.just("level"), st.sampled_from(["HALT", "CANCEL", "FLATTEN", "release"])),
    st.tuples(st.just("intent"), st.sampled_from(["BUY", "SELL"])),
    st.tuples(st.just("status"), st.sampled_from([*InstrumentStatus])),
    st.tuples(st.just("refuse"), st.integers(0, 5)),
)


class Story:
    """A desk under random events; holds every closing order to what may be taken off at that moment."""

    def __init__(self, desk: Any, *, short: bool) -> None:
        self.desk, self.epoch = desk, 0
        self.symbols = ("BTC-USDT",) if short else ("BTC-USDT", "ETH-USDT")

    def play(self, event: tuple[Any, ...]) -> None:
        kind, *values = event
        before = len(self.desk.outputs)
        getattr(self, f"_{kind}")(*values)
        self._check(self.desk.outputs[before:])

    def _check(self, outputs: Any) -> None:
        state = self.desk.core.state
        for decision in outputs:
            if not isinstance(decision, Decision) or decision.outcome is not Outcome.APPROVED:
                continue
            order = Approval.model_validate_json(decision.approval.text)
            if order.scope is not Scope.FLATTEN:
                continue
            held = state.held(order.symbol)
            open_there = [o for o in state.orders.by_id.values() if o.symbol == order.symbol]
            assert state.kill.engaged
            assert [o.client_order_id for o in open_there] == [order.client_order_id]
            assert order.side is (Side.SELL if held > 0 else Side.BUY)
            assert order.quantity <= abs(held)
            assert order.quantity * max(order.limit_price, state.quotes[order.symbol].mark) <= 5_000

    def _orders(self) -> list[Any]:
        return list(self.desk.core.state.orders.by_id.values())

    def _venue(self, which: int, state: OrderState, percent: int) -> None:
        orders = self._orders()
        if not orders:
            return
        order = orders[which % len(orders)]
        held = abs(self.desk.core.state.held(order.symbol)) if order.side is Side.SELL else order.remaining
        part = round_down(min(order.remaining, held) * percent / 100, Decimal("0.001"))
        shape = {"symbol": order.symbol, "side": order.side, "limit_price": order.price or Decimal(100)}
        if part and order.state not in (OrderState.FILLED, OrderState.CANCELLED):
            self.desk.fill(order.client_order_id, f"{part:f}", side=order.side.value, symbol=order.symbol)
        if order.client_order_id in self.desk.core.state.orders.by_id:
            self.desk.order(order.client_order_id, state, f"{order.filled:f}", f"{order.quantity:f}", **shape)

    def _wait(self, microseconds: int) -> None:
        self.desk.wait(microseconds)

    def _quote(self, price: int) -> None:
        self.desk.quote(*self.symbols, bid=f"{price}", ask=f"{price}.02")

    def _level(self, level: str) -> None:
        released = level == "release"
        self.epoch += not released
        self.desk.kill(engaged=not released, epoch=self.epoch, level="HALT" if released else level)

    def _intent(self, side: str) -> None:
        self.desk.ask(side, "1", "100", time_in_force=TimeInForce.GTC)

    def _status(self, status: InstrumentStatus) -> None:
        margin = self.desk.core.state.instruments["BTC-USDT"].margin
        self.desk.instrument("BTC-USDT", status=status, margin=margin)

    def _refuse(self, which: int) -> None:
        unanswered = [order for order in self._orders() if order.state is None]
        if unanswered:
            order = unanswered[which % len(unanswered)]
            mine = [o for o in self.desk.outputs if isinstance(o, Decision) and o.id == order.decision_id]
            self.desk.refuse(mine[0])


@given(st.lists(EVENT, min_size=5, max_size=60), st.integers(0, 60))
@settings(max_examples=150, deadline=None)
def test_no_closing_order_enlarges_or_flips_whatever_happens(
    new_desk: Any, events: list[tuple[Any, ...]], cut: int
) -> None:
    """Spot; and the same tape gives the same bytes, also from a snapshot taken anywhere."""
    desk = new_desk().open()
    desk.hold("60")
    desk.hold("3", "ETH-USDT")
    story = Story(desk, short=False)
    for event in events:
        story.play(event)
        assert all(holding.quantity > 0 for holding in desk.core.state.portfolio.holdings().values())
    assert _replayed(desk, min(cut, len(desk.taped))) == [encode(output) for output in desk.outputs]


@given(st.lists(EVENT, min_size=5, max_size=40))
@settings(max_examples=60, deadline=None)
def test_no_closing_order_flips_a_short(new_desk: Any, events: list[tuple[Any, ...]]) -> None:
    """A perpetual; only the switch trades."""
    desk = with_position(new_desk(), "-60")
    story = Story(desk, short=True)
    for event in [("level", "FLATTEN"), *(event for event in events if event[0] != "intent")]:
        story.play(event)
        assert desk.core.state.held("BTC-USDT") <= 0


def _replayed(desk: Any, cut: int) -> list[bytes]:
    core, said = RiskCore(), []
    for sequence, message in enumerate(desk.taped, 1):
        if sequence == cut:
            snapshot = json.loads(json.dumps(core.snapshot()))
            core = RiskCore()
            core.restore(snapshot)
        said += [encode(output) for output in core.step(sequence, message).outputs]
    return said
