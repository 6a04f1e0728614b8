"""What is traced: decided once where it begins, carried by the message, and continued by whoever reads it."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import Histogram

from tollgate_chassis import telemetry
from tollgate_chassis.http import build_app
from tollgate_chassis.telemetry.tracing import Tracing, exemplar

# Nothing listens there: what is exported is looked at here and goes nowhere.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch):
    """Return a way to make services that trace, and the names of the spans that they ended, in order."""
    spans = InMemorySpanExporter()
    # The real one has a thread, and starts another in every process that a later test forks: none of those can have a
    # user namespace of its own any more, and PostgreSQL is then run in another way and place.
    monkeypatch.setattr(telemetry.tracing, "BatchSpanProcessor", lambda _exporter: SimpleSpanProcessor(spans))
    made: list[Tracing] = []

    def make(service: str, ratio: float = 1.0) -> Tracing:
        tracing = Tracing(service, "r1", NOWHERE, ratio)
        made.append(tracing)
        return tracing

    yield make, lambda: [(span.name, span.context.trace_id) for span in spans.get_finished_spans()]
    for tracing in made:
        tracing.close()


Make = tuple[Callable[..., Tracing], Callable[[], list[tuple[str, int]]]]


def test_a_trace_goes_on_in_the_service_that_reads_the_message(traced: Make):
    make, ended = traced
    feed, strategy = make("marketdata"), make("strategy")
    with feed.begin("data_feed.update", often=True, quotes=1):
        headers = feed.headers()
    with strategy.span("strategy.decide", headers, sequence=1):
        pass
    (first, trace), (second, same) = ended()
    assert (first, second, trace) == ("data_feed.update", "strategy.decide", same)


def test_what_is_not_sampled_where_it_begins_is_traced_nowhere(traced: Make):
    make, ended = traced
    feed, strategy = make("marketdata", ratio=0.0), make("strategy")
    with feed.begin("data_feed.update", often=True):
        headers = feed.headers()
    assert dict(headers) == {}
    with strategy.span("strategy.decide", headers):
        assert dict(strategy.headers()) == {}
    assert ended() == []


def test_what_is_rare_is_traced_whatever_the_ratio(traced: Make):
    make, ended = traced
    with make("execution", ratio=0.0).begin("reconcile.sync", cause="interval"):
        pass
    assert [name for name, _ in ended()] == ["reconcile.sync"]


def test_a_new_trace_does_not_belong_to_the_one_that_is_under_way(traced: Make):
    make, ended = traced
    execution = make("execution")
    with execution.begin("http"), execution.begin("reconcile.sync"):
        pass
    assert len({trace for _, trace in ended()}) == 2


def test_without_an_endpoint_nothing_is_made_and_nothing_is_carried():
    tracing = Tracing("risk", "r1", None)
    with tracing.begin("data_feed.update"):
        assert dict(tracing.headers()) == {}
        assert exemplar() is None
    tracing.close()


def test_a_measurement_leads_to_its_trace_for_whoever_asks_for_openmetrics(traced: Make):
    make, ended = traced
    measured = Histogram("a_test_of_exemplars_seconds", "For this test.", buckets=(1.0,))
    with make("execution").begin("execution.submit"):
        measured.observe(0.5, exemplar())
    client = TestClient(build_app("t", (), dict, list))
    (_, trace) = ended()[0]
    asked = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
    wanted = f'a_test_of_exemplars_seconds_bucket{{le="1.0"}} 1.0 # {{trace_id="{trace:032x}"}} 0.5'
    assert any(line.startswith(wanted) for line in client.get("/metrics", headers=asked).text.splitlines())
    plain = client.get("/metrics").text
    assert "a_test_of_exemplars_seconds_bucket" in plain
    assert "trace_id" not in plain
