"""Safe mode: when it begins, when it ends, and what it holds back."""

import json
from dataclasses import replace

import pytest
from execution_samples import SECOND_US

from tollgate_contracts.safety import Dependency
from tollgate_execution.core.safety import Limits, Safety, Sight, Watchman

D = Dependency
LIMITS = Limits(
    {D.VENUE_ORDERS: 2 * SECOND_US, D.USER_STREAM: 10 * SECOND_US, D.MARKET_DATA: 30 * SECOND_US}, 5 * SECOND_US
)
RECONCILED = replace(LIMITS, bad_us={**LIMITS.bad_us, D.RECONCILIATION: 60 * SECOND_US})


def sight(second: int, agreed: int | None = None, /, **bad_for_s: int) -> Sight:
    """Return what is seen at a second, with how many seconds each dependency has been bad."""
    bad = {Dependency(name): seconds * SECOND_US for name, seconds in bad_for_s.items()}
    return Sight(second * SECOND_US, bad, None if agreed is None else agreed * SECOND_US)


@pytest.mark.parametrize("dependency", list(LIMITS.bad_us))
def test_each_dependency_is_degraded_once_it_was_bad_for_longer_than_its_limit(dependency: Dependency) -> None:
    limit_s = LIMITS.bad_us[dependency] // SECOND_US
    assert Watchman(LIMITS).judge(sight(0, **{dependency.value: limit_s})) == ()
    assert Watchman(LIMITS).judge(sight(0, **{dependency.value: limit_s + 1})) == (dependency,)


def test_a_dependency_without_a_limit_is_never_judged() -> None:
    assert Watchman(LIMITS).judge(sight(0, PERMIT=10_000)) == ()


def test_what_is_degraded_is_named_in_the_order_of_the_contract() -> None:
    assert Watchman(LIMITS).judge(sight(0, MARKET_DATA=31, VENUE_ORDERS=3)) == (D.VENUE_ORDERS, D.MARKET_DATA)


def test_it_counts_as_well_again_only_after_it_has_been_well_for_a_while() -> None:
    watchman = Watchman(LIMITS)
    steps = (
        (sight(0, MARKET_DATA=31), (D.MARKET_DATA,)),
        (sight(1), (D.MARKET_DATA,)),
        (sight(4), (D.MARKET_DATA,)),
        (sight(5), ()),
        (sight(6), ()),
    )
    assert [watchman.judge(seen) for seen, _ in steps] == [expected for _, expected in steps]


def test_one_that_comes_and_goes_stays_degraded() -> None:
    watchman = Watchman(LIMITS)
    for second in range(0, 60, 4):
        assert watchman.judge(sight(second, MARKET_DATA=31)) == (D.MARKET_DATA,)
        assert watchman.judge(sight(second + 2)) == (D.MARKET_DATA,)


@pytest.mark.parametrize("dependency", [D.VENUE_ORDERS, D.USER_STREAM])
def test_after_orders_were_out_of_sight_it_ends_only_with_a_round_that_began_since_and_agrees(
    dependency: Dependency,
) -> None:
    watchman = Watchman(RECONCILED)
    bad = {dependency.value: 3_600}
    assert watchman.judge(sight(100, 40, **bad)) == (dependency,)
    assert watchman.judge(sight(110)) == (dependency,), "no round at all"
    assert watchman.judge(sight(120, 100)) == (dependency,), "a round that began while it was bad"
    assert watchman.judge(sight(130, 101)) == ()


def test_what_hides_no_orders_waits_for_no_round() -> None:
    watchman = Watchman(RECONCILED)
    watchman.judge(sight(0, MARKET_DATA=31))
    assert watchman.judge(sight(5)) == ()


def test_what_an_earlier_process_has_said_holds_until_this_one_has_seen_it_well_for_long_enough() -> None:
    watchman = Watchman(LIMITS, (D.MARKET_DATA, D.STOPPING))
    assert watchman.judge(sight(1_000)) == (D.MARKET_DATA,), "and its stopping is over with it"
    assert watchman.judge(sight(1_004)) == (D.MARKET_DATA,)
    assert watchman.judge(sight(1_005)) == ()


def test_safe_mode_survives_a_snapshot() -> None:
    for safety in (Safety(), Safety(engaged=True, degraded=(D.PERMIT, D.STOPPING), since_us=7)):
        assert Safety.from_json(json.loads(json.dumps(safety.to_json()))) == safety
