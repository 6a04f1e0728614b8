"""The questions that panels ask of Prometheus, each for the desk that is chosen.

A second instance of a service stands by and offers every metric too: zeros, or what it has followed. So a gauge is
asked of the active instance only. Counters are summed: one that stands by counts nothing but what it reads itself.
"""

from collections.abc import Sequence

# Grafana's: at least four scrapes, so that a rate is never empty between two of them.
_WINDOW = "$__rate_interval"


def of(metric: str, **labels: str) -> str:
    """Return the metric's selector; a value that begins with ~ is a pattern, one that begins with ! is left out."""
    matchers = ['desk="$desk"', *(_matcher(label, value) for label, value in labels.items())]
    return f"{metric}{{{','.join(matchers)}}}"


def value(metric: str, by: str = "", **labels: str) -> str:
    """Return what the active instance says of a gauge, for each ``by``."""
    return f"max{_by(by)} ({of(metric, **labels)} and on (instance) {of('tollgate_live')} == 1)"


def each(metric: str, by: str = "service", **labels: str) -> str:
    """Return a gauge of which every instance's value counts, the highest for each ``by``."""
    return f"max{_by(by)} ({of(metric, **labels)})"


def age(metric: str, by: str = "") -> str:
    """Return how long ago a moment was, where it ever was: as it was scraped, because nobody knows what came since."""
    return f"min{_by(by)} (timestamp({of(metric)}) - ({of(metric)} > 0))"


def rate(metric: str, by: str = "", **labels: str) -> str:
    """Return how often a second something was counted."""
    return f"sum{_by(by)} (rate({of(metric, **labels)}[{_WINDOW}]))"


def grown(metric: str, by: str = "", over: str = "$__range", **labels: str) -> str:
    """Return how often something was counted within the time that is shown, or ``over``."""
    return f"sum{_by(by)} (increase({of(metric, **labels)}[{over}]))"


def quantile(share: float, histogram: str, by: str = "", **labels: str) -> str:
    """Return below what ``share`` of the observations lie."""
    grouping = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', grouping, **labels)})"


def or_zero(query: str, service: str, label: str = "") -> str:
    """Return the query, or zero while nothing of the kind has ever happened and the service is there to say so.

    A plain ``vector(0)`` would say the same of a service that is gone. ``label`` is what the legend names.
    """
    zero = f"0 * max({of('tollgate_live', service=service)})"
    return f"{query} or on () {_labelled(zero, label)}"


def or_zero_for_each(query: str) -> str:
    """Return a query by service, with zero for each service that has nothing to count and is there to say so."""
    return f"{query} or on (service) 0 * {each('tollgate_live')}"


def coded(metric: str, label: str, states: Sequence[str], **labels: str) -> str:
    """Return which of the states is in force, counted from 1; 0 where none is, so that it can be mapped to words."""
    return " + ".join(
        f"{number} * {value(metric, **labels, **{label: state})}" for number, state in enumerate(states, start=1)
    )


def _matcher(label: str, value: str) -> str:
    if value.startswith(("!", "~")):
        operator = "!=" if value.startswith("!") else "=~"
        return f'{label}{operator}"{value[1:]}"'
    return f'{label}="{value}"'


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""


def _labelled(query: str, label: str) -> str:
    return f'label_replace({query}, "{label}", "none", "", "")' if label else query
