"""The alerts of the objectives are those of deploy/slo.yaml, and fire and are silent as Prometheus itself says."""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.utils import floatToGoString

from tests.deploy.slo.expressions import FAST, SLOW, Budgeted
from tests.deploy.slo.generate_rules import (
    OBJECTIVES,
    PAGE,
    ROOT,
    RULES,
    alert_name,
    annotations,
    filled,
    groups,
    rendered,
)
from tests.deploy.tools import tool
from tollgate_console.doctor.objectives import Latency, Level, Never, Ratio, Selector, read_objectives

ALL = read_objectives(OBJECTIVES)
BUDGETED: tuple[Budgeted, ...] = tuple(each for each in ALL if not isinstance(each, Never))
DESK = "main"
# Of a working service; more than any objective's `least` within an hour.
PER_STEP = 10
HOURS = 7
MINUTES = HOURS * 60
# As coarse as a rate over five minutes allows: the time that promtool takes grows with the square of the samples.
STEP = 2
TIMES = range(0, MINUTES + 1, STEP)
Bad = Callable[[int], bool]
"""Whether everything is bad in a minute."""


@dataclass(frozen=True)
class Scenario:
    """What happens to every objective at once, and which of its alerts then fire."""

    bad: Bad
    speeds: tuple[str, ...]
    per_step: int = PER_STEP
    more: tuple[tuple[str, str], ...] = ()
    silent: tuple[str, ...] = ()
    """Objectives that do not fire all the same."""


def between(begin: int, end: int) -> Bad:
    return lambda minute: begin <= minute < end


HAVE_LEAST = tuple(each.name for each in BUDGETED if each.least > 1)
PAUSING = tuple(each.name for each in BUDGETED if isinstance(each, Level) and each.pauses_on)
KILLED = (
    'tollgate_kill_switch_engaged{job="tollgate",desk="main",service="risk",instance="r:1"}',
    f"1x{len(TIMES) - 1}",
)
SCENARIOS = {
    "all is well": Scenario(lambda _: False, ()),
    "all is bad": Scenario(lambda _: True, ("Fast", "Slow")),
    "it became bad half an hour ago": Scenario(between(MINUTES - 30, MINUTES + 1), ("Fast", "Slow")),
    "it was bad for two hours, until ten minutes ago": Scenario(between(MINUTES - 130, MINUTES - 10), ("Fast", "Slow")),
    "it was bad for an hour and a half, until two hours ago": Scenario(
        between(MINUTES - 220, MINUTES - 125), ("Slow",)
    ),
    "all is bad, but the kill switch is engaged": Scenario(
        lambda _: True, ("Fast", "Slow"), more=(KILLED,), silent=PAUSING
    ),
    "all is bad, but next to nothing happens": Scenario(lambda _: True, ("Fast", "Slow"), 0, silent=HAVE_LEAST),
}


def series(objective: Budgeted, scenario: Scenario) -> Iterator[tuple[str, list[float]]]:
    """Yield the series of an active instance, and of one that stands by and shows the opposite."""
    for service in objective.services:
        place = {"job": "tollgate", "desk": DESK, "service": service}
        active, standby = place | {"instance": "a:1"}, place | {"instance": "b:1"}
        match objective:
            case Latency():
                yield from _histogram(objective, active, scenario)
            case Ratio():
                yield from _counters(objective, active, scenario)
            case Level():
                yield _named(objective.metric, active), _levels(objective, scenario.bad)
                yield _named(objective.metric, standby), _levels(objective, lambda minute: not scenario.bad(minute))


def _histogram(objective: Latency, place: dict[str, str], scenario: Scenario) -> Iterator[tuple[str, list[float]]]:
    labels = place | dict(objective.only)
    good = _counted(scenario, lambda minute: not scenario.bad(minute))
    edge = {"le": floatToGoString(objective.bound)}
    yield _named(f"{objective.metric}_bucket", labels | edge), good
    yield _named(f"{objective.metric}_bucket", labels | {"le": "+Inf"}), _counted(scenario, lambda _: True)
    yield _named(f"{objective.metric}_count", labels), _counted(scenario, lambda _: True)


def _counters(objective: Ratio, place: dict[str, str], scenario: Scenario) -> Iterator[tuple[str, list[float]]]:
    def labels(one: Selector, other: str) -> dict[str, str]:
        return {name: value.split("|")[0] for name, value in one.only.items()} | dict.fromkeys(one.without, other)

    bad, total = objective.bad, objective.total
    yield _named(bad.metric, place | labels(bad, "other")), _counted(scenario, scenario.bad)
    if bad.metric == total.metric:
        # What is bad is a part of the total; here is the other part.
        rest = {"data": "fresh"} if bad.without else {"outcome": "answered"}
        yield _named(total.metric, place | rest), _counted(scenario, lambda minute: not scenario.bad(minute))
    else:
        yield _named(total.metric, place | labels(total, "answered")), _counted(scenario, lambda _: True)


def _counted(scenario: Scenario, counts: Bad) -> list[float]:
    # Two in all, where next to nothing happens.
    values, value = [], 0.0
    for minute in TIMES:
        happens = scenario.per_step or minute in {MINUTES - 20, MINUTES - 2}
        value += float(happens) if counts(minute) else 0.0
        values.append(value)
    return values


def _levels(objective: Level, bad: Bad) -> list[float]:
    def level(minute: int) -> float:
        wanted = objective.bound * 2 if bad(minute) else objective.bound / 2
        return minute * 60 - wanted if objective.reads == "age" else wanted

    return [max(level(minute), 1.0) for minute in TIMES]


def _named(name: str, labels: Mapping[str, str]) -> str:
    return f"{name}{{{','.join(f'{label}={json.dumps(value)}' for label, value in labels.items())}}}"


def _live() -> Iterator[tuple[str, str]]:
    for service in ("marketdata", "strategy", "risk", "execution", "ledger"):
        for instance, live in (("a:1", 1), ("b:1", 0)):
            place = {"job": "tollgate", "desk": DESK, "service": service, "instance": instance}
            yield _named("tollgate_live", place), f"{live}x{len(TIMES) - 1}"


def question(name: str, scenario: Scenario) -> dict[str, Any]:
    """Return one test as promtool reads it."""
    given = {
        key: " ".join(f"{value:g}" for value in values) for each in BUDGETED for key, values in series(each, scenario)
    }
    fires = [
        (alert_name(each, speed), service)
        for each in BUDGETED
        if each.name not in scenario.silent
        for service in each.services
        for speed in scenario.speeds
    ]
    expected = [{"labels": f'{{alertname="{alert}",service="{service}"}}', "value": 1} for alert, service in fires]
    firing = f'group by (alertname, service) (ALERTS{{alertstate="firing",desk="{DESK}"}})'
    return {
        "name": name,
        "interval": f"{STEP}m",
        "input_series": [
            {"series": key, "values": values} for key, values in (*given.items(), *_live(), *scenario.more)
        ],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{HOURS}h", "exp_samples": expected}],
        "alert_rule_test": _told() if name == "all is bad" else [],
    }


def _told() -> list[dict[str, Any]]:
    """Return what each alert says while everything is bad."""
    return [
        {
            "eval_time": f"{HOURS}h",
            "alertname": alert_name(each, speed),
            "exp_alerts": [
                {
                    "exp_labels": {"severity": severity, "slo": each.name, "desk": DESK, "service": service},
                    "exp_annotations": {
                        key: text.replace("{{ $value | humanizePercentage }}", "100%").replace(
                            "{{ $labels.service }}", service
                        )
                        for key, text in annotations(each, burns).items()
                    },
                }
                for service in each.services
            ],
        }
        for each in BUDGETED
        for speed, burns, severity in (("Fast", FAST, "critical"), ("Slow", SLOW, "warning"))
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_alerts_fire_and_are_silent(name: str, tmp_path: Path):
    """Beside each active instance stands one that is not, and shows the opposite: it fails and hides nothing."""
    promtool = tool("promtool")
    asked = question(name, SCENARIOS[name])
    content = {
        "rule_files": [str(RULES)],
        "evaluation_interval": f"{STEP}m",
        # An alert finds what is recorded for it in the same step.
        "group_eval_order": [group["name"] for group in groups(ALL)],
        "tests": [asked],
    }
    file = tmp_path / "slo.test.yaml"
    file.write_text(json.dumps(content))
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6_000:]


def test_the_rules_are_well_formed():
    done = subprocess.run([tool("promtool"), "check", "rules", str(RULES)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_made_from_the_objectives():
    assert RULES.read_text() == rendered(ALL), "stale: uv run python -m tests.deploy.slo.generate_rules"


def test_the_page_shows_the_objectives():
    text = PAGE.read_text()
    assert "<!-- objectives: generated" in text
    assert filled(text, ALL) == text, "stale: uv run python -m tests.deploy.slo.generate_rules"


def test_what_must_never_be_has_an_alert_of_its_own():
    """There is no budget to burn, so the objective names the alert that calls somebody at once."""
    rules = [
        rule
        for path in RULES.parent.glob("*.yaml")
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    for each in ALL:
        if isinstance(each, Never):
            assert [each.metric in rule["expr"] for rule in rules if rule["alert"] == each.alerted_by] == [True]


def test_each_objective_leads_to_a_heading_of_the_runbook():
    headings = [line[3:] for line in (ROOT / "docs" / "runbook.md").read_text().splitlines() if line.startswith("## ")]
    anchors = {"".join(c for c in text.lower() if c.isalnum() or c in " -").replace(" ", "-") for text in headings}
    assert {each.runbook for each in ALL} <= anchors
