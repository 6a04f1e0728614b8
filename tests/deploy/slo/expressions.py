"""An objective as Prometheus asks for it: the share that was not as promised, and when that is too much."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.utils import floatToGoString

from tollgate_console.doctor.objectives import Latency, Level, Ratio, Selector

Budgeted = Latency | Ratio | Level
"""Kinds with a budget that can burn."""
BY = "by (desk, service)"


@dataclass(frozen=True)
class Burn:
    """Two windows, over both of which the budget burns so many times as fast as it may."""

    short: str
    long: str
    times: float

    def limit(self, target: float) -> float:
        """Return the share over both windows from which on that is so."""
        return round(self.times * (1 - target), 6)


# Google's SRE workbook, chapter 5: these spend 2, 5, 10 and 10 % of a month's budget.
FAST = (Burn("5m", "1h", 14.4), Burn("30m", "6h", 6))
SLOW = (Burn("2h", "1d", 3), Burn("6h", "3d", 1))
# Whoever reads six hours may do so less often, though an alert for a fast burn looks at them too.
FAST_WINDOWS, SLOW_WINDOWS = ("5m", "30m", "1h"), ("2h", "6h", "1d", "3d")


def recorded(window: str) -> str:
    """Return the name of the recorded share over a window."""
    return f"slo:error_ratio:rate{window}"


NOW = "slo:level_exceeded:now"
"""Of a level: 1 while it is beyond its bound."""


def selector(
    metric: str,
    services: tuple[str, ...],
    only: Mapping[str, str],
    without: Mapping[str, str],
    edge: float | None = None,
) -> str:
    """Return the series of a metric that are asked for; of a histogram's buckets the one that ends at ``edge``."""
    of = f'service="{services[0]}"' if len(services) == 1 else f'service=~"{"|".join(services)}"'
    labels = ['job="tollgate"', of, *(f'{name}=~"{value}"' for name, value in only.items())]
    labels += [f'{name}!~"{value}"' for name, value in without.items()]
    labels += [] if edge is None else [f'le="{floatToGoString(edge)}"']
    return f"{metric}{{{','.join(labels)}}}"


def rates(objective: Latency | Ratio, window: str, how: str = "rate") -> tuple[str, str]:
    """Return what was not as promised, or as promised of a latency, and all there was, by desk and service."""

    def summed(metric: str, only: Mapping[str, str], without: Mapping[str, str], edge: float | None = None) -> str:
        return f"sum {BY} ({how}({selector(metric, objective.services, only, without, edge)}[{window}]))"

    if isinstance(objective, Latency):
        return (
            summed(f"{objective.metric}_bucket", objective.only, {}, objective.bound),
            summed(f"{objective.metric}_count", objective.only, {}),
        )

    def of(one: Selector) -> str:
        return summed(one.metric, one.only, one.without)

    return of(objective.bad), of(objective.total)


def error_ratio(objective: Budgeted, window: str) -> str:
    """Return the share over a window that was not as promised; there is none where nothing was observed."""
    if isinstance(objective, Level):
        return f'avg_over_time({NOW}{{slo="{objective.name}"}}[{window}])'
    part, total = rates(objective, window)
    if isinstance(objective, Latency):
        return f"1 - {part} / {total}"
    # A counter with labels has no series before it first counts.
    return f"({part} or {total} * 0) / {total}"


def exceeded_now(objective: Level) -> str:
    """Return 1 where a level is beyond its bound, else 0, of the instance that is active; none while it is paused."""
    gauge = selector(objective.metric, objective.services, {}, {})
    # By the time of the sample, which is up to a scrape's interval before now; 0 is a moment that has never been.
    read = f"(timestamp({gauge}) - ({gauge} > 0))" if objective.reads == "age" else gauge
    live = 'on (desk, service, instance) (tollgate_live{job="tollgate"} == 1)'
    exceeded = f"max {BY} ({read} and {live}) > bool {objective.bound:g}"
    if objective.pauses_on is None:
        return exceeded
    return f'({exceeded}) unless on (desk) ({objective.pauses_on}{{job="tollgate"}} == 1)'


def burning(objective: Budgeted, burns: tuple[Burn, ...]) -> str:
    """Return the condition of an alert."""
    return " or ".join(f"({_burns(objective, burn)})" for burn in burns)


def _burns(objective: Budgeted, burn: Burn) -> str:
    limit = f"{burn.limit(objective.target):g}"
    both = " and ".join(f'{recorded(window)}{{slo="{objective.name}"}} > {limit}' for window in (burn.short, burn.long))
    if objective.least == 1 or isinstance(objective, Level):
        return both
    # Of a handful of observations one alone would be a fire.
    _, total = rates(objective, burn.long, "increase")
    return f"{both} and on (desk, service) {total} >= {objective.least}"
