"""What every metric is, read off the registry itself: for the documentation, and for whoever asks for a metric."""

from dataclasses import dataclass
from importlib import import_module

from prometheus_client.metrics import MetricWrapperBase

from tollgate_chassis.telemetry import metrics

_PARTS = {"histogram": ("_bucket", "_count", "_sum")}


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

    @property
    def series(self) -> dict[str, frozenset[str]]:
        """Return the labels of each series that it becomes."""
        return {
            f"{self.name}{part}": frozenset((*self.labels, "le") if part == "_bucket" else self.labels)
            for part in _PARTS.get(self.type, ("",))
        }


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
    return Described(emitter, name, family.type, labels, family.documentation)
