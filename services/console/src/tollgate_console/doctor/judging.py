"""The arithmetic of an objective: what was observed, which share of it was as promised, and whether that is enough.

Pure. A service may have two instances, of which one stands by: it counts nothing, so sums take both; of gauges only
the active one's say anything.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tollgate_console.doctor.objectives import Latency, Level, Never, Objective, Ratio
from tollgate_console.doctor.report import ObjectiveResult, Outcome
from tollgate_console.doctor.scrapes import CYCLE, LIVE, Instances, Readings, Scrape, increase


@dataclass(frozen=True, slots=True)
class Observed:
    """What there was to judge."""

    good: float
    """How many observations were as promised; of kind ``none`` what there was."""
    total: float


def metrics_needed(objectives: tuple[Objective, ...]) -> frozenset[str]:
    """Return the name of every metric that judging takes."""
    named = {name for objective in objectives for name in objective.metrics}
    pausing = {each.pauses_on for each in objectives if isinstance(each, Level) and each.pauses_on is not None}
    return frozenset({*named, *pausing, LIVE, CYCLE})


def judge(objective: Objective, service: str, readings: Readings, begin_s: float = 0.0) -> ObjectiveResult:
    """Judge one service by what was read; gauges from ``begin_s`` on, counters from the scrape before it."""
    instances = readings.get(service, {})
    match objective:
        case Latency():
            observed = _observe_latency(objective, instances)
        case Ratio():
            observed = _observe_ratio(objective, instances)
        case Level():
            observed = _observe_level(objective, instances, readings, begin_s)
        case Never():
            observed = _observe_never(objective, instances, begin_s)
    outcome, said = _decide(objective, observed, is_shown=any(instances.values()))
    return ObjectiveResult(
        name=objective.name,
        service=service,
        kind=objective.kind,
        outcome=outcome,
        value=_value(objective, observed),
        target=0.0 if isinstance(objective, Never) else objective.target,
        bound=objective.bound if isinstance(objective, Latency | Level) else None,
        unit=objective.unit if isinstance(objective, Latency | Level) else "",
        observations=round(observed.total),
        said=said,
        runbook=f"docs/runbook.md#{objective.runbook}",
    )


def cycles_seen(readings: Readings) -> int | None:
    """Return by how much the tape's clock went on, as the service saw it that saw the most of it."""
    spans = []
    for instances in readings.values():
        for scrapes in instances.values():
            numbers = [number for each in scrapes if (number := each.value(CYCLE)) is not None]
            spans += [round(numbers[-1] - numbers[0])] if numbers else []
    return max(spans, default=None)


def _decide(objective: Objective, observed: Observed, *, is_shown: bool) -> tuple[Outcome, str]:
    if observed.total < objective.least:
        silent_is_bad = objective.without_data == "fail" and not observed.total
        outcome = Outcome.FAIL if silent_is_bad else Outcome.NO_DATA
        if not is_shown:
            return outcome, "its metrics were not to be had"
        return outcome, f"{_several(observed.total)}, at least {objective.least} are needed"
    target = None if isinstance(objective, Never) else objective.target
    kept = not observed.good if target is None else observed.good >= target * observed.total
    return (Outcome.PASS if kept else Outcome.FAIL), objective.what


def _several(total: float) -> str:
    number = round(total)
    return "nothing was observed" if not number else f"only {number} observation{'s' if number > 1 else ''}"


def _value(objective: Objective, observed: Observed) -> float | None:
    if not observed.total:
        return None
    return observed.good if isinstance(objective, Never) else observed.good / observed.total


def _observe_latency(objective: Latency, instances: Instances) -> Observed:
    bucket, count = f"{objective.metric}_bucket", f"{objective.metric}_count"
    return Observed(
        good=sum(increase(each, bucket, objective.only, {}, objective.bound) for each in instances.values()),
        total=sum(increase(each, count, objective.only, {}) for each in instances.values()),
    )


def _observe_ratio(objective: Ratio, instances: Instances) -> Observed:
    bad, total = (
        sum(increase(each, one.metric, one.only, one.without) for each in instances.values())
        for one in (objective.bad, objective.total)
    )
    # A retry may be counted a moment before the call that it makes.
    return Observed(good=max(total - bad, 0.0), total=total)


def _observe_level(objective: Level, instances: Instances, readings: Readings, begin_s: float) -> Observed:
    good = total = 0
    for scrape, value in _shown(objective.metric, instances, begin_s):
        if objective.reads == "age" and not value:
            continue
        if objective.pauses_on is not None and _is_paused(objective.pauses_on, readings, scrape.at_s):
            continue
        total += 1
        good += (scrape.at_s - value if objective.reads == "age" else value) <= objective.bound
    return Observed(good, total)


def _observe_never(objective: Never, instances: Instances, begin_s: float) -> Observed:
    shown = [value for _, value in _shown(objective.metric, instances, begin_s)]
    if objective.rises:
        risen = sum(increase(each, objective.metric, {}, {}) for each in instances.values())
        scrapes = sum(len(each) for each in instances.values())
        return Observed(risen, scrapes if any(len(each) > 1 for each in instances.values()) else 0)
    return Observed(max(shown, default=0.0), len(shown))


def _shown(metric: str, instances: Instances, begin_s: float) -> Iterator[tuple[Scrape, float]]:
    """Yield what the active instance showed of a gauge; of several series the largest."""
    for scrapes in instances.values():
        for scrape in scrapes:
            values = [value for (name, _), value in scrape.values.items() if name == metric and not math.isnan(value)]
            if values and scrape.is_live and scrape.at_s >= begin_s:
                yield scrape, max(values)


def _is_paused(metric: str, readings: Readings, at_s: float) -> bool:
    """Say whether the gauge was 1 at a moment, as each instance of any service had shown it last."""
    for instances in readings.values():
        for scrapes in instances.values():
            before = [each for each in scrapes if each.at_s <= at_s] or list(scrapes[:1])
            if before and before[-1].value(metric) == 1:
                return True
    return False
