"""The file of objectives: whatever cannot be meant is refused, by the field's name."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tollgate_chassis.telemetry.catalog import catalog
from tollgate_console.deployment import find_deployment
from tollgate_console.doctor.judging import metrics_needed
from tollgate_console.doctor.objectives import OBJECTIVES_FILE, Latency, Level, Never, Ratio, read_objectives
from tollgate_console.exits import ConsoleError, ConsoleExit

TEXT = {"name": "an-objective", "what": "It is.", "why": "It must.", "miss": "is not", "response": "Look."}
COMMON: dict[str, Any] = {**TEXT, "runbook": "broker-lost", "services": ["execution"], "target": 0.99}
LATENCY = {**COMMON, "kind": "latency", "metric": "tollgate_venue_request_seconds", "bound": 0.5, "unit": "s"}
RATIO = {
    **COMMON,
    "kind": "ratio",
    "bad": {"metric": "tollgate_venue_retries_total"},
    "total": {"metric": "tollgate_venue_calls_total", "except": {"outcome": "held_.*"}},
}
LEVEL = {**COMMON, "kind": "level", "metric": "tollgate_permit_age_seconds", "reads": "value", "bound": 1, "unit": "s"}
NEVER = {**{key: value for key, value in COMMON.items() if key != "target"}, "kind": "none"} | {
    "metric": "tollgate_escalated_orders",
    "alerted_by": "TollgateOrderEscalated",
}


def write(tmp_path: Path, *objectives: dict[str, Any], **changes: Any) -> Path:
    path = tmp_path / "slo.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "objectives": list(objectives), **changes}))
    return path


def without(objective: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in objective.items() if name != key}


def test_the_shipped_file_is_read_and_has_all_that_is_promised() -> None:
    """Every objective that an operator was promised is in it."""
    names = {each.name for each in read_objectives(find_deployment() / OBJECTIVES_FILE)}
    wanted = ("reconcile-lag", "submit-latency", "retry-rate", "rate-limited", "stale-data", "escalated-orders")
    assert {*wanted, "permit-freshness", "tick-to-order", "ledger-lag", "tape-lag", "cycle-lag"} <= names


def test_each_kind_is_read(tmp_path: Path) -> None:
    """And knows by which metrics it is judged."""
    lines = [{**line, "name": f"{line['kind']}-one"} for line in (LATENCY, RATIO, LEVEL, NEVER)]
    read = read_objectives(write(tmp_path, *lines))
    assert [type(each) for each in read] == [Latency, Ratio, Level, Never]
    assert metrics_needed(read) >= {line["metric"] for line in (LATENCY, LEVEL, NEVER)}
    assert metrics_needed(read) <= {metric.name for metric in catalog()}


@pytest.mark.parametrize(
    ("objective", "field", "words"),
    [
        ({**LATENCY, "taget": 1}, "taget", "no such key"),
        ({**LATENCY, "metric": "tollgate_venue_seconds"}, "metric", "no such metric"),
        ({**LATENCY, "metric": "tollgate_permit_age_seconds"}, "metric", "is a gauge, expected a histogram"),
        ({**LATENCY, "bound": 0.3}, "bound", "no bucket ends there"),
        ({**LATENCY, "only": {"route": "submit"}}, "only", "has no label route"),
        ({**LATENCY, "only": {"call": "("}}, "only", "no regular expression"),
        ({**LATENCY, "services": ["ledger"]}, "latency", "ledger does not offer tollgate_venue_request_seconds"),
        ({**LATENCY, "services": ["simvenue"]}, "services", "marketdata"),
        ({**LATENCY, "services": []}, "services", "at least 1"),
        ({**LATENCY, "target": 0.9}, "target", "greater than"),
        ({**LATENCY, "target": 1}, "target", "less than 1"),
        ({**LATENCY, "least": 0}, "least", "greater than or equal to 1"),
        ({**LATENCY, "kind": "latancy"}, "objectives.0", "latency"),
        ({**LATENCY, "name": "Spaces are no name"}, "name", "pattern"),
        (without(LATENCY, "why"), "why", "required"),
        ({**RATIO, "bad": {"metric": "tollgate_venue_request_seconds"}}, "bad.metric", "expected a counter"),
        ({**RATIO, "bad": {"metric": "tollgate_retries_total"}}, "bad.metric", "no such metric"),
        ({**RATIO, "total": {"metric": "tollgate_submits_total", "except": {"outcome": "x"}}}, "except", "no label"),
        ({**RATIO, "total": {"metric": "tollgate_submits_total", "but": {}}}, "total.but", "no such key"),
        ({**LEVEL, "metric": "tollgate_breaker_state"}, "metric", "has labels"),
        ({**LEVEL, "reads": "age"}, "reads", "_timestamp_seconds"),
        ({**LEVEL, "metric": "tollgate_snapshot_timestamp_seconds"}, "reads", "_timestamp_seconds"),
        ({**LEVEL, "pauses_on": "tollgate_kill"}, "pauses_on", "no such metric"),
        ({**NEVER, "target": 0.99}, "target", "no such key"),
        (without(NEVER, "alerted_by"), "alerted_by", "required"),
        ({**NEVER, "metric": "tollgate_step_seconds"}, "metric", "expected a counter or a gauge"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(
    tmp_path: Path, objective: dict[str, Any], field: str, words: str
) -> None:
    """A misspelt objective would be an alert that never fires."""
    with pytest.raises(ConsoleError) as refused:
        read_objectives(write(tmp_path, objective))
    assert refused.value.code is ConsoleExit.BAD_CONFIGURATION
    assert f"{field}: " in refused.value.what, refused.value.what
    assert words in refused.value.what


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their alerts and recorded series would be one."""
    with pytest.raises(ConsoleError, match="an-objective is there twice"):
        read_objectives(write(tmp_path, LATENCY, LEVEL))


@pytest.mark.parametrize("text", ["- 1", "objectives: [", "version: 2\nobjectives: []", ""])
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str) -> None:
    """A list, half a document, another version, nothing."""
    path = tmp_path / "slo.yaml"
    path.write_text(text)
    with pytest.raises(ConsoleError, match=r"slo\.yaml"):
        read_objectives(path)
