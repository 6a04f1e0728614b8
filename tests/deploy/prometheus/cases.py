"""How a case of an alert is written down: what is scraped, when one looks, and for what it then fires.

Samples are in promtool's notation, 15 seconds apart; time begins at 0. Series are written for a desk without a name;
``Case.of`` gives it one, so that the same case can be played for two desks side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass

DESK = "@"
Series = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that an alert does or does not do."""

    alert: str
    tells: str
    given: Series
    fires: tuple[Mapping[str, str], ...] = ()
    """The labels of each alert that fires, as far as they matter; none where it is silent."""
    at: str = "10m"

    def of(self, desk: str) -> dict[str, str]:
        """Return what is scraped of ``desk``."""
        return {name.replace(DESK, desk): values for name, values in self.given.items()}


def firing(alert: str, tells: str, *given: Series, at: str = "10m", **labels: str) -> Case:
    """Return a case in which the alert fires once for the desk, with ``labels``."""
    return Case(alert, tells, _together(given), ({"desk": DESK, **labels},), at)


def silent(alert: str, tells: str, *given: Series, at: str = "10m") -> Case:
    """Return a case in which it does not fire."""
    return Case(alert, tells, _together(given), at=at)


def scraped(metric: str, service: str, values: str | float, instance: int = 1, **labels: str) -> Series:
    """Return one series of an instance of a service; a number stands for one that never changes."""
    where = {"desk": DESK, "instance": f"{service}-{instance}.{DESK}", "job": "tollgate", "service": service, **labels}
    samples = values if isinstance(values, str) else f"{values}x400"
    matchers = ",".join(f'{name}="{value}"' for name, value in where.items())
    return {f"{metric}{{{matchers}}}": samples}


def live(service: str, instance: int = 1) -> Series:
    """Return that an instance is the active one."""
    return {
        **scraped("tollgate_live", service, 1, instance),
        **scraped("tollgate_standing_by", service, 0, instance),
        **scraped("up", service, 1, instance),
    }


def standing_by(service: str, instance: int = 2) -> Series:
    """Return that an instance waits for the active one to fall."""
    return {
        **scraped("tollgate_live", service, 0, instance),
        **scraped("tollgate_standing_by", service, 1, instance),
        **scraped("up", service, 1, instance),
    }


def histogram(metric: str, service: str, buckets: Mapping[str, str], **labels: str) -> Series:
    """Return the buckets of a histogram and its count, which is that of the last one."""
    *_, all_of_them = buckets.values()
    given = dict(scraped(f"{metric}_count", service, all_of_them, 1, **labels))
    for bound, values in buckets.items():
        given |= scraped(f"{metric}_bucket", service, values, 1, **labels, le=bound)
    return given


def _together(given: tuple[Series, ...]) -> Series:
    return {name: values for series in given for name, values in series.items()}
