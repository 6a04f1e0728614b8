"""The dashboards are those of the code, ask for what is measured, and lead to the runbook."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.grafana.asked import BOARDS, GRAFANA, Asked, panels, queries
from tests.deploy.tools import tool
from tests.docs.test_alerts import ANCHORS, SCRAPED
from tollgate_chassis.telemetry.catalog import catalog

ROOT = GRAFANA.parents[1]
QUERIES = list(queries())
TYPES = {"stat", "timeseries", "table", "state-timeline", "bargauge"}
# What Prometheus makes itself, and what every Python process offers.
OTHERS = {
    "up": frozenset[str](),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
    "process_start_time_seconds": frozenset[str](),
    "process_cpu_seconds_total": frozenset[str](),
    "process_resident_memory_bytes": frozenset[str](),
    "process_open_fds": frozenset[str](),
    "process_max_fds": frozenset[str](),
}
KNOWN = {name: labels for metric in catalog() for name, labels in metric.series.items()} | OTHERS
LATENCIES = {metric.name for metric in catalog() if metric.type == "histogram" and metric.name.endswith("_seconds")}
SELECTOR = re.compile(r"\b([A-Za-z_]\w*)(?:\{([^}]*)\})")
NAME = re.compile(r"\b(?:tollgate|process|python)_\w+|\bALERTS\b|\bup\b")
ALL_PANELS = [(name, panel) for name, board in BOARDS.items() for panel in panels(board)]


def of(case: object) -> str:
    """Name a case."""
    return f"{case.board}: {case.panel}" if isinstance(case, Asked) else ""


def test_the_files_are_what_the_code_writes(tmp_path: Path):
    subprocess.run([sys.executable, "-m", "deploy.grafana.boards", str(tmp_path)], cwd=ROOT, check=True)
    written, kept = (
        {path.name: path.read_text() for path in directory.glob("*.json")}
        for directory in (tmp_path, GRAFANA / "dashboards")
    )
    assert written == kept, "stale: .venv/bin/python -m deploy.grafana.boards"


def test_promtool_reads_every_query(tmp_path: Path):
    rules = [
        {"record": f"query:{number}:filled", "expr": query.filled("main", "1m", "30m")}
        for number, query in enumerate(QUERIES)
    ]
    file = tmp_path / "queries.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run([tool("promtool"), "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(QUERIES)} rules found" in done.stdout


@pytest.mark.parametrize("query", QUERIES, ids=of)
def test_a_query_names_only_metrics_and_labels_that_there_are(query: Asked):
    without_words = re.sub(r'"[^"]*"', '""', query.expr)
    names = set(NAME.findall(without_words))
    assert names, query.expr
    assert names <= set(KNOWN)
    for name, matchers in SELECTOR.findall(query.expr):
        asked = set(re.findall(r"(\w+)\s*[=!]", matchers))
        assert asked <= KNOWN[name] | SCRAPED, query.expr
        assert "desk" in asked, f"{name} is asked of every desk: {query.expr}"
    assert len(SELECTOR.findall(query.expr)) == len(NAME.findall(without_words)), "a metric without a selector"
    grouped = {label for labels in re.findall(r"\bby \(([^)]*)\)", query.expr) for label in re.findall(r"\w+", labels)}
    grouped |= set(re.findall(r"\{\{(\w+)\}\}", query.legend))
    assert grouped <= SCRAPED.union(*(KNOWN[name] for name in names)), query.expr


@pytest.mark.parametrize("query", QUERIES, ids=of)
def test_what_only_the_active_instance_knows_is_asked_of_it_alone(query: Asked):
    """A gauge of an instance that stands by is zero, or what it has followed."""
    told_by_all = {"tollgate_live", "tollgate_standing_by", "tollgate_build_info", "tollgate_tape_bytes"}
    told_by_all |= {"tollgate_tape_bytes_max", "tollgate_cycle_timestamp_seconds"}
    gauges = {metric.name for metric in catalog() if metric.type == "gauge"} - told_by_all
    for name, after in re.findall(r"\b(tollgate_\w+)\{[^}]*\}(.{0,40})", query.expr):
        is_time = name.endswith("_timestamp_seconds") and after.startswith((" > 0)", ") - ("))
        assert name not in gauges or is_time or after.startswith(" and on (instance) tollgate_live{"), query.expr


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_one_that_grafana_11_takes(name: str):
    board = BOARDS[name]
    assert board["schemaVersion"] in {39, 40}
    assert board["uid"] == f"tollgate-{name}"
    assert len(board["uid"]) <= 40
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "desk", "runbook"]
    assert board["description"]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert {panel["type"] for panel in panels(board)} <= TYPES


def test_no_two_dashboards_have_the_same_name_or_number():
    assert len({board["uid"] for board in BOARDS.values()}) == len(BOARDS)
    assert len({board["title"] for board in BOARDS.values()}) == len(BOARDS)


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_overlaps_another_or_leaves_the_page_and_no_line_has_a_hole(name: str):
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["w"] > 0
        assert place["h"] > 0
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies over {taken[x, y]}"
                taken[x, y] = panel["title"]
    assert len(taken) == 24 * (1 + max(y for _, y in taken)), "a line is not full"


def test_the_first_line_of_the_desk_says_whether_it_trades_and_the_second_what_it_makes():
    first, second = (
        [panel["title"] for panel in panels(BOARDS["desk"]) if panel["gridPos"]["y"] == top] for top in (1, 6)
    )
    assert first == ["Trading", "Mode", "Kill switch", "Safe mode", "Feed", "Services live", "Critical alerts"]
    assert second == ["Equity", "Result today", "Drawdown", "Free cash", "Open orders", "Open positions"]


@pytest.mark.parametrize(
    ("name", "panel"), ALL_PANELS, ids=lambda each: each["title"] if isinstance(each, dict) else ""
)
def test_a_panel_says_what_it_means_in_which_unit_and_where_to_look(name: str, panel: dict[str, Any]):
    assert len(panel["description"]) > 10
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    references = [target["refId"] for target in panel["targets"]]
    assert len(references) == len(set(references))
    (link,) = panel["links"]
    assert link["url"].partition("#")[0] == "${runbook:raw}"
    assert link["url"].partition("#")[2] in ANCHORS
    for threshold in [panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]:
        assert threshold[0]["value"] is None
        values = [step["value"] for step in threshold[1:]]
        assert values == sorted(values)
        assert all(step["color"] for step in threshold)


def test_a_latency_leads_to_its_traces():
    """Exemplars are asked for wherever a panel shows the quantiles of a latency over time."""
    shown = set()
    for _, panel in ALL_PANELS:
        for target in panel["targets"]:
            of_latency = LATENCIES & set(re.findall(r"(tollgate_\w+_seconds)_bucket", target["expr"]))
            if panel["type"] == "timeseries" and of_latency:
                shown |= of_latency
                assert target["exemplar"] is True, panel["title"]
    # How long all took to agree again is counted: it happens too rarely for a quantile.
    assert shown == LATENCIES - {"tollgate_reconcile_convergence_seconds"}


def test_every_metric_of_the_registry_is_on_a_dashboard():
    """What nobody shows, nobody looks at."""
    shown = {name for query in QUERIES for name in NAME.findall(query.expr)}
    hidden = {metric.name for metric in catalog() if not shown & set(metric.series)}
    assert hidden == {"tollgate_tape_tip", "tollgate_cycle_id", "tollgate_breaker_changes_total"}


def test_grafana_is_told_where_to_ask_and_where_the_dashboards_lie():
    sources = yaml.safe_load((GRAFANA / "provisioning" / "datasources" / "prometheus.yaml").read_text())["datasources"]
    by_uid = {source["uid"]: source for source in sources}
    assert by_uid["prometheus"]["jsonData"]["exemplarTraceIdDestinations"] == [
        {"name": "trace_id", "datasourceUid": "tempo"}
    ]
    assert by_uid["tempo"]["type"] == "tempo"
    provider = yaml.safe_load((GRAFANA / "provisioning" / "dashboards" / "tollgate.yaml").read_text())["providers"][0]
    mounts = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["volumes"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in mounts
