"""The statistics of a report: floats, for what they say is uncertain by far more than a float's last digit.

A number alone says little of a small sample, so each has an interval: Wilson's for a share, Student's for a mean, and
for what has no formula - a ratio of sums, a ratio of mean and deviation - resampling with a fixed seed, bias-corrected
and accelerated, so that the same books give the same report. All are two-sided, with a confidence of 95 %.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats  # type: ignore[import-untyped]  # - the package has no types

from tollgate_research.report.values import Estimate, Interval

CONFIDENCE = 0.95
DAYS_A_YEAR = 365
"""Crypto trades every day."""
# From five days on a resampled interval is better than none.
RETURNS_MIN = 5
# Above this many a resampled interval and one by formula do not differ, and the resampling takes seconds.
RESAMPLED_MAX = 1_000
_RESAMPLES = 4_999
_SEED = 20_091_031
# Values that differ by less than this part of the largest differ in how a division has ended, and in nothing else.
_FLAT = 1e-9
# Values that one round of resampling holds at once: some ten megabytes.
_AT_ONCE = 1_000_000


@dataclass(frozen=True, slots=True)
class Moments:
    """Count, mean and sample deviation of some values; mean and deviation are null without, or with too few."""

    count: int
    mean: float | None
    deviation: float | None


def share(hits: int, count: int) -> Estimate:
    """Return ``hits / count`` with Wilson's interval."""
    if count == 0:
        return Estimate(None, None, 0)
    bounds = stats.binomtest(hits, count).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(hits / count, Interval(float(bounds.low), float(bounds.high), "Wilson"), count)


def mean(sample: Moments) -> Estimate:
    """Return a mean with Student's interval, which one value or equal ones do not have."""
    if sample.mean is None or sample.deviation is None or sample.deviation <= _FLAT * abs(sample.mean):
        return Estimate(sample.mean, None, sample.count)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, sample.count - 1) * sample.deviation / math.sqrt(sample.count)
    interval = Interval(float(sample.mean - reach), float(sample.mean + reach), "Student")
    return Estimate(sample.mean, interval, sample.count)


@dataclass(frozen=True, slots=True)
class Results:
    """Sums over the results of some trips: gains and losses, both above zero, and their squares."""

    count: int
    gained: float
    lost: float
    gained_squared: float
    lost_squared: float


def profit_factor(sums: Results, sample: Sequence[float] | None) -> Estimate:
    """Return gains over losses; the interval is resampled from ``sample``, or by the delta method without one.

    Without a loss there is no factor.
    """
    if not sums.lost:
        return Estimate(None, None, sums.count)
    if not sums.gained:
        return Estimate(0.0, None, sums.count)
    interval = _factor_by_formula(sums) if sample is None else _factor_resampled(sample)
    return Estimate(sums.gained / sums.lost, interval, sums.count)


def _factor_by_formula(sums: Results) -> Interval:
    # A trip has a gain or a loss and never both, so the covariance is the product of the means, below zero.
    gain, loss = sums.gained / sums.count, sums.lost / sums.count
    gain_variance = sums.gained_squared / sums.count / gain**2 - 1
    loss_variance = sums.lost_squared / sums.count / loss**2 - 1
    # Of the logarithm, which is nearer to normal and has no bound at zero.
    deviation = math.sqrt(max(gain_variance + loss_variance + 2, 0) / sums.count)
    reach = math.exp(stats.norm.ppf((1 + CONFIDENCE) / 2) * deviation)
    factor = gain / loss
    return Interval(factor / reach, factor * reach, "delta method")


def _factor_resampled(sample: Sequence[float]) -> Interval | None:
    values = np.asarray(sample, dtype=float)

    def gained_share(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        """The factor by another name, that is finite also where a resample has no loss."""
        gains = np.where(drawn > 0, drawn, 0.0).sum(axis=axis)
        total = np.abs(drawn).sum(axis=axis)
        return np.asarray(np.divide(gains, total, out=np.zeros_like(total), where=total > 0))

    bounds = _resampled(values, gained_share)
    if bounds is None:
        return None
    low, high = bounds
    return Interval(_factor(low) or 0.0, _factor(high), "bootstrap")


def _factor(gained_share: float) -> float | None:
    return gained_share / (1 - gained_share) if gained_share < 1 else None


def sharpe(returns: Sequence[float]) -> Estimate:
    """Return mean over sample deviation of daily returns, a year's; money elsewhere is taken to bring nothing."""
    values = np.asarray(returns, dtype=float)
    if len(values) < 2 or _is_flat(values):  # noqa: PLR2004 - one has no deviation
        return Estimate(None, None, len(values))
    return _a_year(values, _deviation)


def sortino(returns: Sequence[float]) -> Estimate:
    """Return mean over downside deviation from zero of daily returns, a year's; without a losing day there is none."""
    values = np.asarray(returns, dtype=float)
    if len(values) < 2 or float(_downside(values)) <= _FLAT * np.abs(values).max():  # noqa: PLR2004 - no sample
        return Estimate(None, None, len(values))
    return _a_year(values, _downside)


def _deviation(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(drawn.std(axis=axis, ddof=1))


def _downside(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.sqrt(np.mean(np.minimum(drawn, 0.0) ** 2, axis=axis)))


def _a_year(values: np.ndarray, spread: Callable[[np.ndarray, int], np.ndarray]) -> Estimate:
    """Return mean over spread, for a year."""

    def slope(drawn: np.ndarray, axis: int = -1) -> np.ndarray:
        """The ratio by another name, between -1 and 1, that is finite also where a resample has no spread."""
        average = drawn.mean(axis=axis)
        length = np.hypot(average, spread(drawn, axis))
        return np.asarray(np.divide(average, length, out=np.zeros_like(average), where=length > 0))

    year = math.sqrt(DAYS_A_YEAR)
    estimate = Estimate(float(values.mean() / spread(values, -1)) * year, None, len(values))
    bounds = _resampled(values, slope) if len(values) >= RETURNS_MIN else None
    low, high = (None, None) if bounds is None else (_ratio(bounds[0]), _ratio(bounds[1]))
    if low is None:
        return estimate
    return replace(estimate, interval=Interval(low * year, None if high is None else high * year, "bootstrap"))


def _ratio(slope: float) -> float | None:
    return slope / math.sqrt(1 - slope**2) if abs(slope) < 1 - _FLAT else None


def _is_flat(values: np.ndarray) -> bool:
    return bool(np.ptp(values) <= _FLAT * np.abs(values).max())


def _resampled(values: np.ndarray, statistic: object) -> tuple[float, float] | None:
    """Return the bounds of a bootstrap interval; none where nothing varies."""
    if len(values) < 2 or _is_flat(values):  # noqa: PLR2004 - one value resamples to itself
        return None
    found = stats.bootstrap(
        (values,),
        statistic,
        n_resamples=_RESAMPLES,
        batch=max(_AT_ONCE // len(values), 1),
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else None
