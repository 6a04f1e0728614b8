"""Every alert asks for metrics that exist, by labels that they have, and leads to a heading of the runbook."""

import re
from typing import Any

import pytest

from tests.docs.generate_alerts import PAGE, filled, rules
from tollgate_chassis.telemetry.catalog import catalog

RULES = rules()
HEADINGS = re.findall(r"^## (.*)$", PAGE.read_text(), re.MULTILINE)
ANCHORS = {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in HEADINGS}

# What Prometheus itself puts beside each series, and what every Python process has.
SCRAPED = {"job", "service", "desk", "instance"}
OTHERS = dict.fromkeys(("up", "process_start_time_seconds", "process_open_fds", "process_max_fds"), frozenset[str]())
KNOWN = {name: labels for metric in catalog() for name, labels in metric.series.items()} | OTHERS
ASKED = re.compile(rf"\b(tollgate_\w+|{'|'.join(OTHERS)})\b(?:\{{([^}}]*)\}})?")


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_asks_for_what_is_measured_and_leads_to_the_runbook(rule: dict[str, Any]):
    # Rules that are generated may ask for what other rules record; a recorded series has a colon in its name.
    asked = ASKED.findall(re.sub(r"\w+:[\w:]+(\{[^}]*\})?", "", rule["expr"]))
    assert asked or ":" in rule["expr"], rule["expr"]
    for name, labels in asked:
        assert name in KNOWN, rule["expr"]
        assert set(re.findall(r"(\w+)\s*[=!]", labels)) <= KNOWN[name] | SCRAPED, rule["expr"]
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert (page, anchor in ANCHORS) == ("docs/runbook.md", True)


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_says_how_bad_it_is_what_it_means_and_what_to_do_first(rule: dict[str, Any]):
    assert rule["labels"]["severity"] in {"critical", "warning"}
    for said in ("summary", "threshold", "meaning", "response"):
        assert rule["annotations"][said].strip(), said
        assert "|" not in re.sub(r"\{\{.*?\}\}", "", rule["annotations"][said]), f"{said} stands in a table"
    assert rule["annotations"]["meaning"].endswith(".")
    assert rule["annotations"]["response"].endswith((".", "?"))


def test_how_long_ago_something_was_is_asked_only_where_it_was():
    """Every process offers every metric, at zero where the thing never happens: that is not fifty years ago."""
    where_it_was = re.compile(
        r"time\(\) - \(tollgate_\w+ > 0\)"
        r"|timestamp\((?P<one>tollgate_\w+(\{[^}]*\})?)\)\s*- \((?P=one) > 0\)"
    )
    asked = [rule["expr"] for rule in RULES if re.search(r"\btime\(\) -|\btimestamp\(.*?\)\s*-", rule["expr"])]
    assert asked
    for expression in asked:
        rest = where_it_was.sub("", expression)
        assert "time() -" not in rest, expression
        assert "timestamp(" not in rest, expression


def test_every_alert_tells_which_desk_it_is_of():
    """What is summed up over desks would hide one desk's trouble in another's well-being."""
    for rule in RULES:
        for grouping in re.findall(r"\b(?:sum|max|min|count|group|avg)\b\s*(?:by \(([^)]*)\))?\s*\(", rule["expr"]):
            assert {"desk", "instance"} & set(re.findall(r"\w+", grouping)), rule["expr"]


def test_the_table_in_the_runbook_is_that_of_the_rules():
    text = PAGE.read_text()
    assert "<!-- alerts: generated" in text
    assert filled(text) == text, "stale: uv run python -m tests.docs.generate_alerts"


def test_every_alert_is_named_in_the_section_that_it_leads_to():
    """Who is called finds the alert's name where the link leads; a family may be named by its beginning.

    Alerts of objectives come in pairs by the dozen and lead to what is behind them: the page names them together.
    """
    sections = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))
    by_anchor = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-"): text for title, text in sections.items()}
    for rule in RULES:
        section = by_anchor[
            "the-alerts" if "slo" in rule["labels"] else rule["annotations"]["runbook"].partition("#")[2]
        ]
        families = [re.escape(name).replace("…", r"\w*") for name in re.findall(r"`(Tollgate[\w…]+)`", section)]
        assert any(re.fullmatch(family, rule["alert"]) for family in families), rule["alert"]
