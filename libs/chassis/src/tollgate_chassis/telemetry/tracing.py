"""Tracing from quote to fill: W3C context travels in the tape's headers, spans leave when an endpoint is set.

Whether something is traced is decided once, where it begins. What follows from it is traced if it was, and a message
without a context leads to no span.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tollgate_chassis.tape.records import NO_HEADERS

_PROPAGATOR = TraceContextTextMapPropagator()
_CONTEXT = "traceparent"


class Tracing:
    """Spans of one service; without an endpoint nothing is made and nothing is carried."""

    def __init__(self, service: str, run_id: str, endpoint: str | None, ratio: float = 1.0) -> None:
        """``ratio`` is the share of frequent beginnings, such as quotes, that is traced."""
        self._provider: TracerProvider | None = None
        self._ratio = ratio
        if endpoint:
            # A tenth of a second of importing that a service without an endpoint need not wait for.
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above

            resource = Resource.create({"service.name": f"tollgate-{service}", "service.instance.id": run_id})
            self._provider = TracerProvider(resource=resource)
            self._provider.add_span_processor(
                BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"))
            )
            self._tracer = self._provider.get_tracer("tollgate")

    @contextmanager
    def begin(self, name: str, *, often: bool = False, **attributes: str | int) -> Iterator[None]:
        """Run the block inside the first span of a new trace; of what happens ``often`` only a share is traced."""
        if self._provider is None or (often and random.random() >= self._ratio):  # noqa: S311 - nothing secret
            yield
            return
        with self._tracer.start_as_current_span(name, context=Context(), attributes=attributes):
            yield

    @contextmanager
    def span(self, name: str, parent: Mapping[str, str], **attributes: str | int) -> Iterator[None]:
        """Run the block inside a span that continues the trace in ``parent``'s headers, where there is one."""
        if self._provider is None or _CONTEXT not in parent:
            yield
            return
        context = _PROPAGATOR.extract(parent)
        with self._tracer.start_as_current_span(name, context=context, attributes=attributes):
            yield

    def instrument(self, app: FastAPI) -> None:
        """Trace the service's own HTTP requests too, so that an operator's call leads to what it caused."""
        if self._provider is not None:
            from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor  # noqa: PLC0415 - as for the exporter

            FastAPIInstrumentor.instrument_app(
                app, tracer_provider=self._provider, excluded_urls="healthz,readyz,metrics,status"
            )

    def headers(self) -> Mapping[str, str]:
        """Return the headers that carry the current span to whoever reads the message."""
        if self._provider is None or not trace.get_current_span().get_span_context().is_valid:
            return NO_HEADERS
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier

    def close(self) -> None:
        """Send what is left."""
        if self._provider is not None:
            self._provider.shutdown()


def exemplar() -> dict[str, str] | None:
    """Return what leads from a measurement to the trace that it was made in, where it was made in one."""
    context = trace.get_current_span().get_span_context()
    return {"trace_id": trace.format_trace_id(context.trace_id)} if context.is_valid else None
