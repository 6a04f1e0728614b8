"""What may be asked for in an objective: every metric of the registry, who offers it, and where its buckets end."""

from dataclasses import dataclass
from functools import cache
from importlib import import_module

from prometheus_client import Histogram

from tollgate_chassis.telemetry import metrics
from tollgate_chassis.telemetry.catalog import Described, catalog
from tollgate_console.provision.tokens import DOORS
from tollgate_contracts.envelope import SERVICES

# Modules that more than one service shows; each other is named for the one that does.
_OFFERED_BY: dict[str, tuple[str, ...]] = {"tape": SERVICES, "operators": DOORS}


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric, as far as an objective needs to know it."""

    described: Described
    edges: tuple[float, ...]
    """Upper bounds of a histogram's buckets, the infinite one left out; empty for other types."""

    @property
    def offered_by(self) -> tuple[str, ...]:
        """The services that show it."""
        return _OFFERED_BY.get(self.described.emitter, (self.described.emitter,))


@cache
def measured() -> dict[str, Measured]:
    """Return every metric by its name."""
    return {each.name: Measured(each, _edges().get(each.name, ())) for each in catalog()}


def _edges() -> dict[str, tuple[float, ...]]:
    edges = {}
    for emitter in metrics.CATALOG:
        for metric in vars(import_module(f"{metrics.__name__}.{emitter}")).values():
            if isinstance(metric, Histogram):
                (family,) = metric.describe()
                # A registry has no public way to ask for them without making a series.
                edges[family.name] = tuple(metric._upper_bounds[:-1])  # noqa: SLF001 - as above
    return edges
