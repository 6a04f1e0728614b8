"""The HTTP side of every service: health, readiness, metrics, status, and the service's own routes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import uvicorn
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder
from pydantic import BaseModel

from tollgate_chassis.telemetry.tracing import Tracing

# A slow client may not hold a connection of an operator's door for longer than this.
_KEEP_ALIVE_S = 5


class HttpServer(uvicorn.Server):
    """Uvicorn inside a service's own loop; signals belong to the service."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Readiness(BaseModel):
    """Whether the service can do its work, and what keeps it from it."""

    ready: bool
    reasons: list[str]


def build_app(
    title: str,
    routers: tuple[APIRouter, ...],
    status: Callable[[], dict[str, Any]],
    not_ready: Callable[[], list[str]],
) -> FastAPI:
    """Build the application of one service; ``status`` and ``not_ready`` are asked on each call."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json")

    @app.get("/healthz")
    async def healthz() -> Alive:
        """Answer as long as the process does."""
        return Alive()

    @app.get("/readyz", responses={503: {"model": Readiness, "description": "It cannot, and why."}})
    async def readyz(response: Response) -> Readiness:
        """Say whether the service can do its work."""
        reasons = not_ready()
        response.status_code = 503 if reasons else 200
        return Readiness(ready=not reasons, reasons=reasons)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """Return the metrics in Prometheus' text format, or as OpenMetrics, with exemplars, for whoever accepts it."""
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(REGISTRY), media_type=content_type)

    @app.get("/v1/status")
    async def get_status() -> dict[str, Any]:
        """Return where on the tape the service is, and what it has to say of itself."""
        return status()

    for router in routers:
        app.include_router(router)
    return app


def build_server(
    title: str,
    host: str,
    port: int,
    routers: tuple[APIRouter, ...],
    status: Callable[[], dict[str, Any]],
    not_ready: Callable[[], list[str]],
    tracing: Tracing,
) -> HttpServer:
    """Build the server of one service's application."""
    app = build_app(title, routers, status, not_ready)
    tracing.instrument(app)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        loop="none",
        # Who called is the address of the connection, and not what a header says it is.
        proxy_headers=False,
    )
    return HttpServer(config)
