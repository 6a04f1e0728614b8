"""Every alert fires when it should and is silent when it should be, as Prometheus' own evaluation says."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.prometheus import cases_execution, cases_ledger, cases_marketdata, cases_platform, cases_risk
from tests.deploy.prometheus.cases import DESK, Case
from tests.deploy.tools import tool

RULES = Path(__file__).parents[3] / "deploy" / "prometheus" / "rules"
# Generated with tests of its own, in tests/deploy/slo.
ELSEWHERE = {"slo.yaml"}
FILES = sorted(path for path in RULES.glob("*.yaml") if path.name not in ELSEWHERE)
CASES: tuple[Case, ...] = (
    *cases_execution.CASES,
    *cases_ledger.CASES,
    *cases_marketdata.CASES,
    *cases_platform.CASES,
    *cases_risk.CASES,
)
# Where no target is known at all, no desk is.
OF_NO_DESK = {"TollgateNothingScraped"}


Questions = Iterator[tuple[str, dict[str, Any]]]


def alerts() -> list[dict[str, Any]]:
    """Return all alerts that are to be tested here."""
    groups = [group for path in FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def question(name: str, case: Case, given: Mapping[str, str], fires: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Return one test as promtool reads it: what fires, by the labels that the case names."""
    labels = sorted({label for each in fires for label in each})
    expected = [
        {"labels": "{" + ",".join(f'{label}="{value}"' for label, value in each.items()) + "}", "value": 1}
        for each in fires
    ]
    firing = f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}'
    return {
        "name": f"{case.alert}: {case.tells} ({name})",
        "interval": "15s",
        "input_series": [{"series": series, "values": values} for series, values in given.items()],
        "promql_expr_test": [
            {"expr": f"group by ({', '.join(labels)}) ({firing})", "eval_time": case.at, "exp_samples": expected}
        ],
    }


def named(fires: Sequence[Mapping[str, str]], desk: str) -> list[dict[str, str]]:
    """Return the labels with the desk's name."""
    return [{label: value.replace(DESK, desk) for label, value in each.items()} for each in fires]


def each_for_itself() -> Questions:
    """Yield every case as it stands."""
    for case in CASES:
        yield case.alert, question("one desk", case, case.of("a"), named(case.fires, "a"))


def two_desks() -> Questions:
    """Yield each firing case for two desks at once, and beside each silent one of the same alert and moment."""
    for case in CASES:
        if not case.fires or case.alert in OF_NO_DESK:
            continue
        both = [*named(case.fires, "a"), *named(case.fires, "b")]
        yield case.alert, question("two desks", case, case.of("a") | case.of("b"), both)
        for other in CASES:
            if other.alert == case.alert and not other.fires and other.at == case.at:
                given = case.of("a") | other.of("b")
                yield case.alert, question(f"and another desk: {other.tells}", case, given, named(case.fires, "a"))


def run(tmp_path: Path, questions: Questions) -> int:
    """Let promtool answer, each alert in a file of its own so that no other is evaluated; return how many cases."""
    asked: dict[str, list[dict[str, Any]]] = {}
    for alert, each in questions:
        asked.setdefault(alert, []).append(each)
    files = []
    for rule in alerts():
        rules, file = tmp_path / f"{rule['alert']}.yaml", tmp_path / f"{rule['alert']}.test.yaml"
        rules.write_text(yaml.safe_dump({"groups": [{"name": "one", "rules": [rule]}]}))
        tests = asked.get(rule["alert"], [])
        file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "evaluation_interval": "15s", "tests": tests}))
        files.append(str(file))
    done = subprocess.run([tool("promtool"), "test", "rules", *files], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip() and "SUCCESS" not in line]
    assert done.returncode == 0, "\n".join(line for line in said if "Unit Testing" not in line)[-6000:]
    return sum(map(len, asked.values()))


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not():
    named_in_rules = [rule["alert"] for rule in alerts()]
    assert len(named_in_rules) == len(set(named_in_rules))
    assert {case.alert for case in CASES if case.fires} == set(named_in_rules)
    assert {case.alert for case in CASES if not case.fires} == set(named_in_rules)


def test_each_alert_fires_when_it_should_and_not_when_it_should_not(tmp_path: Path):
    assert run(tmp_path, each_for_itself()) == len(CASES)


def test_each_alert_tells_the_desks_apart(tmp_path: Path):
    assert run(tmp_path, two_desks()) > len(alerts())


def test_promtool_finds_nothing_wrong_with_the_rules():
    files = [str(path) for path in sorted(RULES.glob("*.yaml"))]
    done = subprocess.run([tool("promtool"), "check", "rules", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
