"""Every alert asks for metrics that exist, by labels that they have, and leads to a heading of the runbook."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tollgate_chassis.telemetry.catalog import catalog

ROOT = Path(__file__).parents[2]
RULES = [
    rule
    for path in sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
HEADINGS = re.findall(r"^## (.*)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
ANCHORS = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in HEADINGS}


KNOWN = {name: labels for metric in catalog() for name, labels in metric.series.items()}


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_asks_for_what_is_measured_and_leads_to_the_runbook(rule: dict[str, Any]):
    asked = re.findall(r"\b(tollgate_\w+)(?:\{([^}]*)\})?", rule["expr"])
    assert asked, rule["expr"]
    for name, labels in asked:
        assert name in KNOWN, rule["expr"]
        assert set(re.findall(r"(\w+)\s*[=!]", labels)) <= KNOWN[name], rule["expr"]
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (page, anchor in ANCHORS) == ("docs/runbook.md", True)


def test_how_long_ago_something_was_is_asked_only_where_it_was():
    """Every process offers every metric, at zero where the thing never happens: that is not fifty years ago."""
    asked = [rule["expr"] for rule in RULES if "time() -" in rule["expr"]]
    assert asked
    for expression in asked:
        assert re.fullmatch(r"time\(\) - \(tollgate_\w+ > 0\) > \d+", expression), expression
