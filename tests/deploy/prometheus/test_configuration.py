"""Prometheus and Alertmanager take their configuration, and it says what alerts and dashboards rest on."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tools import tool
from tests.docs.generate_alerts import rules

FILES = Path(__file__).parents[3] / "deploy" / "prometheus"
PORTS = {"marketdata": 8401, "strategy": 8402, "risk": 8403, "execution": 8404, "ledger": 8405}
ALERTMANAGER: dict[str, Any] = yaml.safe_load((FILES / "alertmanager.yml").read_text())
LABELS = {rule["alert"]: rule["labels"] for rule in rules()}


def said_by(program: str, *arguments: str) -> str:
    """Return what a program prints; fails with it when the program is not content."""
    done = subprocess.run([tool(program), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def matching(matchers: list[str]) -> set[str]:
    """Return the alerts that the matchers of a rule may mean, as far as the alert's own labels say."""
    names = set(LABELS)
    for matcher in matchers:
        found = re.fullmatch(r'(\w+)(=~?)"(.*)"', matcher)
        assert found is not None, matcher
        label, operator, pattern = found.groups()
        wanted = re.compile(pattern if operator == "=~" else re.escape(pattern))
        own = {name: name if label == "alertname" else labels.get(label, "") for name, labels in LABELS.items()}
        # What only the series tells, such as the service, may be anything.
        if label in {"alertname", "severity", "slo"}:
            names &= {name for name, value in own.items() if wanted.fullmatch(value)}
    return names


def test_prometheus_takes_its_configuration_and_finds_every_rule():
    said = said_by("promtool", "check", "config", str(FILES / "prometheus.yml"))
    assert all(str(path) in said for path in (FILES / "rules").glob("*.yaml"))


def test_every_service_is_scraped_with_the_labels_that_alerts_rest_on():
    config = yaml.safe_load((FILES / "prometheus.yml").read_text())
    (job,) = [job for job in config["scrape_configs"] if job["job_name"] == "tollgate"]
    targets = {group["labels"]["service"]: group for group in job["static_configs"]}
    assert {service: group["targets"] for service, group in targets.items()} == {
        service: [f"{service}:{port}"] for service, port in PORTS.items()
    }
    assert all(group["labels"]["desk"] for group in targets.values())
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]


def test_alertmanager_takes_its_configuration():
    assert "SUCCESS" in said_by("amtool", "check-config", str(FILES / "alertmanager.yml"))


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "on-call"), ("warning", "desk")])
def test_the_severity_says_who_is_called(severity: str, receiver: str):
    config = f"--config.file={FILES / 'alertmanager.yml'}"
    said = said_by("amtool", "config", "routes", "test", config, f"severity={severity}", "desk=a", "alertname=x")
    assert said.strip() == receiver


@pytest.mark.parametrize("rule", ALERTMANAGER["inhibit_rules"], ids=lambda rule: str(rule["source_matchers"]))
def test_what_is_held_back_is_of_the_same_desk_and_there_is_such_an_alert(rule: dict[str, Any]):
    """A name that is misspelt would hold back nothing, and nobody would see it."""
    source, target = matching(rule["source_matchers"]), matching(rule["target_matchers"])
    assert source
    assert target
    assert not source & target
    assert len(source) == 1 or "slo" in rule["equal"]
    assert "desk" in rule["equal"]
    for name in re.findall(r"Tollgate[\w.*]+", str(rule["target_matchers"])):
        assert any(re.fullmatch(name, alert) for alert in LABELS), name


def test_only_what_is_worse_holds_something_back():
    for rule in ALERTMANAGER["inhibit_rules"]:
        assert {LABELS[source]["severity"] for source in matching(rule["source_matchers"])} == {"critical"}


def test_an_engaged_kill_switch_hides_nothing_of_orders_books_or_processes():
    hidden = set()
    for rule in ALERTMANAGER["inhibit_rules"]:
        if matching(rule["source_matchers"]) == {"TollgateRiskKillSwitch"}:
            hidden |= matching(rule["target_matchers"])
    assert hidden == {
        "TollgatePermitStale",
        "TollgatePermitWithheld",
        "TollgateRiskNoFills",
        "TollgateRiskRejectionSpike",
        "TollgateSafeMode",
    }


def test_no_address_and_no_secret_stands_in_it():
    for receiver in ALERTMANAGER["receivers"]:
        for webhook in receiver["webhook_configs"]:
            assert set(webhook) == {"url_file", "send_resolved"}
