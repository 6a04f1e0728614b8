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
    """Of gains of 2 and losses of 1, a quarter gains, the true factor is two thirds; of so many days it is Sharpe 0."""
    chance, held, sharpe_held, rounds = Random(size), 0, 0, 100  # noqa: S311 - the same samples in every run
    for _ in range(rounds):
        nets = [2.0 if chance.random() < 0.25 else -1.0 for _ in range(size)]
        factor = statistics.profit_factor(results(nets), nets).interval
        sharpe = statistics.sharpe([chance.gauss(0, 0.01) for _ in range(size)]).interval
        held += factor is not None and factor.low <= 2 / 3 <= (factor.high or math.inf)
        sharpe_held += sharpe is not None and sharpe.low <= 0 <= (sharpe.high or math.inf)
    assert 0.88 <= held / rounds <= 1
    assert 0.88 <= sharpe_held / rounds <= 1


def test_the_same_sample_gives_the_same_interval():
    assert statistics.sharpe(RETURNS) == statistics.sharpe(list(RETURNS))
    assert statistics.profit_factor(results(NETS), NETS) == statistics.profit_factor(results(NETS), list(NETS))


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
