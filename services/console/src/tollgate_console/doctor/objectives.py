"""The objectives of a desk, read from ``deploy/slo.yaml``: refused as a whole when anything in it cannot be meant.

What is misspelt here would be an alert that never fires. So every key, metric, label, bound and service is held
against the registry of metrics, and each refusal names the field.
"""

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.settings import explain, read_yaml
from tollgate_chassis.telemetry.catalog import Described, catalog
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_contracts.envelope import Service

OBJECTIVES_FILE = "slo.yaml"
# The fastest of the usual burn rates; with a larger budget than its inverse its alert could never fire.
FASTEST_BURN = 14.4

Matchers = Annotated[dict[str, str], Field(default_factory=dict)]
"""Regular expressions by label, each for the whole value."""
_Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\n\"]+$")]
# A budget that the fastest burn can overspend, and one that is not nothing.
_Target = Annotated[float, Field(gt=1 - 1 / FASTEST_BURN, lt=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Selector(_Strict):
    """A metric, and which of its series count."""

    metric: str
    only: Matchers
    without: Annotated[dict[str, str], Field(alias="except", default_factory=dict)]

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, metric: str) -> str:
        _of_type(metric, "counter")
        return metric

    @field_validator("only", "without")
    @classmethod
    def _labels_exist(cls, matchers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        return _matching(matchers, info)


class _Objective(_Strict):
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{2,31}$")]
    what: _Line
    """What is promised."""
    why: _Line
    """Why it matters."""
    miss: _Line
    """What is said of the share that is not as promised, after a percentage."""
    response: _Line
    """What an operator looks at first."""
    runbook: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    """The anchor of its section in docs/runbook.md."""
    services: Annotated[tuple[Service, ...], Field(min_length=1)]
    without_data: Literal["no_data", "fail"] = "no_data"
    """What is said when nothing was observed."""
    least: Annotated[int, Field(ge=1)] = 1
    """Observations that it takes to judge."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that it is judged by."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _is_offered(self) -> Self:
        for name in self.metrics:
            silent = [service for service in self.services if service not in _metrics()[name].offered_by]
            if silent:
                raise ValueError(f"services: {', '.join(silent)} does not offer {name}")
        return self


class Latency(_Objective):
    """A share of a histogram's observations is at or below an edge of its buckets."""

    kind: Literal["latency"]
    metric: str
    only: Matchers
    bound: Annotated[float, Field(gt=0)]
    unit: str
    target: _Target

    @property
    def metrics(self) -> tuple[str, ...]:
        """Its one histogram."""
        return (self.metric,)

    @field_validator("metric")
    @classmethod
    def _is_histogram(cls, metric: str) -> str:
        _of_type(metric, "histogram")
        return metric

    @field_validator("only")
    @classmethod
    def _labels_exist(cls, matchers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        return _matching(matchers, info)

    @field_validator("bound")
    @classmethod
    def _is_an_edge(cls, bound: float, info: ValidationInfo) -> float:
        metric = _metrics().get(info.data.get("metric", ""))
        if metric is not None and bound not in metric.bounds:
            raise ValueError(f"no bucket ends there; those of {metric.name} end at {list(metric.bounds)}")
        return bound


class Ratio(_Objective):
    """Of what one counter counts, a share is not counted by another."""

    kind: Literal["ratio"]
    bad: Selector
    total: Selector
    target: _Target

    @property
    def metrics(self) -> tuple[str, ...]:
        """Both counters."""
        return (self.bad.metric, self.total.metric)


class Level(_Objective):
    """For a share of the time a gauge, or the age of the moment that it names, is at or below a bound."""

    kind: Literal["level"]
    metric: str
    reads: Literal["value", "age"]
    bound: Annotated[float, Field(gt=0)]
    unit: str
    pauses_on: str | None = None
    """A gauge of any service; while it is 1 anywhere on the desk, nothing is judged."""
    target: _Target

    @property
    def metrics(self) -> tuple[str, ...]:
        """Its one gauge."""
        return (self.metric,)

    @field_validator("metric", "pauses_on")
    @classmethod
    def _is_gauge(cls, metric: str | None) -> str | None:
        if metric is not None and _of_type(metric, "gauge").labels:
            raise ValueError(f"{metric} has labels, expected a gauge of one series for each service")
        return metric

    @field_validator("reads")
    @classmethod
    def _is_a_moment(cls, reads: str, info: ValidationInfo) -> str:
        metric = info.data.get("metric")
        if metric is not None and metric.endswith("_timestamp_seconds") != (reads == "age"):
            raise ValueError("age is expected for a metric that ends in _timestamp_seconds, and value for any other")
        return reads


class Never(_Objective):
    """A gauge that is always 0, or a counter that does not rise."""

    kind: Literal["none"]
    metric: str
    alerted_by: Annotated[str, Field(pattern=r"^Tollgate[A-Za-z]+$")]
    """The alert of deploy/prometheus/rules that fires at once; there is no budget that could burn."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Its one metric."""
        return (self.metric,)

    @property
    def rises(self) -> bool:
        """Whether it is a counter."""
        return _metrics()[self.metric].type == "counter"

    @field_validator("metric")
    @classmethod
    def _is_measured(cls, metric: str) -> str:
        _of_type(metric, "counter", "gauge")
        return metric


Objective = Annotated[Latency | Ratio | Level | Never, Field(discriminator="kind")]


class Objectives(_Strict):
    """The content of ``deploy/slo.yaml``."""

    version: Literal[1]
    objectives: Annotated[tuple[Objective, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_are_different(self) -> Self:
        names = [objective.name for objective in self.objectives]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"name: {', '.join(twice)} is there twice, expected every name once")
        return self


def read_objectives(path: Path) -> tuple[Objective, ...]:
    """Return the objectives in a file; raises ``ConsoleError`` that names every field that is wrong."""
    try:
        content = read_yaml(path)
        return Objectives.model_validate(content).objectives
    except BadConfiguration as error:
        raise ConsoleError(ConsoleExit.BAD_CONFIGURATION, error.why) from error
    except ValidationError as error:
        raise ConsoleError(ConsoleExit.BAD_CONFIGURATION, f"objectives {path}:\n{explain(error)}") from error


@cache
def _metrics() -> dict[str, Described]:
    return {metric.name: metric for metric in catalog()}


def _of_type(metric: str, *types: str) -> Described:
    found = _metrics().get(metric)
    if found is None:
        raise ValueError("no such metric; docs/operators.md has all of them")
    if found.type not in types:
        raise ValueError(f"{metric} is a {found.type}, expected a {' or a '.join(types)}")
    return found


def _matching(matchers: dict[str, str], info: ValidationInfo) -> dict[str, str]:
    metric = _metrics().get(info.data.get("metric", ""))
    for label, expression in matchers.items():
        if metric is not None and label not in metric.labels:
            raise ValueError(f"{metric.name} has no label {label}")
        try:
            re.compile(expression)
        except re.error as error:
            raise ValueError(f"{label}: {expression!r} is no regular expression: {error}") from error
    return matchers
