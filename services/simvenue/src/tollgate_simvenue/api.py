"""The REST side: public questions, and the account's own calls with key and signature.

Every answer that is not what was asked for is ``{"code", "message", "field"}``. The account's calls are plain
Starlette routes, because placing an order is in the platform's measured path and FastAPI's reading of arguments
would cost more than the matching.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from tollgate_simvenue import streams, wire
from tollgate_simvenue.auth import ApiKey, authenticate
from tollgate_simvenue.core.model import Order, Refusal, Refused
from tollgate_simvenue.floor import Floor, now_us
from tollgate_simvenue.rate import TokenBucket
from tollgate_simvenue.requests import BODY_BYTES_MAX, RefusedRequest, parse_order

LEVELS_MAX = 100
FILLS_MAX = 1_000
_BAD_REQUEST = 400

_STATUS = {
    Refusal.MISSING_HEADER: 401,
    Refusal.UNKNOWN_API_KEY: 401,
    Refusal.BAD_SIGNATURE: 401,
    Refusal.NOT_FOUND: 404,
    Refusal.UNKNOWN_ORDER: 404,
    Refusal.METHOD_NOT_ALLOWED: 405,
    Refusal.DUPLICATE_CLIENT_ORDER_ID: 409,
    Refusal.BODY_TOO_LARGE: 413,
    Refusal.UNKNOWN_SYMBOL: 422,
    Refusal.INSTRUMENT_NOT_OPEN: 422,
    Refusal.CONTRADICTION: 422,
    Refusal.PRICE_OFF_TICK: 422,
    Refusal.QUANTITY_OFF_STEP: 422,
    Refusal.BELOW_MIN_QUANTITY: 422,
    Refusal.BELOW_MIN_NOTIONAL: 422,
    Refusal.RATE_LIMITED: 429,
}

Handler = Callable[[Request], Awaitable[Response]]
Call = Callable[[Request, bytes], Response]


def create_app(floor: Floor, key: ApiKey, orders_per_s_max: int) -> FastAPI:
    """Build the exchange's ASGI application."""
    private = _Private(floor, key, orders_per_s_max)
    app = FastAPI(
        title="Tollgate simulated exchange",
        docs_url=None,
        redoc_url=None,
        routes=[*private.routes(), *streams.routes(floor, key)],
        exception_handlers={RefusedRequest: _on_refused, HTTPException: _on_http, ClientDisconnect: _on_gone},
    )
    _add_public(app, floor)
    return app


class _Private:
    """The account's calls."""

    def __init__(self, floor: Floor, key: ApiKey, orders_per_s_max: int) -> None:
        self._floor = floor
        self._key = key
        self._bucket = TokenBucket(orders_per_s_max)

    def routes(self) -> list[Route]:
        one_order = "/api/v1/orders/{client_order_id}"
        return [
            Route("/api/v1/orders", self._handler(self._place), methods=["POST"]),
            Route(one_order, self._handler(self._cancel), methods=["DELETE"]),
            Route(one_order, self._handler(self._query), methods=["GET"]),
            Route("/api/v1/orders", self._handler(self._orders), methods=["GET"]),
            Route("/api/v1/fills", self._handler(self._fills), methods=["GET"]),
            Route("/api/v1/account", self._handler(self._account), methods=["GET"]),
        ]

    def _handler(self, call: Call) -> Handler:
        async def handle(request: Request) -> Response:
            body = await _read_body(request)
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            refused = authenticate(self._key, request.headers, request.method, target, body, now_us())
            return answer(refused) if refused is not None else call(request, body)

        return handle

    def _place(self, _request: Request, body: bytes) -> Response:
        received_us = now_us()
        if not self._bucket.take(received_us):
            return answer(Refused(Refusal.RATE_LIMITED, f"more than {self._bucket.per_s} orders a second"))
        outcome = self._floor.place(parse_order(body, received_us))
        return answer(outcome) if isinstance(outcome, Refused) else _order(outcome)

    def _cancel(self, request: Request, _body: bytes) -> Response:
        order = self._floor.cancel(request.path_params["client_order_id"])
        return _order(order) if order is not None else _unknown_order()

    def _query(self, request: Request, _body: bytes) -> Response:
        order = self._floor.order(request.path_params["client_order_id"])
        return _order(order) if order is not None else _unknown_order()

    def _orders(self, request: Request, _body: bytes) -> Response:
        if request.query_params.get("open") != "true":
            return answer(Refused(Refusal.MISSING_FIELD, "only open orders are listed: ask for ?open=true", "open"))
        orders = [wire.order(order) for order in self._floor.exchange.open_orders()]
        return _json({"orders": orders, "venue_ts_us": now_us()})

    def _fills(self, request: Request, _body: bytes) -> Response:
        since = _whole(request, "since", 0, 2**63 - 1)
        fills = [wire.fill(fill) for fill in self._floor.fills_since(since, FILLS_MAX)]
        return _json({"fills": fills, "venue_ts_us": now_us()})

    def _account(self, _request: Request, _body: bytes) -> Response:
        exchange = self._floor.exchange
        return _json(wire.account(exchange.account, exchange.fees, now_us()))


def _add_public(app: FastAPI, floor: Floor) -> None:
    exchange = floor.exchange

    @app.get("/healthz")
    @app.get("/readyz")
    async def healthz() -> Response:
        return _json({"status": "ok", "service": "simvenue"})

    @app.get("/api/v1/time")
    async def venue_time() -> Response:
        market = floor.market
        return _json(
            {
                "venue_ts_us": now_us(),
                "market": {
                    "source": market.source,
                    "started": market.started,
                    "finished": market.finished,
                    "events": market.events,
                },
            }
        )

    @app.get("/api/v1/instruments")
    async def instruments() -> Response:
        ts_us = now_us()
        return _json({"instruments": [wire.instrument(each, ts_us) for each in exchange.instruments()]})

    @app.get("/api/v1/book/{symbol}")
    async def book(symbol: str, request: Request) -> Response:
        _known(floor, symbol)
        bids, asks = exchange.depth(symbol, _whole(request, "levels", 20, LEVELS_MAX))
        return _json(
            {
                "symbol": symbol,
                "bids": wire.levels(bids),
                "asks": wire.levels(asks),
                "venue_sequence": exchange.sequence(symbol),
                "venue_ts_us": now_us(),
            }
        )

    @app.get("/api/v1/trades/{symbol}")
    async def trades(symbol: str) -> Response:
        _known(floor, symbol)
        return _json({"trades": [wire.trade(trade) for trade in exchange.trades(symbol)]})

    @app.get("/api/v1/candles/{symbol}")
    async def candles(symbol: str) -> Response:
        _known(floor, symbol)
        closed = [wire.candle(each.candle, each.venue_ts_us) for each in exchange.candles(symbol)]
        return _json({"candles": closed})


def answer(refused: Refused) -> Response:
    """Return a refusal as an answer."""
    return _json(wire.refusal(refused), _STATUS.get(refused.code, _BAD_REQUEST))


async def _read_body(request: Request) -> bytes:
    """Return the body; raises ``RefusedRequest`` as soon as it is known to be too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise RefusedRequest(Refusal.BODY_TOO_LARGE, f"the body has more than {BODY_BYTES_MAX} bytes")
    return body


def _known(floor: Floor, symbol: str) -> None:
    if not floor.exchange.knows(symbol):
        raise RefusedRequest(Refusal.UNKNOWN_SYMBOL, f"{symbol[:40]} is not traded here", "symbol")


def _whole(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise RefusedRequest(Refusal.INVALID_FIELD, f"{name} is a whole number from 0 to {most}", name)
    return int(text)


def _json(body: dict[str, Any], status: int = 200) -> Response:
    return Response(wire.to_json(body), status, media_type="application/json")


def _order(order: Order) -> Response:
    return _json(wire.order(order))


def _unknown_order() -> Response:
    return answer(
        Refused(Refusal.UNKNOWN_ORDER, "no order with this client order id was registered", "client_order_id")
    )


async def _on_refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RefusedRequest):
        raise error
    return answer(error.refused)


async def _on_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = Refusal.METHOD_NOT_ALLOWED if error.status_code == _STATUS[Refusal.METHOD_NOT_ALLOWED] else Refusal.NOT_FOUND
    return answer(Refused(code, json.dumps(error.detail)[1:-1]))


async def _on_gone(_request: Request, _error: Exception) -> Response:
    """Answer a client that has left before its request was whole: nobody reads it, and nothing was done."""
    return answer(Refused(Refusal.INVALID_JSON, "the request ended before its body was complete"))
