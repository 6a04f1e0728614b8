"""The HTTP side of every service: health, readiness, metrics, status, and the service's own routes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from tollgate_chassis.telemetry.tracing import Tracing

# A slow client may not hold a connection of an operator's door for longer than this.
_KEEP_ALIVE_S = 5


class HttpServer(uvicorn.Server):
    """Uvicorn inside a service's own loop; signals belong to the service."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def build_server(
    title: str,
    host: str,
    port: int,
    routers: tuple[APIRouter, ...],
    status: Callable[[], dict[str, Any]],
    not_ready: Callable[[], list[str]],
    tracing: Tracing,
) -> HttpServer:
    """Build the server of one service; ``status`` and ``not_ready`` are asked on each call."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None, openapi_url="/v1/openapi.json")

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, Any]:
        reasons = not_ready()
        response.status_code = 503 if reasons else 200
        return {"ready": not reasons, "reasons": reasons}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/status")
    async def get_status() -> dict[str, Any]:
        return status()

    for router in routers:
        app.include_router(router)
    tracing.instrument(app)
    config = uvicorn.Config(
        app, host=host, port=port, log_config=None, access_log=False, timeout_keep_alive=_KEEP_ALIVE_S, loop="none"
    )
    return HttpServer(config)
