"""The fault plan: when a rule happens, what it does, and that a seed says it all. Pure: time is an argument."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_simvenue.core.faults import (
    AS_IT_IS,
    HIDDEN_ORDERS_MAX,
    NO_FAULT,
    CancelTrick,
    CloseStreams,
    Faults,
    FrameVerdict,
    SetStatus,
    Verdict,
    part_of,
)
from tollgate_simvenue.core.model import Refusal
from tollgate_simvenue.core.plan import (
    PRIVATE_CALLS,
    CallKind,
    CancelAnswer,
    FaultPlan,
    FaultType,
    FillPart,
    FrameKind,
    Stream,
)
from tollgate_simvenue.fault_settings import FaultRule, FaultsSection

DOCUMENT = Path(__file__).parents[3] / "docs" / "simulated-venue.md"
START_US = 1_000_000
MS = 1_000
SYMBOLS = ("BTC-USDT", "ETH-USDT")


def faults(*rules: dict[str, Any], seed: int = 1) -> Faults:
    plan = FaultsSection.model_validate({"seed": seed, "rules": rules}).plan()
    return Faults(plan, START_US, SYMBOLS)


def happens(plan: Faults, at_ms: int = 0, symbol: str | None = "BTC-USDT", kind: CallKind = CallKind.PLACE) -> bool:
    return plan.call(kind, symbol, START_US + at_ms * MS) is not NO_FAULT


LIMIT: dict[str, Any] = {"fault": "rate_limit"}
WHEN: list[tuple[dict[str, Any], list[tuple[int, str | None, CallKind]], list[bool]]] = [
    (
        {"after_ms": 10, "for_ms": 5},
        [(9, None, CallKind.PLACE), (10, None, CallKind.PLACE), (14, None, CallKind.PLACE), (15, None, CallKind.PLACE)],
        [False, True, True, False],
    ),
    ({"first": 2, "last": 3}, [(0, None, CallKind.PLACE)] * 4, [False, True, True, False]),
    (
        {"symbol": "BTC-USDT", "first": 2},
        [(0, "BTC-USDT", CallKind.PLACE), (0, "ETH-USDT", CallKind.PLACE), (0, "BTC-USDT", CallKind.CANCEL)],
        [False, False, True],
    ),
    (
        {"calls": ["cancel", "query"]},
        [(0, None, CallKind.PLACE), (0, None, CallKind.CANCEL), (0, None, CallKind.QUERY)],
        [False, True, True],
    ),
    ({}, [(0, None, CallKind.ACCOUNT), (0, None, CallKind.PUBLIC)], [True, False]),
    ({"per_million": 1_000_000}, [(0, None, CallKind.PLACE)] * 3, [True] * 3),
]


@pytest.mark.parametrize(("rule", "calls", "expected"), WHEN)
def test_a_rule_happens_in_its_span_to_its_calls_in_its_symbol_from_the_nth_to_the_mth(
    rule: dict[str, Any], calls: list[tuple[int, str | None, CallKind]], expected: list[bool]
) -> None:
    plan = faults({**LIMIT, **rule})
    assert [happens(plan, at_ms, symbol, kind) for at_ms, symbol, kind in calls] == expected
    assert plan.counts()[0][1] == sum(expected)


WHAT: list[tuple[dict[str, Any], CallKind, Verdict]] = [
    ({"fault": "accept_then_timeout"}, CallKind.PLACE, Verdict(silent=True)),
    ({"fault": "accept_then_drop", "calls": ["cancel"]}, CallKind.CANCEL, Verdict(drops=True)),
    ({"fault": "late_visibility", "late_ms": 7}, CallKind.PLACE, Verdict(hidden_us=7 * MS)),
    (
        {"fault": "cancel_then_fill", "late_ms": 7, "cancel_answer": "done", "fills": "half"},
        CallKind.CANCEL,
        Verdict(cancel_trick=CancelTrick(CancelAnswer.DONE, FillPart.HALF, 7 * MS)),
    ),
]


@pytest.mark.parametrize(("rule", "kind", "expected"), WHAT)
def test_each_fault_of_a_call_says_what_to_do_with_it(rule: dict[str, Any], kind: CallKind, expected: Verdict) -> None:
    plan = faults(rule)
    assert plan.call(kind, None, START_US) == expected
    assert all(plan.call(other, None, START_US) == NO_FAULT for other in CallKind if other is not kind)


REFUSING: list[tuple[dict[str, Any], Refusal, bool, int | None]] = [
    ({"fault": "rate_limit"}, Refusal.RATE_LIMITED, False, None),
    ({"fault": "rate_limit", "retry_after_s": 3}, Refusal.RATE_LIMITED, False, 3),
    ({"fault": "rate_limit_storm", "calls_max": 5, "ban_ms": 1}, Refusal.RATE_LIMITED, False, None),
    ({"fault": "server_error", "accepts": "none"}, Refusal.SERVER_ERROR, False, None),
    ({"fault": "server_error", "accepts": "all"}, Refusal.SERVER_ERROR, True, None),
    ({"fault": "maintenance", "retry_after_s": 60}, Refusal.MAINTENANCE, False, 60),
]


@pytest.mark.parametrize(("rule", "code", "acts", "retry_after_s"), REFUSING)
def test_each_fault_that_refuses_does_so_by_its_code(
    rule: dict[str, Any], code: Refusal, acts: bool, retry_after_s: int | None
) -> None:
    verdict = faults(rule).call(CallKind.PLACE, None, START_US)
    assert verdict.refused is not None
    assert (verdict.refused.code, verdict.acts, verdict.retry_after_s) == (code, acts, retry_after_s)


FRAMES: list[tuple[dict[str, Any], FrameVerdict]] = [
    ({"fault": "duplicate_frames"}, FrameVerdict((0, 0))),
    ({"fault": "drop_frames"}, FrameVerdict(())),
    ({"fault": "sequence_gap"}, FrameVerdict((), skips_number=True)),
    ({"fault": "delay_frames", "late_ms": 7}, FrameVerdict((7 * MS,))),
    ({"fault": "reorder_frames", "late_ms": 7}, FrameVerdict((7 * MS,), after_next=True)),
]


@pytest.mark.parametrize(("rule", "expected"), FRAMES)
def test_each_fault_of_a_frame_says_how_it_is_sent(rule: dict[str, Any], expected: FrameVerdict) -> None:
    plan = faults({**rule, "first": 2, "last": 2})
    said = [plan.frame(FrameKind.USER_TRADE, None, "a", START_US) for _ in range(3)]
    assert said == [AS_IT_IS, expected, AS_IT_IS]
    assert plan.frame(FrameKind.MARKET_QUOTE, "BTC-USDT", None, START_US) == AS_IT_IS


def test_half_of_the_calls_behind_a_server_error_are_carried_out_every_second_one() -> None:
    firsts = set()
    for seed in range(20):
        plan = faults({"fault": "server_error", "accepts": "half"}, seed=seed)
        acts = [plan.call(CallKind.PLACE, None, START_US).acts for _ in range(6)]
        assert acts in ([True, False] * 3, [False, True] * 3)
        firsts.add(acts[0])
    assert firsts == {True, False}


def test_a_storm_leads_to_a_ban_that_outlasts_it() -> None:
    plan = faults({"fault": "rate_limit_storm", "calls_max": 2, "ban_ms": 2_500, "for_ms": 10})

    def code(at_ms: int, kind: CallKind = CallKind.ACCOUNT) -> tuple[Refusal, int | None] | None:
        verdict = plan.call(kind, None, START_US + at_ms * MS)
        return None if verdict.refused is None else (verdict.refused.code, verdict.retry_after_s)

    assert [code(0), code(1), code(2)] == [(Refusal.RATE_LIMITED, None)] * 2 + [(Refusal.BANNED, 3)]
    assert code(1_502) == (Refusal.BANNED, 1)
    assert code(1_502, CallKind.PUBLIC) is None
    assert plan.refuses_streams(START_US + 1_502 * MS) is not None
    assert code(2_502) is None
    assert plan.refuses_streams(START_US + 2_502 * MS) is None


def test_a_storm_that_goes_on_after_its_ban_counts_anew() -> None:
    plan = faults({"fault": "rate_limit_storm", "calls_max": 2, "ban_ms": 10})
    codes = []
    for at_ms in (0, 0, 0, 10, 10, 10, 15):
        verdict = plan.call(CallKind.ACCOUNT, None, START_US + at_ms * MS)
        codes.append(None if verdict.refused is None else verdict.refused.code)
    assert codes == [Refusal.RATE_LIMITED, Refusal.RATE_LIMITED, Refusal.BANNED] * 2 + [Refusal.BANNED]


def test_the_first_rule_that_says_something_decides_and_hiding_goes_with_it() -> None:
    plan = faults(
        {"fault": "late_visibility", "late_ms": 5},
        {"fault": "accept_then_timeout", "last": 1},
        {"fault": "rate_limit", "calls": ["place"]},
    )
    first, second = (plan.call(CallKind.PLACE, None, START_US) for _ in range(2))
    assert first == Verdict(silent=True, hidden_us=5 * MS)
    assert second.refused is not None
    assert plan.counts() == [(2, 2), (2, 1), (1, 1)]


def test_a_hidden_order_is_hidden_until_its_time_and_its_frames_come_then() -> None:
    plan = faults({"fault": "late_visibility", "late_ms": 5})
    plan.hide("a", START_US + 500)
    assert plan.hides("a", START_US + 499)
    assert not plan.hides("a", START_US + 500)
    assert not plan.hides("b", START_US)
    assert plan.frame(FrameKind.USER_ORDER, None, "a", START_US + 100) == FrameVerdict((400,))


def test_no_more_orders_are_hidden_than_memory_is_meant_to_hold() -> None:
    plan = faults()
    for number in range(HIDDEN_ORDERS_MAX + 1):
        plan.hide(str(number), START_US + 10)
    assert not plan.hides("0", START_US)
    assert plan.hides("1", START_US)


def test_a_stream_is_silent_alone_or_with_the_other() -> None:
    only = faults({"fault": "silent_stream", "stream": "user", "for_ms": 5})
    both = faults({"fault": "silent_stream"})
    assert [only.is_silent(stream, START_US) for stream in Stream] == [True, False]
    assert [both.is_silent(stream, START_US) for stream in Stream] == [True, True]
    assert not only.is_silent(Stream.USER, START_US + 5 * MS)
    assert only.frame(FrameKind.USER_TRADE, None, "a", START_US).delays_us == ()
    assert only.frame(FrameKind.MARKET_QUOTE, None, None, START_US) == AS_IT_IS


def test_clock_and_balances_are_wrong_for_a_span() -> None:
    plan = faults(
        {"fault": "clock_skew", "skew_ms": -1_500, "for_ms": 5},
        {"fault": "wrong_balances", "currency": "USDT", "amount": "-0.5", "for_ms": 5},
        {"fault": "wrong_balances", "currency": "USDT", "amount": "0.25", "for_ms": 5},
    )
    assert plan.skew_us(START_US) == -1_500_000
    assert plan.balance_offsets(START_US) == {"USDT": -(10**16) // 4}
    later = START_US + 5 * MS
    assert (plan.skew_us(later), plan.balance_offsets(later)) == (0, {})


def test_a_venue_comes_back_from_maintenance_cancel_only_then_in_auction_then_open() -> None:
    plan = faults(
        {"fault": "maintenance", "after_ms": 10, "for_ms": 10},
        {"fault": "clock_skew", "skew_ms": 1, "after_ms": 15},
        {"fault": "instrument_status", "status": "CANCEL_ONLY", "after_ms": 10, "for_ms": 20},
        {"fault": "instrument_status", "status": "AUCTION", "after_ms": 30, "for_ms": 5, "symbol": "BTC-USDT"},
    )
    done: list[tuple[int, list[Any]]] = []
    now_us: int | None = START_US
    while now_us is not None:
        done.append(((now_us - START_US) // MS, plan.advance(now_us)))
        now_us = plan.next_due_us(now_us)
    both = [SetStatus(symbol, InstrumentStatus.CANCEL_ONLY) for symbol in SYMBOLS]
    assert done == [
        (0, []),
        (10, [CloseStreams(), *both]),
        (15, []),
        (20, []),
        (30, [SetStatus("BTC-USDT", InstrumentStatus.AUCTION), SetStatus("ETH-USDT", InstrumentStatus.OPEN)]),
        (35, [SetStatus("BTC-USDT", InstrumentStatus.OPEN)]),
    ]


def test_a_plan_that_is_withdrawn_opens_what_it_had_closed() -> None:
    plan = faults({"fault": "instrument_status", "status": "HALTED", "symbol": "ETH-USDT"})
    plan.advance(START_US)
    assert plan.withdraw() == [SetStatus("ETH-USDT", InstrumentStatus.OPEN)]
    assert plan.withdraw() == []


@pytest.mark.parametrize(
    ("rest", "part", "expected"),
    [
        (10, FillPart.ALL, 10),
        (10, FillPart.HALF, 4),
        (3, FillPart.HALF, 2),
        (2, FillPart.HALF, 2),
        (1, FillPart.HALF, 1),
    ],
)
def test_half_of_an_order_is_whole_steps_and_at_least_one(rest: int, part: FillPart, expected: int) -> None:
    assert part_of(rest, 2, part) == expected


BAD_RULES: list[tuple[dict[str, Any], str]] = [
    ({"fault": "bad_weather"}, "fault"),
    ({"fault": "delay_frames"}, "delay_frames needs late_ms"),
    ({"fault": "rate_limit_storm", "calls_max": 3}, "rate_limit_storm needs ban_ms"),
    ({"fault": "rate_limit", "late_ms": 3}, "rate_limit has no use for late_ms"),
    ({"fault": "maintenance", "first": 2}, "maintenance has no use for first"),
    ({"fault": "late_visibility", "late_ms": 3, "calls": ["query"]}, "late_visibility has no use for calls"),
    ({"fault": "drop_frames", "calls": ["query"]}, "drop_frames has no use for calls"),
    ({"fault": "rate_limit", "first": 3, "last": 2}, "last 2 is before first 3"),
    ({"fault": "rate_limit", "per_million": 0}, "per_million"),
    ({"fault": "wrong_balances", "currency": "USDT", "amount": 0.5}, "amount"),
    ({"fault": "wrong_balances", "currency": "USDT", "amount": "0." + "0" * 16 + "1"}, "16 decimal places"),
    ({"fault": "rate_limit", "retry_after": 2}, "retry_after"),
]


@pytest.mark.parametrize(("rule", "expected"), BAD_RULES)
def test_a_rule_that_would_do_nothing_or_lacks_a_number_is_refused(rule: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as refused:
        FaultRule.model_validate(rule)
    assert expected in str(refused.value)


NEEDED: dict[str, Any] = {
    "calls_max": 1, "ban_ms": 1, "accepts": "all", "late_ms": 1, "cancel_answer": "taken", "fills": "all",
    "skew_ms": 1, "status": "HALTED", "currency": "USDT", "amount": "1",
}  # fmt: skip


@pytest.mark.parametrize("fault", FaultType)
def test_every_fault_can_be_written_once_the_numbers_that_it_asks_for_are_given(fault: FaultType) -> None:
    given_numbers: dict[str, Any] = {}
    try:
        FaultRule.model_validate({"fault": fault})
    except ValidationError as error:
        asked_for = error.errors()[0]["msg"].partition(" needs ")[2].split(", ")
        given_numbers = {name: NEEDED[name] for name in asked_for}
    assert FaultRule.model_validate({"fault": fault, **given_numbers}).rule().fault is fault


def test_the_document_has_an_example_of_every_fault_and_each_can_be_put() -> None:
    examples = re.findall(r'`(\{"fault".*?\})`', DOCUMENT.read_text())
    rules = [FaultRule.model_validate_json(example) for example in examples]
    assert {rule.fault for rule in rules} == set(FaultType)


RULES = [
    {"fault": "accept_then_timeout", "per_million": 300_000},
    {"fault": "server_error", "accepts": "half", "per_million": 400_000, "calls": ["place", "cancel"]},
    {"fault": "rate_limit_storm", "calls_max": 3, "ban_ms": 4, "per_million": 200_000},
    {"fault": "drop_frames", "per_million": 300_000},
    {"fault": "delay_frames", "late_ms": 3, "per_million": 500_000, "symbol": "BTC-USDT"},
]
questions = st.lists(
    st.tuples(
        st.sampled_from([*PRIVATE_CALLS, FrameKind.USER_ORDER, FrameKind.USER_TRADE, FrameKind.MARKET_QUOTE]),
        st.sampled_from([None, *SYMBOLS]),
        st.integers(0, 2_000),
    ),
    max_size=60,
)


def answers(asked: list[tuple[Any, str | None, int]], rules: list[dict[str, Any]], seed: int) -> list[Any]:
    plan, now_us, said = faults(*rules, seed=seed), START_US, []
    for kind, symbol, step_us in asked:
        now_us += step_us
        ask = plan.call(kind, symbol, now_us) if isinstance(kind, CallKind) else plan.frame(kind, symbol, "a", now_us)
        said.append(ask)
    return [*said, plan.counts(), plan.banned_until_us]


@settings(max_examples=200, deadline=None)
@given(questions, st.integers(0, 2**63 - 1))
def test_the_same_plan_seed_and_calls_give_the_same_faults(asked: list[Any], seed: int) -> None:
    assert answers(asked, RULES, seed) == answers(asked, RULES, seed)


@settings(max_examples=200, deadline=None)
@given(questions, st.integers(0, 2**63 - 1))
def test_rules_that_are_added_behind_leave_the_others_as_they_were(asked: list[Any], seed: int) -> None:
    """Each rule draws from numbers of its own."""
    mixed, alone = answers(asked, RULES, seed), answers(asked, RULES[:3], seed)
    for (kind, *_), in_company, by_itself in zip(asked, mixed, alone, strict=False):
        assert not isinstance(kind, CallKind) or in_company == by_itself


@settings(max_examples=100, deadline=None)
@given(questions)
def test_a_plan_without_rules_changes_nothing(asked: list[Any]) -> None:
    plan = Faults(FaultPlan(), START_US, SYMBOLS)
    now_us = START_US
    for kind, symbol, step_us in asked:
        now_us += step_us
        if isinstance(kind, CallKind):
            assert plan.call(kind, symbol, now_us) is NO_FAULT
        else:
            assert plan.frame(kind, symbol, "a", now_us) is AS_IT_IS
    assert plan.next_due_us(now_us) is None
    assert plan.advance(now_us) == []


def test_how_often_something_happens_is_what_its_likelihood_says() -> None:
    plan = faults({"fault": "rate_limit", "per_million": 250_000})
    for _ in range(4_000):
        plan.call(CallKind.PLACE, None, START_US)
    ((seen, happened),) = plan.counts()
    assert seen == 4_000
    assert 900 < happened < 1_100
