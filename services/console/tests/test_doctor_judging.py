"""The arithmetic of the objectives: shares, restarts, two instances, and too little to judge."""

from collections.abc import Mapping
from typing import Any

import pytest

from tollgate_console.doctor.judging import cycles_seen, judge
from tollgate_console.doctor.objectives import Latency, Level, Never, Objective, Ratio
from tollgate_console.doctor.report import ObjectiveResult, Outcome
from tollgate_console.doctor.scrapes import Scrape, increase, parse

COMMON: dict[str, Any] = {
    "name": "one",
    "what": "It is.",
    "why": "It must.",
    "miss": "is not",
    "response": "Look.",
    "runbook": "broker-lost",
    "services": ("execution",),
}
SUBMIT = "tollgate_venue_request_seconds"
LATENCY = Latency(**COMMON, kind="latency", metric=SUBMIT, only={"call": "submit"}, bound=0.5, unit="s", target=0.95)
RATIO = Ratio(
    **COMMON,
    kind="ratio",
    bad={"metric": "tollgate_venue_calls_total", "only": {"outcome": "rate_limited|banned"}},
    total={"metric": "tollgate_venue_calls_total", "except": {"outcome": "held_.*"}},
    target=0.95,
)
LEVEL = Level(
    **COMMON,
    kind="level",
    metric="tollgate_permit_age_seconds",
    reads="value",
    bound=1,
    unit="s",
    target=0.95,
    pauses_on="tollgate_kill_switch_engaged",
)
AGE = Level(
    **COMMON,
    kind="level",
    metric="tollgate_reconcile_last_round_timestamp_seconds",
    reads="age",
    bound=15,
    unit="s",
    target=0.95,
)
NEVER = Never(**COMMON, kind="none", metric="tollgate_escalated_orders", alerted_by="TollgateOrderEscalated")
RISES = Never(**COMMON, kind="none", metric="tollgate_operator_calls_unrecorded_total", alerted_by="TollgateX")
LIVE = "tollgate_live 1"


def page(at_s: float, *lines: str) -> Scrape:
    names = ("tollgate_live", "tollgate_cycle_id", "tollgate_kill_switch_engaged")
    metrics = {name for each in (LATENCY, RATIO, LEVEL, AGE, NEVER, RISES) for name in each.metrics}
    return parse("\n".join(lines) + "\n", {*names, *metrics}, at_s)


def judged(objective: Objective, *scrapes: Scrape, **others: Mapping[str, list[Scrape]]) -> ObjectiveResult:
    return judge(objective, "execution", {"execution": {"a": list(scrapes)}, **others})


def submits(fast: int, slow: int, call: str = "submit") -> tuple[str, ...]:
    labels = f'group="ORDERS",call="{call}"'
    return (
        f'{SUBMIT}_bucket{{{labels},le="0.25"}} 0',
        f'{SUBMIT}_bucket{{{labels},le="0.5"}} {fast}',
        f'{SUBMIT}_bucket{{{labels},le="+Inf"}} {fast + slow}',
        f"{SUBMIT}_count{{{labels}}} {fast + slow}",
    )


def calls(**counts: int) -> tuple[str, ...]:
    return tuple(
        f'tollgate_venue_calls_total{{group="ORDERS",call="submit",outcome="{outcome}"}} {count}'
        for outcome, count in counts.items()
    )


@pytest.mark.parametrize(
    ("fast", "slow", "outcome", "value"), [(19, 1, Outcome.PASS, 0.95), (18, 2, Outcome.FAIL, 0.9)]
)
def test_a_latency_is_the_share_at_or_below_its_bound(fast: int, slow: int, outcome: Outcome, value: float) -> None:
    """Only what rose within the window counts, and only the call that is asked for."""
    found = judged(
        LATENCY,
        page(0, *submits(100, 100), *submits(0, 0, "cancel")),
        page(1, *submits(100 + fast, 100 + slow), *submits(0, 50, "cancel")),
    )
    assert (found.outcome, found.observations) == (outcome, 20)
    assert found.value == pytest.approx(value)


def test_a_histogram_without_observations_is_no_data() -> None:
    """Nothing was sent: neither well nor not."""
    found = judged(LATENCY, page(0, *submits(7, 3)), page(1, *submits(7, 3)))
    assert (found.outcome, found.value, found.observations) == (Outcome.NO_DATA, None, 0)
    assert found.said == "nothing was observed, at least 1 are needed"


def test_silence_is_a_failure_where_the_objective_says_so() -> None:
    """Where there is always something to observe; a few are still too few to judge, and no silence."""
    loud = LATENCY.model_copy(update={"without_data": "fail", "least": 5})
    assert judged(loud, page(0, *submits(7, 3)), page(1, *submits(7, 3))).outcome is Outcome.FAIL
    few = judged(loud, page(0, *submits(7, 3)), page(1, *submits(7, 7)))
    assert (few.outcome, few.said) == (Outcome.NO_DATA, "only 4 observations, at least 5 are needed")
    assert judge(loud, "execution", {}).said == "its metrics were not to be had"
    assert judge(loud, "execution", {}).outcome is Outcome.FAIL
    assert judge(LATENCY, "execution", {}).outcome is Outcome.NO_DATA


def test_a_restart_within_the_window_loses_nothing_that_was_seen() -> None:
    """Counters begin anew at zero: what they then show has happened since, and what they showed before counts too."""
    scrapes = [page(0, *submits(10, 0)), page(1, *submits(16, 0)), page(2, *submits(3, 1)), page(3, *submits(3, 2))]
    found = judged(LATENCY, *scrapes)
    assert found.observations == 6 + 4 + 1
    assert found.value == pytest.approx(9 / 11)


def test_a_series_that_begins_within_the_window_began_at_zero() -> None:
    """A counter with labels has no series before it first counts."""
    found = judged(RATIO, page(0, *calls(answered=80)), page(1, *calls(answered=97, rate_limited=3)))
    assert (found.observations, found.outcome) == (20, Outcome.FAIL)
    assert found.value == pytest.approx(0.85)


def test_a_ratio_leaves_out_what_is_excepted() -> None:
    """What was held back was no call."""
    found = judged(
        RATIO,
        page(0, *calls(answered=0, banned=0, held_banned=0)),
        page(1, *calls(answered=39, banned=1, held_banned=500)),
    )
    assert (found.observations, found.outcome) == (40, Outcome.PASS)


def test_more_bad_than_all_is_not_less_than_nothing() -> None:
    """A retry may be counted a moment before its call."""
    found = judged(
        RATIO.model_copy(update={"total": RATIO.bad, "bad": RATIO.total}),
        page(0),
        page(1, *calls(answered=5, banned=1)),
    )
    assert (found.value, found.outcome) == (0.0, Outcome.FAIL)


def permits(*ages: float, live: int = 1) -> list[Scrape]:
    return [page(at, f"tollgate_live {live}", f"tollgate_permit_age_seconds {age}") for at, age in enumerate(ages)]


def test_a_level_is_the_share_of_the_time() -> None:
    """At the bound is well."""
    assert judged(LEVEL, *permits(*[1.0] * 19, 5)).outcome is Outcome.PASS
    found = judged(LEVEL, *permits(*[0.2] * 18, 1.01, 5))
    assert (found.outcome, found.observations, found.bound, found.unit) == (Outcome.FAIL, 20, 1, "s")
    assert found.value == pytest.approx(0.9)


def test_what_stands_by_neither_fails_a_level_nor_hides_a_failure() -> None:
    """Only the active instance's gauge says anything."""
    awful, fine = permits(*[99] * 9, live=0), permits(*[0.1] * 9, live=0)
    assert judge(LEVEL, "execution", {"execution": {"a": permits(0.1), "b": awful}}).outcome is Outcome.PASS
    failing = judge(LEVEL, "execution", {"execution": {"a": permits(9), "b": fine}})
    assert (failing.outcome, failing.observations) == (Outcome.FAIL, 1)
    assert judge(LEVEL, "execution", {"execution": {"b": awful}}).outcome is Outcome.NO_DATA


def test_a_level_is_not_judged_while_it_is_paused() -> None:
    """Under an engaged kill switch there is no permit, and there shall be none; before it there was."""
    engaged = {"r": [page(-1, "tollgate_kill_switch_engaged 0"), page(2, "tollgate_kill_switch_engaged 1")]}
    found = judged(LEVEL, *permits(0.1, 0.1, 9, 9, 9), risk=engaged)
    assert (found.outcome, found.observations) == (Outcome.PASS, 2)


def rounds(*times_s: float) -> list[Scrape]:
    name = "tollgate_reconcile_last_round_timestamp_seconds"
    return [page(1_000 + at, LIVE, f"{name} {time_s}") for at, time_s in enumerate(times_s)]


def test_an_age_is_counted_from_the_moment_that_the_gauge_names() -> None:
    """At the scrape's own time, and not when it is judged."""
    assert judged(AGE, *rounds(985, 990, 995)).outcome is Outcome.PASS
    assert judged(AGE, *rounds(984, 984, 984)).outcome is Outcome.FAIL


def test_a_moment_that_never_was_is_not_fifty_years_ago() -> None:
    """Zero says never yet."""
    assert judged(AGE, *rounds(0, 0)).outcome is Outcome.NO_DATA
    assert judged(AGE, *rounds(0, 1_000)).observations == 1


def test_gauges_before_the_window_do_not_count() -> None:
    """Prometheus gives one scrape more, for the counters."""
    readings = {"execution": {"a": permits(9, 0.1, 0.1)}}
    assert judge(LEVEL, "execution", readings, begin_s=0.5).outcome is Outcome.PASS
    assert judge(LEVEL, "execution", readings).outcome is Outcome.FAIL


def test_what_must_never_be_fails_at_one() -> None:
    """A gauge at any moment of the window."""
    shown = [page(at, LIVE, f"tollgate_escalated_orders {count}") for at, count in enumerate((0, 2, 0))]
    found = judged(NEVER, *shown)
    assert (found.outcome, found.value, found.target) == (Outcome.FAIL, 2, 0)
    assert judged(NEVER, shown[0], shown[2]).outcome is Outcome.PASS
    assert judged(NEVER, page(0, LIVE)).outcome is Outcome.NO_DATA


def test_a_counter_that_must_not_rise() -> None:
    """It may have risen before."""
    shown = [page(at, f'{RISES.metric}{{why="full"}} {count}') for at, count in enumerate((4, 4, 5))]
    assert judged(RISES, *shown[:2]).outcome is Outcome.PASS
    assert judged(RISES, *shown).outcome is Outcome.FAIL
    assert judged(RISES, shown[0]).outcome is Outcome.NO_DATA


def test_nan_is_no_sample() -> None:
    """As a gauge that cannot be known shows it."""
    assert judged(LEVEL, page(0, LIVE, "tollgate_permit_age_seconds NaN")).outcome is Outcome.NO_DATA


def test_the_clock_has_gone_on_by_what_the_luckiest_reader_saw() -> None:
    """A service that hung saw less."""
    seen = {
        "risk": {"a": [page(0, "tollgate_cycle_id 10"), page(1, "tollgate_cycle_id 12")]},
        "ledger": {"a": [page(0, "tollgate_cycle_id 10"), page(9, "tollgate_cycle_id 50")]},
    }
    assert cycles_seen(seen) == 40
    assert cycles_seen({"risk": {}}) is None


def test_only_what_is_asked_for_is_read_off_a_page() -> None:
    """Comments, other metrics, and those whose name only begins alike are passed over."""
    text = '# HELP tollgate_live x\ntollgate_live 1.0\ntollgate_lives 7\nother{a="b"} 1\n'
    assert dict(parse(text, ("tollgate_live",), 3).values) == {("tollgate_live", frozenset()): 1.0}


def test_nothing_has_risen_in_one_scrape() -> None:
    """It takes two to see a rise."""
    assert increase([page(0, *calls(answered=9))], "tollgate_venue_calls_total", {}, {}) == 0
