"""What moves the mode: each condition short of where it begins, there, short of where it ends, and there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_contracts.risk import Condition, Outcome
from tollgate_contracts.safety import BreakerState, EndpointGroup
from tollgate_risk.core.conditions import WATCHES, holds
from tollgate_risk.core.policy import ConditionRule, ConditionRules, FloorRule
from tollgate_risk.views import modes_view

SECOND_US = 1_000_000
OFF_UNIVERSE = {"symbol": "XRP-USDT"}


def reading(desk: Any, condition: Condition) -> dict[str, Any]:
    """Return what the view tells of one condition, after a look at the clock."""
    desk.wait(0)
    (row,) = [row for row in modes_view(desk.core.state)["conditions"] if row["condition"] == condition.value]
    return row


def marked(desk: Any, mark: str) -> str:
    half = Decimal("0.00001")
    desk.quote("BTC-USDT", bid=str(Decimal(mark) - half), ask=str(Decimal(mark) + half))
    return mark


def daily_loss(desk: Any) -> Iterator[str]:
    desk.hold("10")
    marked(desk, "90.001")
    yield "99.99"
    marked(desk, "90")
    yield "100"
    marked(desk, "94.999")
    yield "50.01"
    marked(desk, "95")
    yield "50"


def drawdown(desk: Any) -> Iterator[str]:
    desk.hold("100")
    marked(desk, "90.0001")
    yield "99.999"
    marked(desk, "90")
    yield "100"
    marked(desk, "94.9999")
    yield "50.001"
    marked(desk, "95")
    yield "50"


def consecutive_losses(desk: Any) -> Iterator[str]:
    """It lasts as long as the pause that such a streak leads to."""
    desk.trip("99")
    desk.trip("99")
    yield "2"
    desk.trip("99")
    yield "3"
    desk.wait(60 * SECOND_US - 1)
    yield "3"
    desk.wait(1)
    yield "0"


def feed(desk: Any) -> Iterator[str]:
    """From when it was lost this time: not from the last time, and not from the beginning."""
    desk.feed(FeedState.STALE)
    desk.wait(SECOND_US)
    desk.feed(FeedState.UP)
    desk.wait(SECOND_US)
    desk.feed(FeedState.GAP)
    desk.wait(2 * SECOND_US - 1)
    yield "1999"
    desk.wait(1)
    yield "2000"
    desk.feed(FeedState.DEGRADED)
    yield "2000"
    desk.feed(FeedState.RECOVERED)
    yield "0"


def clock_skew(desk: Any) -> Iterator[str]:
    """Either way; and of the newest stamp, for a quiet symbol's last quote is old without any skew."""
    desk.quote("BTC-USDT", venue_ts_us=desk.now_us - 499_999)
    yield "499"
    desk.quote("BTC-USDT", venue_ts_us=desk.now_us + 500_000)
    yield "500"
    desk.quote("BTC-USDT", venue_ts_us=desk.now_us - 101_000)
    yield "101"
    desk.quote("BTC-USDT", venue_ts_us=desk.now_us - 100_999)
    yield "100"


def over_a_window(desk: Any, happen: Callable[[], Any]) -> Iterator[str]:
    """Three events ten seconds apart; each leaves the minute's window by itself, a slice of a second late."""
    happen()
    desk.wait(10 * SECOND_US)
    happen()
    yield "2"
    desk.wait(10 * SECOND_US)
    happen()
    yield "3"
    desk.wait(51 * SECOND_US - 1 - 10 * SECOND_US)
    assert reading(desk, Condition.FEED)["seen"] == "0"
    yield "3"
    desk.wait(11 * SECOND_US)
    yield "1"


def rejection_spike(desk: Any) -> Iterator[str]:
    yield from over_a_window(desk, lambda: desk.ask(**OFF_UNIVERSE))


def trade_spike(desk: Any) -> Iterator[str]:
    yield from over_a_window(desk, lambda: desk.hold("1"))


def venue_errors(desk: Any) -> Iterator[str]:
    ends = iter((OrderState.REJECTED, OrderState.UNKNOWN, OrderState.REJECTED))
    yield from over_a_window(desk, lambda: desk.order(desk.intent().client_order_id, next(ends)))


def breaker_open(desk: Any) -> Iterator[str]:
    desk.breaker(BreakerState.OPEN, EndpointGroup.ORDERS)
    yield "1"
    desk.breaker(BreakerState.OPEN, EndpointGroup.ACCOUNT)
    yield "2"
    desk.breaker(BreakerState.CLOSED, EndpointGroup.ORDERS)
    desk.breaker(BreakerState.HALF_OPEN, EndpointGroup.ACCOUNT)
    yield "1"
    desk.breaker(BreakerState.CLOSED, EndpointGroup.ACCOUNT)
    yield "0"


def approve(desk: Any) -> None:
    decision = desk.ask()
    assert decision.outcome is Outcome.APPROVED
    desk.refuse(decision)


def no_fills(desk: Any) -> Iterator[str]:
    approve(desk)
    approve(desk)
    yield "2"
    approve(desk)
    yield "3"
    desk.wait(60 * SECOND_US)
    yield "3"
    desk.hold("1")
    yield "0"


def win_rate(desk: Any) -> Iterator[str]:
    for won in "WWWLLLLLLL":
        assert reading(desk, Condition.WIN_RATE)["seen"] is None
        desk.trip("101" if won == "W" else "99")
    yield "3000"
    desk.trip("99")
    yield "2000"
    for _ in range(4):
        desk.trip("101")
    yield "4000"
    desk.trip("101")
    yield "5000"


def ledger_drift(desk: Any) -> Iterator[str]:
    desk.drift("BTC", "0.1")
    yield "1"
    desk.drift("USDT", "-3")
    yield "2"
    desk.drift("BTC", "0")
    desk.drift("BTC", "0")
    yield "1"
    desk.drift("USDT", "0")
    yield "0"


def reconciliation_lag(desk: Any) -> Iterator[str]:
    desk.wait(5 * SECOND_US - 1)
    yield "4999"
    desk.wait(1)
    yield "5000"
    desk.account(USDT="100000", venue="another")
    yield "5000"
    desk.account(USDT="100000")
    yield "0"


@dataclass(frozen=True)
class Row:
    """A condition's rule, and what brings it through: each yield is the value that must then be seen."""

    story: Callable[[Any], Iterator[str]]
    enter: str
    leave: str
    rules: dict[str, Any] = field(default_factory=dict)


ROWS = {
    Condition.DAILY_LOSS: Row(daily_loss, "100", "50"),
    Condition.DRAWDOWN: Row(drawdown, "100", "50"),
    Condition.CONSECUTIVE_LOSSES: Row(consecutive_losses, "3", "0"),
    Condition.FEED: Row(feed, "2000", "0"),
    Condition.CLOCK_SKEW: Row(clock_skew, "500", "100"),
    Condition.REJECTION_SPIKE: Row(rejection_spike, "3", "1"),
    Condition.TRADE_SPIKE: Row(trade_spike, "3", "1"),
    Condition.VENUE_ERRORS: Row(venue_errors, "3", "1"),
    Condition.BREAKER_OPEN: Row(breaker_open, "2", "0"),
    Condition.NO_FILLS: Row(no_fills, "3", "0"),
    Condition.WIN_RATE: Row(win_rate, "2000", "5000"),
    Condition.LEDGER_DRIFT: Row(ledger_drift, "2", "0"),
    Condition.RECONCILIATION_LAG: Row(reconciliation_lag, "5000", "0"),
}


def watching(condition: Condition, row: Row, response: str = "NORMAL") -> dict[str, Any]:
    """Return the rules under which only this condition is watched; by default it asks for no other mode."""
    rule = {"enter": row.enter, "leave": row.leave, "response": response}
    return {f"modes.conditions.{condition.value}": rule, **row.rules}


@pytest.mark.parametrize(("condition", "row"), ROWS.items(), ids=[condition.value for condition in ROWS])
def test_a_condition_begins_at_enter_and_ends_at_leave(desk, condition, row):
    """Short of enter it does not hold; at enter it does, and on, until leave; the value is what is said."""
    desk.open(watching(condition, row))
    stages = (("short of enter", False), ("at enter", True), ("short of leave", True), ("at leave", False))
    seen_at = row.story(desk)
    for stage, expected in stages:
        seen = next(seen_at)
        now = reading(desk, condition)
        assert (stage, now["seen"], now["active"]) == (stage, seen, expected)
    with pytest.raises(StopIteration):
        next(seen_at)


@pytest.mark.parametrize(("condition", "row"), ROWS.items(), ids=[condition.value for condition in ROWS])
def test_a_condition_that_is_switched_off_is_seen_and_never_holds(desk, condition, row):
    """Null in the policy: the number is still shown, and nothing follows from it."""
    desk.open(row.rules)
    for seen in row.story(desk):
        now = reading(desk, condition)
        assert (now["seen"], now["active"], now["enter"], now["response"]) == (seen, False, None, None)
    assert [mode.to_mode for mode in desk.modes()] == ["NORMAL"]


FLAGGED, ENDED = Repair.FLAGGED, Repair.IGNORED


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        pytest.param([("BTC-USDT", Difference.POSITION_DRIFT, FLAGGED)], "2", id="a position beside a balance"),
        pytest.param([("BTC-USDT", Difference.POSITION_DRIFT, FLAGGED)] * 2, "2", id="said twice it is one"),
        pytest.param(
            [("BTC-USDT", Difference.POSITION_DRIFT, FLAGGED), ("ETH-USDT", Difference.POSITION_DRIFT, FLAGGED)],
            "3",
            id="each of two",
        ),
        pytest.param(
            [("BTC-USDT", Difference.POSITION_DRIFT, FLAGGED), ("BTC-USDT", Difference.POSITION_DRIFT, ENDED)],
            "1",
            id="until it has ended",
        ),
        pytest.param([("BTC-USDT", Difference.POSITION_DRIFT, ENDED)], "1", id="the end of what never began"),
        pytest.param([("USDT", Difference.BALANCE_DRIFT, FLAGGED)], "1", id="of a balance the books speak"),
        pytest.param([("t1", Difference.QUANTITY_DRIFT, FLAGGED)], "1", id="what is never told to end would stay"),
    ],
)
def test_a_drift_of_a_position_counts_beside_those_of_the_books_as_long_as_it_is_open(desk, said, seen):
    desk.open()
    desk.drift("BTC", "0.1")
    for subject, difference, repair in said:
        desk.reconcile(subject, difference, repair)
    assert reading(desk, Condition.LEDGER_DRIFT)["seen"] == seen


def test_every_condition_is_in_the_table_in_the_policy_and_in_these_tests():
    """But the policy itself and a fault, which have no threshold."""
    conditions = [one for one in Condition if one not in {Condition.POLICY, Condition.FAULT}]
    assert [watch.condition for watch in WATCHES] == conditions
    assert list(ConditionRules.model_fields) == [condition.value for condition in conditions]
    assert list(ROWS) == conditions


def test_an_alert_is_named_after_its_condition():
    """So that whoever is woken finds the knob."""
    for watch in WATCHES:
        assert watch.alert == "TollgateRisk" + watch.condition.value.title().replace("_", "")
        assert watch.unit


RULE = ConditionRule.model_validate_json('{"enter": "10", "leave": "5", "response": "NORMAL"}')
FLOOR = FloorRule.model_validate_json('{"enter": "5", "leave": "10", "response": "NORMAL"}')


@pytest.mark.parametrize(
    ("rule", "seen", "held", "expected"),
    [
        pytest.param(None, 100, True, False, id="switched off ends it"),
        pytest.param(RULE, None, True, True, id="what cannot be known ends nothing"),
        pytest.param(RULE, None, False, False, id="what cannot be known begins nothing"),
        pytest.param(FLOOR, None, True, False, id="no rate is no low rate"),
        pytest.param(RULE, Decimal("9.99"), False, False, id="short of enter"),
        pytest.param(RULE, 10, False, True, id="at enter"),
        pytest.param(RULE, Decimal("5.01"), True, True, id="short of leave"),
        pytest.param(RULE, 5, True, False, id="at leave"),
        pytest.param(FLOOR, Decimal("5.01"), False, False, id="floor, short of enter"),
        pytest.param(FLOOR, 5, False, True, id="floor, at enter"),
        pytest.param(FLOOR, Decimal("9.99"), True, True, id="floor, short of leave"),
        pytest.param(FLOOR, 10, True, False, id="floor, at leave"),
    ],
)
def test_between_the_thresholds_a_condition_is_what_it_was(rule, seen, held, expected):
    """Hysteresis: a value that trembles around one threshold does not make the mode tremble."""
    assert holds(rule, seen, held) is expected


SWITCHED_OFF = [
    pytest.param({"arming.dry_run": True}, (), Reason.GATE_DRY_RUN, id="dry run"),
    pytest.param({}, (("kill", {"engaged": True, "epoch": 1}),), Reason.GATE_KILL_SWITCH, id="kill switch"),
    pytest.param({"mode": "REDUCE_ONLY"}, (), Reason.GATE_REDUCE_ONLY, id="reduce only"),
    pytest.param({"mode": "OBSERVE_ONLY"}, (), Reason.GATE_OBSERVE_ONLY, id="observe only"),
]


@pytest.mark.parametrize(("rules", "acts", "reason"), SWITCHED_OFF)
def test_what_our_own_switches_refuse_is_no_spike_of_rejections(desk, rules, acts, reason):
    """Otherwise a mode would feed the condition that holds it, and never end; with another reason beside, it counts."""
    desk.open(rules)
    for name, arguments in acts:
        getattr(desk, name)(**arguments)
    assert desk.reasons() == [reason]
    assert reading(desk, Condition.REJECTION_SPIKE)["seen"] == "0"
    assert reason in desk.reasons(**OFF_UNIVERSE)
    assert reading(desk, Condition.REJECTION_SPIKE)["seen"] == "1"


VENUE_SAYS = [
    pytest.param(OrderState.REJECTED, Reason.VENUE_REJECTED, "1", id="rejected"),
    pytest.param(OrderState.REJECTED, Reason.VENUE_RATE_LIMITED, "1", id="too fast for the venue"),
    pytest.param(OrderState.REJECTED, Reason.CASH_INSUFFICIENT, "1", id="the venue says there is no cash"),
    pytest.param(OrderState.UNKNOWN, Reason.VENUE_UNKNOWN_OUTCOME, "1", id="no answer"),
    pytest.param(OrderState.REJECTED, Reason.APPROVAL_EXPIRED, "0", id="never sent, too late"),
    pytest.param(OrderState.REJECTED, Reason.GATE_KILL_SWITCH, "0", id="never sent, killed"),
    pytest.param(OrderState.REJECTED, Reason.PACE_RATE, "0", id="never sent, paced"),
    pytest.param(OrderState.REJECTED, Reason.VENUE_BREAKER_OPEN, "0", id="never sent, breaker open"),
    pytest.param(OrderState.CANCELLED, None, "0", id="cancelled"),
    pytest.param(OrderState.EXPIRED, None, "0", id="expired"),
    pytest.param(OrderState.ACKNOWLEDGED, None, "0", id="taken"),
]


@pytest.mark.parametrize(("state", "reason", "seen"), VENUE_SAYS)
def test_a_venue_error_is_what_the_venue_did(open_desk, state, reason, seen):
    """An order that execution's own last checks kept back is rejected too, and the venue never saw it."""
    open_desk.order(open_desk.intent().client_order_id, state, reason=reason)
    assert reading(open_desk, Condition.VENUE_ERRORS)["seen"] == seen


def test_what_was_never_heard_is_late_from_the_first_policy_on(desk):
    """A desk whose feed or account never comes must not wait for it in NORMAL."""
    desk.wait(50 * SECOND_US)
    desk.policy()
    desk.wait(7 * SECOND_US)
    assert reading(desk, Condition.FEED)["seen"] == "7000"
    assert reading(desk, Condition.RECONCILIATION_LAG)["seen"] == "7000"
    assert reading(desk, Condition.CLOCK_SKEW)["seen"] is None
    assert reading(desk, Condition.DAILY_LOSS)["seen"] is None


def test_no_fills_ends_when_nothing_is_approved_any_more(desk):
    """In a mode without entries no fill could end it: after the window one order may try anew, and it begins again."""
    desk.open(watching(Condition.NO_FILLS, ROWS[Condition.NO_FILLS]))
    for _ in range(3):
        approve(desk)
    desk.wait(60 * SECOND_US)
    assert reading(desk, Condition.NO_FILLS)["active"]
    desk.wait(1)
    assert not reading(desk, Condition.NO_FILLS)["active"]
    desk.quote()
    approve(desk)
    now = reading(desk, Condition.NO_FILLS)
    assert (now["seen"], now["active"]) == ("4", True)


def test_a_higher_revision_begins_the_orders_without_a_fill_anew(desk):
    """And the same revision, put in force again, does not."""
    desk.open()
    approve(desk)
    desk.policy()
    assert reading(desk, Condition.NO_FILLS)["seen"] == "1"
    desk.policy({"revision": 2})
    assert reading(desk, Condition.NO_FILLS)["seen"] == "0"


WINDOWED = [
    pytest.param(Condition.REJECTION_SPIKE, lambda desk: desk.ask(**OFF_UNIVERSE), id="rejections"),
    pytest.param(Condition.TRADE_SPIKE, lambda desk: desk.hold("1"), id="fills"),
    pytest.param(Condition.VENUE_ERRORS, lambda desk: desk.order("tg" + "a" * 30, OrderState.UNKNOWN), id="errors"),
]


@pytest.mark.parametrize(("condition", "happen"), WINDOWED)
def test_another_window_forgets_nothing_that_it_still_covers(desk, condition, happen):
    """What was counted is counted on: longer at most by a slice of a window that was, and never shorter."""
    desk.open()
    happen(desk)
    desk.wait(30 * SECOND_US)
    happen(desk)
    desk.policy({"modes.window_ms": 3_600_000, "revision": 2})
    assert reading(desk, condition)["seen"] == "2"
    desk.policy({"modes.window_ms": 20_000, "revision": 3})
    # The first was in one slice of the long window with the second, and cannot be told from it any more.
    desk.wait(20 * SECOND_US)
    assert reading(desk, condition)["seen"] == "2"
    desk.wait(1 * SECOND_US)
    assert reading(desk, condition)["seen"] == "0"
