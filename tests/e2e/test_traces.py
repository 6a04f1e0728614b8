"""One trace from the quote to the books, shown to a real OTLP receiver."""

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.conftest import ASK, BUSY, Platform

pytestmark = pytest.mark.platform
WHOLE_WAY = {"data_feed.update", "strategy.decide", "risk.pre_trade", "execution.submit", "ledger.book"}


OPENMETRICS = {"Accept": "application/openmetrics-text;version=1.0.0"}


class Receiver(ThreadingHTTPServer):
    """Keeps the names of the spans of each trace."""

    def __init__(self) -> None:
        self.traces: dict[bytes, set[str]] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self.traces.setdefault(span.trace_id, set()).add(span.name)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        self.server.take(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def test_one_trace_leads_from_the_quote_to_the_books(platform: Callable[..., Platform]):
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{receiver.server_port}"
    told = {"TOLLGATE_OTLP_ENDPOINT": endpoint, "TOLLGATE_TRACE_RATIO": "1", "OTEL_BSP_SCHEDULE_DELAY": "500"}
    desk = platform(BUSY | told)
    try:
        desk.start()
        desk.wait_until(
            lambda: any(names >= WHOLE_WAY for names in list(receiver.traces.values())), "a whole trace", 60
        )
        desk.wait_until(lambda: {"reconcile.sync"} in receiver.traces.values(), "a round of reconciliation", 30)
        exemplars = ASK.get(f"{desk.url('execution')}/metrics", headers=OPENMETRICS, timeout=5).text
        led = re.findall(r'tick_to_order_seconds_bucket\{.*trace_id="(\w+)"', exemplars)
        assert led
        desk.wait_until(
            lambda: all(receiver.traces.get(bytes.fromhex(trace), set()) >= {"risk.pre_trade"} for trace in led),
            "the traces that the exemplars lead to",
            30,
        )
    finally:
        receiver.shutdown()
