"""What the doctor reads out of a real Prometheus is what the service showed, and is judged alike."""

import asyncio
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.deploy.slo.generate_rules import OBJECTIVES, RULES
from tests.deploy.tools import tool
from tollgate_console.doctor.judging import judge, metrics_needed
from tollgate_console.doctor.objectives import read_objectives
from tollgate_console.doctor.prometheus import look_back
from tollgate_console.doctor.report import Outcome

START_S = 20
# More than the window holds, so that there is one before it.
SCRAPES = 10
OBJECTIVE = {each.name: each for each in read_objectives(OBJECTIVES)}
CALLS = 'tollgate_venue_calls_total{group="ORDERS",call="submit",outcome="'
SUBMIT = "tollgate_venue_request_seconds"
ORDERS = 'group="ORDERS",call="submit"'


class Execution(BaseHTTPRequestHandler):
    """A service whose every fourth submit is slow, one call in ten is refused for speed, and nothing is unknown."""

    began = time.monotonic()

    def do_GET(self) -> None:
        calls = int((time.monotonic() - self.began) * 40)
        body = "\n".join(
            (
                "tollgate_live 1",
                "tollgate_escalated_orders 0",
                "tollgate_permit_age_seconds 0.2",
                f'{CALLS}answered"}} {calls - calls // 10}',
                f'{CALLS}rate_limited"}} {calls // 10}',
                f'{SUBMIT}_bucket{{{ORDERS},le="0.5"}} {calls - calls // 4}',
                f'{SUBMIT}_bucket{{{ORDERS},le="+Inf"}} {calls}',
                f"{SUBMIT}_count{{{ORDERS}}} {calls}",
                f"{SUBMIT}_sum{{{ORDERS}}} {calls}",
            )
        )
        text = f"{body}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A Prometheus with our rules that scrapes one service every half second."""
    service = ThreadingHTTPServer(("127.0.0.1", 0), Execution)
    threading.Thread(target=service.serve_forever, daemon=True).start()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 500ms, scrape_timeout: 400ms, evaluation_interval: 1s}\n"
        f"rule_files: ['{RULES}']\n"
        "scrape_configs:\n"
        "  - job_name: tollgate\n"
        "    static_configs:\n"
        f"      - targets: ['127.0.0.1:{service.server_address[1]}']\n"
        "        labels: {service: execution, desk: main}\n"
    )
    process = subprocess.Popen(
        [
            tool("prometheus"),
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        until_scraped(process, url)
        yield url
    finally:
        process.terminate()
        process.wait(20)
        service.shutdown()
        service.server_close()


def until_scraped(process: "subprocess.Popen[bytes]", url: str) -> None:
    """Wait until there are enough scrapes; Prometheus takes some seconds to begin."""
    deadline = time.monotonic() + START_S
    question = {"query": f"count_over_time(tollgate_live[1m]) >= {SCRAPES}"}
    while True:
        assert process.poll() is None, "Prometheus has ended"
        assert time.monotonic() < deadline, "Prometheus does not scrape"
        try:
            answer = httpx.get(f"{url}/api/v1/query", params=question, trust_env=False)
            if answer.status_code == httpx.codes.OK and answer.json()["data"]["result"]:
                return
        except httpx.HTTPError:
            # It is starting.
            pass
        time.sleep(0.1)


def test_what_prometheus_has_scraped_is_judged(prometheus: str):
    names = metrics_needed(tuple(OBJECTIVE.values()))
    looked = asyncio.run(look_back(prometheus, "main", names, seconds=4, now_s=time.time()))
    judged = {name: judge(each, "execution", looked.readings, looked.begin_s) for name, each in OBJECTIVE.items()}
    assert judged["submit-latency"].outcome is judged["rate-limited"].outcome is Outcome.FAIL
    assert judged["submit-latency"].value == pytest.approx(0.75, abs=0.03)
    assert judged["rate-limited"].value == pytest.approx(0.9, abs=0.03)
    assert 120 <= judged["submit-latency"].observations <= 220
    assert judged["permit-freshness"].outcome is judged["escalated-orders"].outcome is Outcome.PASS
    assert judged["permit-freshness"].observations >= 6
    assert judged["reconcile-lag"].outcome is judged["tick-to-order"].outcome is Outcome.NO_DATA
    elsewhere = asyncio.run(look_back(prometheus, "other", names, seconds=4, now_s=time.time()))
    assert elsewhere.readings == {}
