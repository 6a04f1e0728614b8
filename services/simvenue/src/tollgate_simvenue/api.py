"""The REST side: public questions, and the account's own calls with key and signature.

Every answer that is not what was asked for is ``{"code", "message", "field"}``. The account's calls are plain
Starlette routes, because placing an order is in the platform's measured path and FastAPI's reading of arguments
would cost more than the matching.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from tollgate_simvenue import streams, wire
from tollgate_simvenue.answers import STATUS, Answered, Drop, Silence, json_answer, refusal_answer
from tollgate_simvenue.auth import ApiKey, authenticate
from tollgate_simvenue.control import Control
from tollgate_simvenue.core.faults import NO_FAULT, Verdict
from tollgate_simvenue.core.model import Order, OrderReason, OrderStatus, Refusal, Refused
from tollgate_simvenue.core.plan import CallKind, CancelAnswer
from tollgate_simvenue.floor import Floor
from tollgate_simvenue.rate import TokenBucket
from tollgate_simvenue.requests import RefusedRequest, parse_object, parse_order, read_body, whole

LEVELS_MAX = 100
# Of fills, and of movements.
ROWS_MAX = 1_000
RECENT_ORDERS_MAX = 500
_TIME_US_MAX = 2**63 - 1

Handler = Callable[[Request], Awaitable[Response]]
Call = Callable[[Request, bytes, Verdict], Response]


def create_app(floor: Floor, key: ApiKey, orders_per_s_max: int, control: Control) -> FastAPI:
    """Build the exchange's ASGI application."""
    private = _Private(floor, key, orders_per_s_max)
    app = FastAPI(
        title="Tollgate simulated exchange",
        docs_url=None,
        redoc_url=None,
        routes=[*private.routes(), *control.routes(), *streams.routes(floor, key)],
        exception_handlers={
            RefusedRequest: _on_refused,
            HTTPException: _on_http,
            ClientDisconnect: _on_gone,
            Answered: _on_answered,
        },
    )
    app.include_router(_public(floor))

    @app.get("/healthz")
    @app.get("/readyz")
    async def healthz() -> Response:
        return json_answer({"status": "ok", "service": "simvenue"})

    return app


class _Private:
    """The account's calls."""

    def __init__(self, floor: Floor, key: ApiKey, orders_per_s_max: int) -> None:
        self._floor = floor
        self._key = key
        self._bucket = TokenBucket(orders_per_s_max)

    def routes(self) -> list[Route]:
        orders, one_order = "/api/v1/orders", "/api/v1/orders/{client_order_id}"
        of_venue_id = "/api/v1/orders/by-venue-id/{venue_order_id}"
        table: list[tuple[str, str, CallKind, Call]] = [
            ("POST", orders, CallKind.PLACE, self._place),
            ("DELETE", one_order, CallKind.CANCEL, self._cancel),
            ("GET", one_order, CallKind.QUERY, self._query),
            ("DELETE", of_venue_id, CallKind.CANCEL, self._cancel),
            ("GET", of_venue_id, CallKind.QUERY, self._query),
            ("GET", orders, CallKind.ORDERS, self._orders),
            ("GET", "/api/v1/fills", CallKind.FILLS, self._fills),
            ("GET", "/api/v1/movements", CallKind.MOVEMENTS, self._movements),
            ("GET", "/api/v1/account", CallKind.ACCOUNT, self._account),
        ]
        return [Route(path, self._handler(kind, call), methods=[method]) for method, path, kind, call in table]

    def _handler(self, kind: CallKind, call: Call) -> Handler:
        async def handle(request: Request) -> Response:
            body = await read_body(request)
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            floor = self._floor
            refused = authenticate(self._key, request.headers, request.method, target, body, floor.now_us())
            if refused is not None:
                return refusal_answer(refused)
            if floor.faults is None:
                return call(request, body, NO_FAULT)
            verdict = floor.faults.call(kind, self._symbol(kind, request, body), floor.true_us())
            instead = _as_faults_have_it(verdict)
            if instead is None:
                return call(request, body, verdict)
            if verdict.acts:
                with suppress(RefusedRequest):  # whatever comes of it, nobody is told
                    call(request, body, verdict)
            return instead

        return handle

    def _symbol(self, kind: CallKind, request: Request, body: bytes) -> str | None:
        """Return which symbol a call is about, where it can be known."""
        if kind is CallKind.PLACE:
            symbol = parse_object(body).get("symbol")
            return symbol if isinstance(symbol, str) else None
        order = self._order_of(request)
        return order.request.symbol if order is not None else None

    def _place(self, _request: Request, body: bytes, verdict: Verdict) -> Response:
        received_us = self._floor.now_us()
        if not self._bucket.take(received_us):
            return refusal_answer(Refused(Refusal.RATE_LIMITED, f"more than {self._bucket.per_s} orders a second"))
        outcome = self._floor.place(parse_order(body, received_us), verdict.hidden_us)
        return refusal_answer(outcome) if isinstance(outcome, Refused) else _order(outcome)

    def _cancel(self, request: Request, _body: bytes, verdict: Verdict) -> Response:
        order = self._visible_order(request)
        refused = self._floor.exchange.refuses_cancel(order)
        if refused is not None:
            return refusal_answer(refused)
        trick = verdict.cancel_trick
        if trick is None or order.status is not OrderStatus.OPEN:
            self._floor.cancel(order)
            return _order(order)
        said = wire.order(order)
        if trick.answer is CancelAnswer.DONE:
            said |= {"status": OrderStatus.CANCELLED, "reason": OrderReason.USER, "venue_ts_us": self._floor.now_us()}
        self._floor.cancel_with_fill(order, trick)
        return json_answer(said)

    def _query(self, request: Request, _body: bytes, _verdict: Verdict) -> Response:
        return _order(self._visible_order(request))

    def _visible_order(self, request: Request) -> Order:
        """Return the order that is asked for; raises ``RefusedRequest`` where there is none, or none to be seen."""
        by_client_id = "client_order_id" in request.path_params
        if by_client_id and not self._floor.exchange.manners.looks_up_by_client_id:
            raise RefusedRequest(
                Refusal.NOT_SUPPORTED, "orders are found by the exchange's own id alone", "client_order_id"
            )
        order = self._order_of(request)
        if order is None or not self._floor.can_be_seen(order.request.client_order_id):
            raise RefusedRequest(
                Refusal.UNKNOWN_ORDER,
                "no order with this id was registered",
                "client_order_id" if by_client_id else "venue_order_id",
            )
        return order

    def _order_of(self, request: Request) -> Order | None:
        asked = request.path_params
        if "venue_order_id" in asked:
            return self._floor.order_of_venue_id(asked["venue_order_id"])
        return self._floor.order(asked["client_order_id"]) if "client_order_id" in asked else None

    def _orders(self, request: Request, _body: bytes, _verdict: Verdict) -> Response:
        answer = {"venue_ts_us": self._floor.now_us()}
        if request.query_params.get("open") == "true":
            return json_answer({"orders": self._seen(self._floor.exchange.open_orders()), **answer})
        if "since_us" not in request.query_params:
            raise RefusedRequest(Refusal.MISSING_FIELD, "ask for ?open=true, or for ?since_us=…", "open")
        since_us = whole(request, "since_us", 0, _TIME_US_MAX)
        orders, complete = self._floor.orders_since(since_us, RECENT_ORDERS_MAX)
        return json_answer({"orders": self._seen(orders), "complete": complete, **answer})

    def _seen(self, orders: list[Order]) -> list[object]:
        return [wire.order(order) for order in orders if self._floor.can_be_seen(order.request.client_order_id)]

    def _fills(self, request: Request, _body: bytes, _verdict: Verdict) -> Response:
        rows: list[object] = []
        for row in self._floor.fills_since(whole(request, "since", 0, _TIME_US_MAX), ROWS_MAX):
            # A list that left a hidden row out would move the reader's cursor past it for ever.
            if not self._floor.can_be_seen(row.client_order_id):
                break
            rows.append(wire.fill_or_bust(row))
        return json_answer({"fills": rows, "venue_ts_us": self._floor.now_us()})

    def _movements(self, request: Request, _body: bytes, _verdict: Verdict) -> Response:
        rows = self._floor.movements_since(whole(request, "since", 0, _TIME_US_MAX), ROWS_MAX)
        return json_answer({"movements": [wire.movement(row) for row in rows], "venue_ts_us": self._floor.now_us()})

    def _account(self, _request: Request, _body: bytes, _verdict: Verdict) -> Response:
        exchange = self._floor.exchange
        offsets = self._floor.balance_offsets()
        now_us = self._floor.now_us()
        return json_answer(wire.account(exchange.account, exchange.fees.at(now_us), now_us, offsets))


def _public(floor: Floor) -> APIRouter:
    exchange = floor.exchange

    async def as_faults_have_it() -> None:
        if floor.faults is not None:
            instead = _as_faults_have_it(floor.faults.call(CallKind.PUBLIC, None, floor.true_us()))
            if instead is not None:
                raise Answered(instead)

    router = APIRouter(prefix="/api/v1", dependencies=[Depends(as_faults_have_it)])

    @router.get("/time")
    async def venue_time() -> Response:
        market = floor.market
        return json_answer(
            {
                "venue_ts_us": floor.now_us(),
                "market": {
                    "source": market.source,
                    "started": market.started,
                    "finished": market.finished,
                    "events": market.events,
                },
            }
        )

    @router.get("/instruments")
    async def instruments() -> Response:
        ts_us = floor.now_us()
        return json_answer({"instruments": [wire.instrument(each, ts_us) for each in exchange.instruments()]})

    @router.get("/book/{symbol}")
    async def book(symbol: str, request: Request) -> Response:
        _known(floor, symbol)
        bids, asks = exchange.depth(symbol, whole(request, "levels", 20, LEVELS_MAX))
        return json_answer(
            {
                "symbol": symbol,
                "bids": wire.levels(bids),
                "asks": wire.levels(asks),
                "venue_sequence": exchange.sequence(symbol),
                "venue_ts_us": floor.now_us(),
            }
        )

    @router.get("/trades/{symbol}")
    async def trades(symbol: str) -> Response:
        _known(floor, symbol)
        return json_answer({"trades": [wire.trade(trade) for trade in exchange.trades(symbol)]})

    @router.get("/candles/{symbol}")
    async def candles(symbol: str) -> Response:
        _known(floor, symbol)
        closed = [wire.candle(each.candle, each.venue_ts_us) for each in exchange.candles(symbol)]
        return json_answer({"candles": closed})

    return router


def _as_faults_have_it(verdict: Verdict) -> Response | None:
    """Return what is answered instead of the true answer, or null."""
    if verdict.silent:
        return Silence()
    if verdict.drops:
        return Drop()
    return None if verdict.refused is None else refusal_answer(verdict.refused, verdict.retry_after_s)


def _known(floor: Floor, symbol: str) -> None:
    if not floor.exchange.knows(symbol):
        raise RefusedRequest(Refusal.UNKNOWN_SYMBOL, f"{symbol[:40]} is not traded here", "symbol")


def _order(order: Order) -> Response:
    return json_answer(wire.order(order))


async def _on_refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RefusedRequest):
        raise error
    return refusal_answer(error.refused)


async def _on_answered(_request: Request, error: Exception) -> Response:
    if not isinstance(error, Answered):
        raise error
    return error.response


async def _on_http(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    code = Refusal.METHOD_NOT_ALLOWED if error.status_code == STATUS[Refusal.METHOD_NOT_ALLOWED] else Refusal.NOT_FOUND
    return refusal_answer(Refused(code, json.dumps(error.detail)[1:-1]))


async def _on_gone(_request: Request, _error: Exception) -> Response:
    """Answer a client that has left before its request was whole: nobody reads it, and nothing was done."""
    return refusal_answer(Refused(Refusal.INVALID_JSON, "the request ended before its body was complete"))
