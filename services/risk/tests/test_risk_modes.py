"""The mode: down at once, back step by step, every change with its numbers; and what a person ends, ends at once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.codec import encode
from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_contracts.risk import Condition, Mode, Outcome, Policy, TradingMode
from tollgate_contracts.safety import BreakerState, EndpointGroup
from tollgate_contracts.strategy import Action
from tollgate_risk.core import RiskCore
from tollgate_risk.core.modes import asked_by
from tollgate_risk.core.reconciliation import clean
from tollgate_risk.views import modes_view

MS = 1_000
SECOND_US = 1_000_000
COOL_OFF_US = 10_000_000
NORMAL, REDUCE_ONLY, OBSERVE_ONLY = TradingMode
LADDER = (NORMAL, REDUCE_ONLY, OBSERVE_ONLY)


def rule(enter: str, leave: str, response: str) -> dict[str, str]:
    return {"enter": enter, "leave": leave, "response": response}


BREAKER = {"modes.conditions.breaker_open": rule("1", "0", "REDUCE_ONLY")}
DRIFT = {"modes.conditions.ledger_drift": rule("1", "0", "OBSERVE_ONLY")}
FEED = {"modes.conditions.feed": rule("2000", "0", "REDUCE_ONLY")}
WATCHED = {**BREAKER, **DRIFT, **FEED}


def open_breaker(desk: Any) -> None:
    desk.breaker(BreakerState.OPEN)
    desk.wait(0)


def close_breaker(desk: Any) -> None:
    desk.breaker(BreakerState.CLOSED)
    desk.wait(0)


def changes(desk: Any) -> list[tuple[str | None, str]]:
    return [(mode.from_mode, mode.to_mode) for mode in desk.modes()]


def triggers(mode: Mode) -> list[tuple[str, bool, str, str]]:
    return [(each.condition.value, each.active, each.limit, each.seen) for each in mode.triggers]


def mode_of(desk: Any) -> TradingMode:
    return desk.core.state.mode


def test_a_condition_brings_the_mode_down_at_once_with_its_numbers(desk):
    """The very message that makes it hold is the cause."""
    desk.open(WATCHED)
    desk.breaker(BreakerState.OPEN)
    mode = desk.modes()[-1]
    assert (mode.from_mode, mode.to_mode, mode.cause) == (NORMAL, REDUCE_ONLY, desk.sequence)
    assert mode.why == "breaker_open is at 1 groups, limit 1"
    assert triggers(mode) == [("breaker_open", True, "1", "1")]
    assert desk.reasons() == [Reason.GATE_REDUCE_ONLY]


@pytest.mark.parametrize(
    ("short_us", "expected"),
    [
        pytest.param(1, REDUCE_ONLY, id="one microsecond before the cool-off is over"),
        pytest.param(0, NORMAL, id="when it is over"),
        pytest.param(-1, NORMAL, id="one microsecond after"),
    ],
)
def test_the_way_back_takes_the_cool_off_from_when_nothing_asks_any_more(desk, short_us, expected):
    """Not from the change: a mode that was long asked for is left no sooner."""
    desk.open(WATCHED)
    open_breaker(desk)
    desk.wait(5 * COOL_OFF_US)
    close_breaker(desk)
    desk.wait(COOL_OFF_US - short_us)
    assert mode_of(desk) is expected


def test_the_mode_skips_on_the_way_down_and_steps_on_the_way_back(desk):
    """Caution is immediate; trust comes back in parts, and each change says what it came from."""
    desk.open(WATCHED)
    desk.drift("BTC", "0.5")
    assert mode_of(desk) is OBSERVE_ONLY
    desk.drift("BTC", "0")
    desk.wait(COOL_OFF_US - 1)
    assert mode_of(desk) is OBSERVE_ONLY
    desk.wait(1)
    assert mode_of(desk) is REDUCE_ONLY
    desk.wait(COOL_OFF_US - 1)
    assert mode_of(desk) is REDUCE_ONLY
    desk.wait(1)
    assert changes(desk)[1:] == [(NORMAL, OBSERVE_ONLY), (OBSERVE_ONLY, REDUCE_ONLY), (REDUCE_ONLY, NORMAL)]
    ended = "ledger_drift has ended at 0 currencies, limit 0"
    assert [mode.why for mode in desk.modes()[2:]] == [
        f"{ended}; no condition has asked for OBSERVE_ONLY for 10000 ms",
        f"{ended}; no condition has asked for REDUCE_ONLY for 10000 ms",
    ]
    assert triggers(desk.modes()[-1]) == [("ledger_drift", False, "0", "0")]


def test_a_position_that_execution_and_venue_count_differently_is_a_drift_and_holds_up_a_release(desk):
    """As one in a balance is: nothing is let through, and the kill switch stays, until it has ended."""
    desk.open(DRIFT)
    desk.reconcile("BTC-USDT", Difference.POSITION_DRIFT, Repair.FLAGGED)
    assert mode_of(desk) is OBSERVE_ONLY
    assert "the venue states 2 BTC-USDT, 0 is expected" in clean(desk.core.state)
    again = RiskCore()
    again.restore(json.loads(json.dumps(desk.core.snapshot())))
    desk.reconcile("BTC-USDT", Difference.POSITION_DRIFT, Repair.IGNORED)
    again.step(desk.sequence, desk.taped[-1])
    assert again.snapshot() == desk.core.snapshot()
    assert clean(desk.core.state) == ()
    for _ in range(2):
        desk.wait(COOL_OFF_US)
    assert mode_of(desk) is NORMAL


def test_a_condition_that_begins_again_begins_the_cool_off_again(desk):
    """What comes and goes is not over."""
    desk.open(WATCHED)
    open_breaker(desk)
    close_breaker(desk)
    desk.wait(COOL_OFF_US - 1)
    open_breaker(desk)
    close_breaker(desk)
    desk.wait(COOL_OFF_US - 1)
    assert mode_of(desk) is REDUCE_ONLY
    desk.wait(1)
    assert mode_of(desk) is NORMAL
    assert len(desk.modes()) == 3


def test_several_conditions_at_once_ask_for_the_severest_and_let_go_one_by_one(desk):
    """A change of mode tells of all that hold and all that have ended; what changes no mode is quiet on the tape."""
    desk.open(WATCHED)
    open_breaker(desk)
    desk.feed(FeedState.STALE)
    desk.wait(2 * SECOND_US)
    assert len(desk.modes()) == 2
    desk.drift("BTC", "1")
    down = desk.modes()[-1]
    assert down.why == "ledger_drift is at 1 currencies, limit 1"
    assert triggers(down) == [
        ("feed", True, "2000", "2000"),
        ("breaker_open", True, "1", "1"),
        ("ledger_drift", True, "1", "1"),
    ]
    desk.drift("BTC", "0")
    close_breaker(desk)
    desk.wait(COOL_OFF_US)
    up = desk.modes()[-1]
    assert (up.from_mode, up.to_mode) == (OBSERVE_ONLY, REDUCE_ONLY)
    assert triggers(up) == [
        ("feed", True, "2000", "12000"),
        ("breaker_open", False, "0", "0"),
        ("ledger_drift", False, "0", "0"),
    ]
    assert up.why == (
        "feed is at 12000 ms, limit 2000; breaker_open has ended at 0 groups, limit 0; "
        "ledger_drift has ended at 0 currencies, limit 0; no condition has asked for OBSERVE_ONLY for 10000 ms"
    )
    desk.wait(10 * COOL_OFF_US)
    assert mode_of(desk) is REDUCE_ONLY
    desk.feed(FeedState.RECOVERED)
    desk.wait(COOL_OFF_US)
    assert mode_of(desk) is NORMAL


def test_a_condition_that_asks_for_normal_is_watched_and_moves_nothing(desk):
    """For an alert without a response."""
    desk.open({"modes.conditions.breaker_open": rule("1", "0", "NORMAL")})
    open_breaker(desk)
    assert Condition.BREAKER_OPEN in desk.core.state.caution.active
    assert len(desk.modes()) == 1
    close_breaker(desk)
    assert desk.core.state.caution.ended == {}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        pytest.param("REDUCE_ONLY", Outcome.APPROVED, id="reduce"),
        pytest.param("OBSERVE_ONLY", Outcome.REJECTED, id="o"),
    ],
)
def test_a_cancel_always_passes_and_a_reducing_order_passes_unless_nothing_does(desk, mode, expected):
    """A cancel makes risk smaller: no mode stands in its way."""
    desk.open()
    desk.hold("5")
    working = desk.ask(price="99")
    desk.policy({"mode": mode})
    cancel = desk.ask(action=Action.CANCEL, client_order_id=working.client_order_id)
    assert cancel.outcome is Outcome.APPROVED
    assert desk.ask("SELL", "5", "100.01").outcome is expected


LIVE = {"environment": "live"}
ACKNOWLEDGED = "I understand that this desk trades real money and that losses are mine"
ARMED = {"arming.live_trading": True, "arming.live_trading_ack": ACKNOWLEDGED}


@pytest.mark.parametrize(
    ("rules", "identity", "why"),
    [
        pytest.param({}, {}, "the policy says so", id="a simulated desk"),
        pytest.param(
            {"arming.dry_run": True},
            {},
            "the policy says so; a simulated desk that is not armed: dry_run",
            id="a dry run",
        ),
        pytest.param(
            {},
            LIVE,
            "the policy says so; a live desk that is not armed: live_trading, live_trading_ack",
            id="a live desk",
        ),
        pytest.param(ARMED, LIVE, "the policy says so", id="an armed live desk"),
    ],
)
def test_the_first_mode_says_what_arming_lacks(desk, rules, identity, why):
    """Whoever reads the tape knows why nothing is approved."""
    (mode,) = desk.policy(rules, **identity)
    assert (mode.from_mode, mode.to_mode, mode.why, mode.triggers) == (None, NORMAL, why, ())


def test_what_a_person_has_set_a_person_ends_at_once(desk):
    """A base mode that was loosened needs no cool-off, and may skip a step."""
    desk.open({**WATCHED, "mode": "OBSERVE_ONLY"})
    assert triggers(desk.modes()[-1]) == [("policy", True, "NORMAL", "OBSERVE_ONLY")]
    desk.policy(WATCHED)
    mode = desk.modes()[-1]
    assert (mode.from_mode, mode.to_mode, mode.why) == (OBSERVE_ONLY, NORMAL, "the policy says so")
    assert triggers(mode) == [("policy", False, "NORMAL", "NORMAL")]


def test_a_loosened_policy_does_not_loosen_what_conditions_hold(desk):
    """Neither what holds, nor what has ended and has not cooled off."""
    desk.open({**WATCHED, "mode": "OBSERVE_ONLY"})
    open_breaker(desk)
    desk.policy(WATCHED)
    mode = desk.modes()[-1]
    assert (mode.to_mode, mode.why) == (REDUCE_ONLY, "the policy says so; breaker_open is at 1 groups, limit 1")
    close_breaker(desk)
    desk.policy({**WATCHED, "mode": "OBSERVE_ONLY"})
    desk.policy(WATCHED)
    assert mode_of(desk) is REDUCE_ONLY
    desk.wait(COOL_OFF_US)
    assert mode_of(desk) is NORMAL


def test_a_base_mode_is_not_left_when_conditions_end(desk):
    """The policy is the floor under the floor."""
    desk.open({**WATCHED, "mode": "REDUCE_ONLY"})
    desk.drift("BTC", "1")
    desk.drift("BTC", "0")
    desk.wait(COOL_OFF_US)
    desk.wait(COOL_OFF_US)
    assert changes(desk) == [(None, REDUCE_ONLY), (REDUCE_ONLY, OBSERVE_ONLY), (OBSERVE_ONLY, REDUCE_ONLY)]
    assert desk.core.state.caution.floor is NORMAL


def test_a_policy_that_switches_a_condition_off_ends_it_and_the_cool_off_still_runs(desk):
    """Switched off is ended, and not forgiven."""
    desk.open(WATCHED)
    open_breaker(desk)
    desk.policy({**DRIFT, **FEED})
    assert mode_of(desk) is REDUCE_ONLY
    desk.wait(COOL_OFF_US)
    mode = desk.modes()[-1]
    assert (mode.to_mode, triggers(mode)) == (NORMAL, [("breaker_open", False, "none", "1")])


@pytest.mark.parametrize(
    ("thresholds", "expected"),
    [
        pytest.param(rule("2", "1", "REDUCE_ONLY"), NORMAL, id="short of the new enter"),
        pytest.param(rule("1", "0", "REDUCE_ONLY"), REDUCE_ONLY, id="at the new enter"),
        pytest.param(rule("1", "0", "OBSERVE_ONLY"), OBSERVE_ONLY, id="at the new enter, with a severer response"),
    ],
)
def test_a_new_policy_judges_by_its_own_thresholds_at_once(desk, thresholds, expected):
    """What is seen already counts."""
    desk.open({"modes.conditions.breaker_open": rule("3", "0", "REDUCE_ONLY")})
    open_breaker(desk)
    assert mode_of(desk) is NORMAL
    desk.policy({"modes.conditions.breaker_open": thresholds})
    assert mode_of(desk) is expected


def unbookable(desk: Any) -> None:
    desk.fill("tg" + "e" * 30, "1", side="SELL")


def test_a_fault_observes_until_a_policy_and_then_what_conditions_hold_is_left(desk):
    """A person has looked at the fault; the cool-off of a condition has gone on under it."""
    desk.open(WATCHED)
    open_breaker(desk)
    close_breaker(desk)
    unbookable(desk)
    mode = desk.modes()[-1]
    assert (mode.to_mode, mode.why) == (OBSERVE_ONLY, desk.core.state.fault)
    assert ("fault", True, "none", desk.core.state.fault) in triggers(mode)
    desk.wait(COOL_OFF_US - 1)
    desk.wait(COOL_OFF_US)
    assert mode_of(desk) is OBSERVE_ONLY
    desk.policy(WATCHED)
    mode = desk.modes()[-1]
    assert (mode.from_mode, mode.to_mode, mode.why) == (OBSERVE_ONLY, NORMAL, "a new policy has ended the fault")
    assert triggers(mode) == [("fault", False, "none", "none")]


def test_a_fault_ended_while_a_condition_holds_leaves_its_mode(desk):
    """Straight to what is still asked for."""
    desk.open(WATCHED)
    open_breaker(desk)
    desk.policy_text("{")
    assert mode_of(desk) is OBSERVE_ONLY
    desk.wait(COOL_OFF_US)
    desk.policy(WATCHED)
    assert changes(desk)[-2:] == [(REDUCE_ONLY, OBSERVE_ONLY), (OBSERVE_ONLY, REDUCE_ONLY)]
    close_breaker(desk)
    desk.wait(COOL_OFF_US)
    mode = desk.modes()[-1]
    assert (mode.to_mode, triggers(mode)) == (NORMAL, [("breaker_open", False, "0", "0")]), "the fault is long told of"


def test_a_fault_in_many_words_is_cut_and_never_stops_the_gate(desk):
    """Text on the tape is bounded; a fault's words are not."""
    desk.open()
    desk.core.state.fault = "x" * 5_000
    desk.wait(0)
    mode = desk.modes()[-1]
    assert (len(mode.why), len(mode.triggers[0].seen)) == (2_000, 2_000)


def test_what_cannot_be_known_holds_on(desk):
    """A drawdown does not end because a mark is missing."""
    desk.open({"modes.conditions.drawdown": rule("100", "50", "REDUCE_ONLY")})
    desk.hold("100")
    desk.quote("BTC-USDT", bid="89.99", ask="90.01")
    desk.wait(0)
    assert mode_of(desk) is REDUCE_ONLY
    desk.policy({"modes.conditions.drawdown": rule("100", "50", "REDUCE_ONLY"), "revision": 2})
    desk.wait(COOL_OFF_US)
    assert mode_of(desk) is NORMAL, "a higher revision begins the peak anew"


def test_the_view_tells_how_long_the_way_back_still_is(desk):
    """For an operator who asks why nothing is bought."""
    desk.open(WATCHED)
    assert modes_view(desk.core.state)["cool_off_left_us"] is None
    open_breaker(desk)
    since_us = desk.now_us
    desk.wait(SECOND_US)
    view = modes_view(desk.core.state)
    assert (view["mode"], view["floor"], view["policy_mode"], view["fault"]) == (
        "REDUCE_ONLY",
        "REDUCE_ONLY",
        "NORMAL",
        None,
    )
    assert (view["since_us"], view["cool_off_left_us"]) == (since_us, None)
    (row,) = [row for row in view["conditions"] if row["active"]]
    assert row == {
        "condition": "breaker_open",
        "enter": "1",
        "leave": "0",
        "seen": "1",
        "unit": "groups",
        "active": True,
        "since_us": since_us,
        "response": "REDUCE_ONLY",
        "alert": "TollgateRiskBreakerOpen",
    }
    close_breaker(desk)
    desk.wait(SECOND_US)
    assert modes_view(desk.core.state)["cool_off_left_us"] == COOL_OFF_US - SECOND_US
    desk.now_us += COOL_OFF_US
    desk.quote("BTC-USDT")
    assert modes_view(desk.core.state)["cool_off_left_us"] == 0, "over, and the next look at the clock ends it"
    assert len(view["conditions"]) == 13
    assert json.loads(json.dumps(view)) == view


def test_before_the_first_policy_there_is_no_mode_to_show(desk):
    """And nothing to judge by."""
    desk.feed(FeedState.STALE)
    assert desk.modes() == []
    view = modes_view(desk.core.state)
    assert (view["mode"], view["since_us"], view["conditions"]) == (None, None, [])


DAY_RULES = {
    **WATCHED,
    "modes.cool_off_ms": 60_000,
    "modes.conditions.daily_loss": rule("1000", "500", "REDUCE_ONLY"),
    "modes.conditions.reconciliation_lag": rule("30000", "5000", "REDUCE_ONLY"),
    "modes.conditions.venue_errors": rule("2", "0", "REDUCE_ONLY"),
}


def test_a_day(desk):
    """A whole day: a loss, a venue that fails, books that drift, a night; and each change is on the tape."""
    day = Day(desk.open(DAY_RULES))
    day.until("02:00")
    day.desk.hold("100")
    day.mark("89")
    assert day.said() == ["02:00 NORMAL>REDUCE_ONLY daily_loss is at 1100 quote currency, limit 1000"]
    assert desk.reasons(price="89") == [Reason.GATE_REDUCE_ONLY]
    assert desk.ask("SELL", "50", "89").outcome is Outcome.APPROVED
    day.until("05:00")
    day.mark("94")
    assert day.said() == []
    day.mark("96")
    day.until("06:00")
    ended = "daily_loss has ended at 400 quote currency, limit 500"
    assert day.said() == [f"05:01 REDUCE_ONLY>NORMAL {ended}; no condition has asked for REDUCE_ONLY for 60000 ms"]
    day.until("09:00")
    for name in ("a", "b"):
        desk.order("tg" + name * 30, OrderState.UNKNOWN)
    desk.wait(0)
    desk.breaker(BreakerState.OPEN, EndpointGroup.ORDERS)
    assert day.said() == ["09:00 NORMAL>REDUCE_ONLY venue_errors is at 2 orders, limit 2"]
    desk.drift("BTC", "-0.25")
    assert day.said() == ["09:00 REDUCE_ONLY>OBSERVE_ONLY ledger_drift is at 1 currencies, limit 1"]
    day.until("10:00")
    desk.drift("BTC", "0")
    desk.breaker(BreakerState.CLOSED, EndpointGroup.ORDERS)
    day.until("12:00")
    assert day.moved() == ["10:01 OBSERVE_ONLY>REDUCE_ONLY", "10:02 REDUCE_ONLY>NORMAL"]
    day.account_comes = False
    day.until("13:00")
    assert day.said() == ["12:00 NORMAL>REDUCE_ONLY reconciliation_lag is at 30000 ms, limit 30000"]
    day.account_comes = True
    day.until("14:00")
    assert day.moved() == ["13:01 REDUCE_ONLY>NORMAL"]
    day.mark("80")
    assert day.moved() == ["14:00 NORMAL>REDUCE_ONLY"]
    day.until("24:05")
    assert day.moved() == ["24:01 REDUCE_ONLY>NORMAL"]


class Day:
    """Lets a day pass: a clock message each ten seconds, and with each an account."""

    def __init__(self, desk: Any) -> None:
        self.desk = desk
        self.account_comes = True
        self._heard = 1
        self._midnight_us = desk.now_us // (86_400 * SECOND_US) * 86_400 * SECOND_US
        assert self.hour == "22:13"
        # From the next midnight on, so that the day's loss is that of one day.
        self._midnight_us += 86_400 * SECOND_US
        self.until("00:01")
        assert self.said() == []

    @property
    def hour(self) -> str:
        minutes = (self.desk.now_us - self._midnight_us) // (60 * SECOND_US)
        return f"{minutes // 60:02}:{minutes % 60:02}"

    def until(self, hour: str) -> None:
        hours, minutes = hour.split(":")
        then_us = self._midnight_us + (int(hours) * 60 + int(minutes)) * 60 * SECOND_US
        while self.desk.now_us < then_us:
            self.desk.wait(min(10 * SECOND_US, then_us - self.desk.now_us))
            if self.account_comes:
                self.desk.account(USDT="100000")
        self.desk.instrument()

    def mark(self, mark: str) -> None:
        self.desk.quote("BTC-USDT", bid=f"{int(mark) - 1}.99", ask=f"{mark}.01")
        self.desk.wait(0)

    def said(self) -> list[str]:
        fresh = self.desk.modes()[self._heard :]
        self._heard += len(fresh)
        return [f"{self._hour_of(mode)} {mode.from_mode}>{mode.to_mode} {mode.why}" for mode in fresh]

    def moved(self) -> list[str]:
        return [" ".join(line.split()[:2]) for line in self.said()]

    def _hour_of(self, mode: Mode) -> str:
        minutes = (mode.ts_us - self._midnight_us) // (60 * SECOND_US)
        return f"{minutes // 60:02}:{minutes % 60:02}"


PROPERTY_RULES = {
    **WATCHED,
    "modes.window_ms": 6_000,
    "modes.conditions.rejection_spike": rule("3", "1", "REDUCE_ONLY"),
    "modes.conditions.trade_spike": rule("4", "1", "OBSERVE_ONLY"),
    "modes.conditions.drawdown": rule("50", "20", "REDUCE_ONLY"),
    "modes.conditions.reconciliation_lag": rule("9000", "0", "REDUCE_ONLY"),
}
STEP = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 250_000, 1_000_000, 3_000_000, 10_000_000, 11_000_000])),
    st.tuples(st.just("wait"), st.sampled_from([9_999_999, 10_000_000, 25_000_000])),
    st.tuples(st.just("feed"), st.sampled_from(FeedState)),
    st.tuples(st.just("breaker"), st.sampled_from(BreakerState)),
    st.tuples(st.just("drift"), st.sampled_from(["0", "0", "1"])),
    st.tuples(st.just("reject")),
    st.tuples(st.just("hold")),
    st.tuples(st.just("mark"), st.integers(97, 103)),
    st.tuples(st.just("account")),
    st.tuples(st.just("policy"), st.sampled_from(["NORMAL", "NORMAL", "REDUCE_ONLY", "OBSERVE_ONLY"])),
    st.tuples(st.just("unreadable")),
)
STEPS = st.lists(STEP, min_size=10, max_size=80)


PLAYS: dict[str, Callable[..., object]] = {
    "wait": lambda desk, microseconds: desk.wait(microseconds),
    "feed": lambda desk, state: desk.feed(state),
    "breaker": lambda desk, state: desk.breaker(state),
    "drift": lambda desk, difference: desk.drift("BTC", difference),
    "reject": lambda desk: desk.ask(symbol="XRP-USDT"),
    "hold": lambda desk: desk.hold("10"),
    "mark": lambda desk, mark: desk.quote("BTC-USDT", bid=f"{mark - 1}.99", ask=f"{mark}.01"),
    "account": lambda desk: desk.account(USDT="100000"),
    "policy": lambda desk, mode: desk.policy({**PROPERTY_RULES, "mode": mode}),
    "unreadable": lambda desk: desk.policy_text("{"),
}


def play(desk: Any, step: tuple[Any, ...]) -> None:
    name, *arguments = step
    PLAYS[name](desk, *arguments)


def severity(mode: TradingMode | None) -> int:
    return -1 if mode is None else LADDER.index(mode)


def last_asked_us(desk: Any, asked: dict[int, int], at_least: TradingMode) -> int:
    return max((asked_us for level, asked_us in asked.items() if level >= severity(at_least)), default=0)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS)
def test_the_mode_is_never_looser_than_what_is_asked_and_rises_only_after_the_cool_off(new_desk, steps):
    """For every tape.

    After each step the mode is at least as severe as what the policy, a fault and every condition that holds ask for.
    It rises without a policy by one step only, no sooner than the cool-off after it rose last, and after anything
    last asked for the mode that it leaves.
    """
    desk = new_desk().open(PROPERTY_RULES)
    rose_us = 0
    asked: dict[int, int] = {}
    for step in steps:
        play(desk, step)
        state = desk.core.state
        for condition in (*state.caution.active, Condition.POLICY):
            level = severity(asked_by(state, condition))
            assert severity(state.mode) >= level
            if condition not in {Condition.POLICY, Condition.FAULT}:
                asked[level] = desk.now_us
        fresh = [message for message in desk.outputs if isinstance(message, Mode) and message.cause == desk.sequence]
        for mode in fresh:
            assert mode.to_mode is state.mode is not mode.from_mode
            assert mode.why
            rises = severity(mode.to_mode) < severity(mode.from_mode)
            if rises and not isinstance(desk.taped[-1], Policy):
                assert severity(mode.from_mode) - severity(mode.to_mode) == 1
                assert mode.ts_us - rose_us >= COOL_OFF_US
                assert mode.ts_us - last_asked_us(desk, asked, mode.from_mode) >= COOL_OFF_US
                rose_us = mode.ts_us


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, data=st.data())
def test_a_snapshot_anywhere_gives_the_same_modes(new_desk, steps, data):
    """Cool-offs, windows and what has ended survive a restart, to the byte."""
    desk = new_desk().open(PROPERTY_RULES)
    for step in steps:
        play(desk, step)
    cut = data.draw(st.integers(0, len(desk.taped)))
    first, second = RiskCore(), RiskCore()
    said: list[bytes] = []
    for number, message in enumerate(desk.taped, start=1):
        core = first if number <= cut else second
        if number == cut + 1:
            second.restore(json.loads(json.dumps(first.snapshot())))
        said += [encode(output) for output in core.step(number, message).outputs]
    assert said == [encode(output) for output in desk.outputs]
    if cut < len(desk.taped):
        assert json.dumps(second.snapshot()) == json.dumps(desk.core.snapshot())


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_a_condition_holds_by_which_threshold_was_crossed_last(new_desk, steps):
    """Against a model without memory: of all looks so far, was the last decisive one at enter or at leave."""
    desk = new_desk().open(PROPERTY_RULES)
    looks: dict[str, list[str]] = {}
    for step in steps:
        play(desk, step)
        desk.wait(0)
        for row in modes_view(desk.core.state)["conditions"]:
            if row["enter"] is None or row["seen"] is None:
                continue
            seen, enter, leave = float(row["seen"]), float(row["enter"]), float(row["leave"])
            decisive = ["enter"] if seen >= enter else ["leave"] if seen <= leave else []
            looks.setdefault(row["condition"], ["leave"]).extend(decisive)
            assert row["active"] == (looks[row["condition"]][-1] == "enter")
