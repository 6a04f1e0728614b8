"""What a service showed of its metrics at one moment, and which of it an objective asks for."""

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client.parser import text_string_to_metric_families

Series: TypeAlias = tuple[str, frozenset[tuple[str, str]]]
"""A name and its labels."""
LIVE = "tollgate_live"
CYCLE = "tollgate_cycle_id"
_PARTS = ("_bucket", "_count")


@dataclass(frozen=True, slots=True)
class Scrape:
    """One page of metrics."""

    at_s: float
    """When it was taken, Unix time."""
    values: Mapping[Series, float]

    def value(self, name: str) -> float | None:
        """Return the value of a metric without labels; none where it is not shown, or not known."""
        found = self.values.get((name, frozenset()))
        return None if found is None or math.isnan(found) else found

    @property
    def is_live(self) -> bool:
        """Whether it is the active instance that shows this, caught up with the tape."""
        return self.value(LIVE) == 1


Instances: TypeAlias = Mapping[str, Sequence[Scrape]]
"""What each instance of one service showed, oldest first."""
Readings: TypeAlias = Mapping[str, Instances]
"""The same by service."""


def parse(text: str, names: Iterable[str], at_s: float) -> Scrape:
    """Return what a page in Prometheus' text format says of the metrics in ``names``, histograms in all their parts."""
    wanted = {f"{name}{part}" for name in names for part in ("", *_PARTS)}
    # Parsing a whole page costs ten times as much, and there are hundreds of pages.
    lines = (line for line in text.splitlines() if re.split(r"[{ ]", line, maxsplit=1)[0] in wanted)
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    samples = (sample for family in families for sample in family.samples)
    return Scrape(at_s, {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples})


def matches(series: Series, name: str, only: Mapping[str, str], without: Mapping[str, str]) -> bool:
    """Say whether a series has the name and the labels that are asked for, and none that is excepted."""
    if series[0] != name:
        return False
    labels = dict(series[1])
    return all(re.fullmatch(each, labels.get(label, "")) for label, each in only.items()) and not any(
        re.fullmatch(each, labels.get(label, "")) for label, each in without.items()
    )


def increase(
    scrapes: Sequence[Scrape], name: str, only: Mapping[str, str], without: Mapping[str, str], le: float | None = None
) -> float:
    """Return by how much the series that match have risen, together; of a histogram only the bucket ``le``.

    A series that fell began anew with its process, and one that was not there before began at zero.
    """
    risen = 0.0
    for before, after in itertools.pairwise(scrapes):
        for series, value in after.values.items():
            if not matches(series, name, only, without) or (le is not None and _edge(series) != le):
                continue
            earlier = before.values.get(series, 0.0)
            risen += value - earlier if value >= earlier else value
    return risen


def _edge(series: Series) -> float:
    return float(dict(series[1]).get("le", "nan"))
