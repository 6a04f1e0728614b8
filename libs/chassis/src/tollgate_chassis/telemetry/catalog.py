"""What every metric is, read off the registry itself: for the documentation, and for whoever asks for a metric."""

from dataclasses import dataclass
from importlib import import_module

from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase

from tollgate_chassis.telemetry import metrics
from tollgate_contracts.envelope import SERVICES, Service

# Modules that more than one service has; each other is named for the one that has it.
_OFFERED_BY: dict[str, tuple[Service, ...]] = {"tape": SERVICES, "operators": ("risk", "execution", "ledger")}


@dataclass(frozen=True, slots=True)
class Described:
    """One metric."""

    emitter: str
    """The module of ``metrics`` that has it."""
    name: str
    """As Prometheus knows it; of a histogram without the parts' endings."""
    type: str
    labels: tuple[str, ...]
    meaning: str
    bounds: tuple[float, ...] = ()
    """Of a histogram, the upper bounds of its buckets but the last, which is infinite."""

    @property
    def offered_by(self) -> tuple[Service, ...]:
        """Return the services that offer it."""
        return _OFFERED_BY.get(self.emitter) or tuple(service for service in SERVICES if service == self.emitter)

    @property
    def series(self) -> dict[str, frozenset[str]]:
        """Return the labels of each series that it becomes."""
        return {
            f"{self.name}{part}": frozenset((*self.labels, "le") if part == "_bucket" else self.labels)
            for part in self._parts
        }

    @property
    def _parts(self) -> tuple[str, ...]:
        if self.type != "histogram":
            return ("",)
        # Where observations may be below zero a sum can fall, and the library offers none.
        return ("_bucket", "_count") if self.bounds[0] < 0 else ("_bucket", "_count", "_sum")


def catalog() -> tuple[Described, ...]:
    """Return every metric, in the order of ``metrics.CATALOG``."""
    return tuple(
        _described(emitter, metric)
        for emitter in metrics.CATALOG
        for metric in vars(import_module(f"{metrics.__name__}.{emitter}")).values()
        if isinstance(metric, MetricWrapperBase)
    )


def _described(emitter: str, metric: MetricWrapperBase) -> Described:
    (family,) = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = tuple(metric._labelnames)  # noqa: SLF001 - a registry has no public way to ask for them
    bounds = tuple(metric._upper_bounds[:-1]) if isinstance(metric, Histogram) else ()  # noqa: SLF001 - as above
    return Described(emitter, name, family.type, labels, family.documentation, bounds)
