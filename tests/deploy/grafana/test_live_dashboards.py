"""A desk that trades, a real Prometheus that scrapes it: no panel is empty, and a healthy desk calls nobody."""

import math
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.chaos.test_takeover import second_instance
from tests.conftest import ASK, BUSY, ROOT, SERVICES, Platform
from tests.deploy.grafana.asked import Asked, queries
from tests.deploy.tools import tool

pytestmark = pytest.mark.platform
QUERIES = list(queries())
RULES = ROOT / "deploy" / "prometheus" / "rules"
# Ten scrapes, where Grafana takes at least four.
WINDOW, SPAN = "10s", "30s"
READY_S = 15
# Every kind of thing has happened by then: rounds, statements, commits, and the database's size each ten seconds.
SHOWN_S = 30


class Prometheus:
    """One that runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        """Return ``data`` of an answer of its API."""
        answer = ASK.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10)
        assert answer.status_code == httpx.codes.OK, answer.text
        return answer.json()["data"]

    def series(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that a query has now, without those that are not a number."""
        found = self.ask("query", query=expr)
        assert found["resultType"] == "vector", expr
        return [each for each in found["result"] if not math.isnan(float(each["value"][1]))]

    def is_ready(self) -> bool:
        """Say whether it answers."""
        try:
            return ASK.get(f"{self.url}/-/ready", timeout=1).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def prometheus(targets: dict[str, list[int]], directory: Path) -> Iterator[Prometheus]:
    """Start it with the real rules, scraping the services' ports each second under the labels of compose."""
    scraped = [
        {"targets": [f"127.0.0.1:{port}" for port in ports], "labels": {"service": service, "desk": "main"}}
        for service, ports in targets.items()
    ]
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES / "*.yaml")],
        "scrape_configs": [{"job_name": "tollgate", "static_configs": scraped}],
    }
    file = directory / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    command = [
        *(tool("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={directory / 'tsdb'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage", "--log.level=warn"),
    ]
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    running = Prometheus(port)
    try:
        deadline = time.monotonic() + READY_S
        while not running.is_ready():
            assert process.poll() is None, (directory / "prometheus.log").read_text()
            assert time.monotonic() < deadline, (directory / "prometheus.log").read_text()
            time.sleep(0.1)
        yield running
    finally:
        process.terminate()
        process.wait(10)


def empty(server: Prometheus) -> list[Asked]:
    """Return the queries that have nothing to show."""
    return [query for query in QUERIES if not server.series(query.filled("main", WINDOW, SPAN))]


def shown(server: Prometheus, board: str, panel: str) -> float:
    """Return the one number of a panel."""
    (query,) = [query for query in QUERIES if (query.board, query.panel) == (board, panel)]
    (series,) = server.series(query.filled("main", WINDOW, SPAN))
    return float(series["value"][1])


def test_no_panel_is_empty_while_a_desk_trades_and_nobody_is_called(platform: Callable[..., Platform], tmp_path: Path):
    tool("prometheus")
    desk = platform(BUSY)
    desk.start()
    with second_instance(desk, "risk", tmp_path) as risk, second_instance(desk, "ledger", tmp_path) as ledger:
        targets = {service: [desk.port(service)] for service in SERVICES}
        targets["risk"].append(risk.port)
        targets["ledger"].append(ledger.port)
        with prometheus(targets, tmp_path) as server:
            deadline = time.monotonic() + SHOWN_S
            while (missing := empty(server)) and time.monotonic() < deadline:
                time.sleep(1)
            assert not missing, "\n".join(f"{each.board}: {each.panel}: {each.expr}" for each in missing)
            assert_the_first_lines_are_true(server, desk)
            assert_no_rule_fails_and_none_fires(server)
            assert_an_engaged_switch_is_seen(server, desk)


def assert_the_first_lines_are_true(server: Prometheus, desk: Platform) -> None:
    """Hold the first two lines against what the services say, with two instances that stand by in sight."""
    assert shown(server, "desk", "Trading") == 1
    assert shown(server, "desk", "Services live") == len(SERVICES)
    assert shown(server, "platform", "Standing by") == 2
    assert shown(server, "desk", "Critical alerts") == 0
    assert abs(shown(server, "desk", "Equity") - float(desk.books()["equity"])) < 1_000
    # The first midnight is yet to come, so it is the loss that risk knows.
    assert shown(server, "desk", "Result today") <= 0
    assert 0 <= shown(server, "desk", "Drawdown") < 0.1


def assert_no_rule_fails_and_none_fires(server: Prometheus) -> None:
    """Hold that every rule was evaluated, and that the desk and its two that stand by alarm nobody.

    Objectives are not asked: of half a minute on a machine that does other things they say nothing.
    """
    rules = [rule for group in server.ask("rules")["groups"] for rule in group["rules"]]
    assert [rule for rule in rules if rule["health"] == "err"] == []
    called = [rule["name"] for rule in rules if rule.get("state") == "firing" and "slo" not in rule["labels"]]
    assert called == []
    assert sum(rule["type"] == "alerting" for rule in rules) > 50


def assert_an_engaged_switch_is_seen(server: Prometheus, desk: Platform) -> None:
    """Hold that the first line and the alert say within seconds that somebody has stopped trading."""
    assert desk.engage().status_code == httpx.codes.OK
    desk.wait_until(lambda: shown(server, "desk", "Kill switch") == 1, "the switch on the dashboard", 10)
    desk.wait_until(lambda: shown(server, "desk", "Critical alerts") > 0, "the alert", 10)
    assert shown(server, "desk", "Trading") == 0
    (alert, *_) = server.series('ALERTS{alertname="TollgateRiskKillSwitch",alertstate="firing"}')
    assert alert["metric"]["desk"] == "main"
