"""Each statistic beside an independent library's, or beside what is known of it; and what too little gives."""

import math
from random import Random

import empyrical
import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from tollgate_research.report import statistics
from tollgate_research.report.statistics import Moments, Results
from tollgate_research.report.values import Estimate

CHANCE = Random(11)  # noqa: S311 - the same sample in every run
RETURNS = [CHANCE.gauss(0.002, 0.015) for _ in range(90)]
NETS = [CHANCE.gauss(3, 20) for _ in range(400)]


def moments(values: list[float]) -> Moments:
    return Moments(len(values), float(np.mean(values)), float(np.std(values, ddof=1)))


def results(values: list[float]) -> Results:
    gains, losses = [value for value in values if value > 0], [-value for value in values if value < 0]
    squares = (sum(value**2 for value in gains), sum(value**2 for value in losses))
    return Results(len(values), sum(gains), sum(losses), *squares)


def test_sharpe_and_sortino_are_those_of_another_library():
    values = np.array(RETURNS)
    assert statistics.sharpe(RETURNS).value == pytest.approx(empyrical.sharpe_ratio(values, annualization=365))
    assert statistics.sortino(RETURNS).value == pytest.approx(empyrical.sortino_ratio(values, annualization=365))


@pytest.mark.parametrize(("hits", "count"), [(0, 1), (1, 1), (3, 7), (55, 100), (99, 100), (0, 40), (612, 1_000)])
def test_the_interval_of_a_share_is_that_of_another_library(hits: int, count: int):
    found = statistics.share(hits, count)
    low, high = proportion_confint(hits, count, alpha=0.05, method="wilson")
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high))
    assert found.value == hits / count


def test_the_interval_of_a_mean_is_that_of_another_library():
    found = statistics.mean(moments(NETS[:12]))
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx(DescrStatsW(NETS[:12]).tconfint_mean(0.05))


def test_a_profit_factor_is_gains_over_losses_and_its_two_intervals_agree_on_a_large_sample():
    resampled, by_formula = statistics.profit_factor(results(NETS), NETS), statistics.profit_factor(results(NETS), None)
    gained, lost = sum(value for value in NETS if value > 0), -sum(value for value in NETS if value < 0)
    assert resampled.value == by_formula.value == pytest.approx(gained / lost)
    one, other = resampled.interval, by_formula.interval
    assert one is not None
    assert other is not None
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=0.05)


@pytest.mark.parametrize("size", [20, 60])
def test_an_interval_of_95_percent_holds_the_truth_about_as_often(size: int):
    """Of gains of 2 and losses of 1, a quarter gains, the true factor is two thirds; Sharpe and Sortino by the like."""
    chance, held, rounds = Random(size), {"factor": 0, "sharpe": 0, "sortino": 0}, 100  # noqa: S311 - the same samples in every run
    for _ in range(rounds):
        nets = [2.0 if chance.random() < 0.25 else -1.0 for _ in range(size)]
        returns = [chance.gauss(0, 0.01) for _ in range(size)]
        held["factor"] += holds(statistics.profit_factor(results(nets), nets), 2 / 3)
        held["sharpe"] += holds(statistics.sharpe(returns), 0)
        # Of the ratio itself: a mean of a twentieth over a downside of one, with a loss of one in half of the days.
        losses = [1.1 if chance.random() < 0.5 else -1.0 for _ in range(size)]
        held["sortino"] += holds(statistics.sortino(losses), 0.05 / math.sqrt(0.5) * math.sqrt(365))
    assert all(0.88 <= count / rounds <= 1 for count in held.values()), held


def holds(estimate: Estimate, truth: float) -> bool:
    interval = estimate.interval
    return interval is not None and interval.low <= truth <= (math.inf if interval.high is None else interval.high)


def test_the_same_sample_gives_the_same_interval():
    assert statistics.sharpe(RETURNS) == statistics.sharpe(list(RETURNS))
    assert statistics.profit_factor(results(NETS), NETS) == statistics.profit_factor(results(NETS), list(NETS))


def test_a_sortino_has_an_interval_around_it():
    found = statistics.sortino(RETURNS)
    assert found.interval is not None
    assert found.interval.low < found.value < found.interval.high


# Equal but for what a division leaves in the last digit.
NEARLY_EQUAL = [0.01, math.nextafter(0.01, 1), 0.01, math.nextafter(0.01, 0), 0.01, 0.01]


@pytest.mark.parametrize("sign", [1, -1])
def test_returns_that_differ_in_their_last_digit_alone_do_not_vary(sign: int):
    assert statistics.sharpe([sign * value for value in NEARLY_EQUAL]).value is None
    nets = [1e6 * value for value in NEARLY_EQUAL]
    assert statistics.mean(moments(nets)).interval is None


def test_a_loss_that_is_a_last_digit_is_no_losing_day():
    assert statistics.sortino([0.01, 0.02, 0.015, -1e-18, 0.01]).value is None


def test_days_that_might_all_have_been_alike_set_no_bound_above():
    """Of five days, four of them equal, every third resample has no deviation: its ratio is without bound, not zero."""
    sharpe = statistics.sharpe([0.01, 0.01, 0.01, 0.01, 0.02]).interval
    assert sharpe is not None
    assert (sharpe.high, sharpe.low > 0) == (None, True)
    sortino = statistics.sortino([0.01, 0.02, 0.01, 0.03, -0.01]).interval
    assert sortino is not None
    assert sortino.high is None


def test_what_is_too_little_to_say_anything_of_is_not_said():
    nothing = statistics.Estimate(None, None, 0)
    assert statistics.share(0, 0) == nothing
    assert statistics.mean(Moments(0, None, None)) == nothing
    assert statistics.sharpe([]) == statistics.sortino([]) == nothing
    assert statistics.profit_factor(results([]), []) == nothing
    assert statistics.mean(Moments(1, 4.0, None)).interval is None
    assert statistics.mean(Moments(3, 4.0, 0.0)).interval is None
    assert statistics.sharpe([0.01]).value is None
    assert statistics.sharpe([0.01] * 9).value is None
    assert statistics.sharpe([0.01, 0.02, 0.03, 0.01]).interval is None
    assert statistics.sortino([0.01, 0.02]).value is None


def test_a_profit_factor_without_a_loss_is_none_and_without_a_gain_is_zero():
    assert statistics.profit_factor(results([1.0, 2.0]), [1.0, 2.0]).value is None
    lost = statistics.profit_factor(results([-1.0, -2.0]), [-1.0, -2.0])
    assert (lost.value, lost.interval) == (0.0, None)


def test_a_factor_of_a_sample_that_might_have_had_no_loss_has_no_bound_above():
    interval = statistics.profit_factor(results([5.0, 4.0, 6.0, -1.0]), [5.0, 4.0, 6.0, -1.0]).interval
    assert interval is not None
    assert interval.high is None
    assert interval.low < 15
