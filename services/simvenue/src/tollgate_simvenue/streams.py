"""The WebSocket side: the market stream for everyone, and the account's own stream after a signed request."""

import asyncio
from typing import Any

import structlog
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from tollgate_simvenue import wire
from tollgate_simvenue.answers import refusal_answer
from tollgate_simvenue.auth import USER_STREAM_TARGET, ApiKey, authenticate
from tollgate_simvenue.core.model import Refusal, Refused
from tollgate_simvenue.core.plan import Stream
from tollgate_simvenue.floor import Floor
from tollgate_simvenue.hub import Connection
from tollgate_simvenue.requests import BODY_BYTES_MAX, RefusedRequest, parse_object

SNAPSHOT_LEVELS = 20
# A client that connects and says nothing is not kept.
FIRST_WORD_S_MAX = 5.0
CLOSE_S_MAX = 1.0
_POLICY_VIOLATION = 1008
_TRY_AGAIN_LATER = 1013

_log = structlog.get_logger()


def routes(floor: Floor, key: ApiKey) -> list[WebSocketRoute]:
    """Return the two streams' routes."""

    async def market(socket: WebSocket) -> None:
        await _serve(socket, lambda value, connection: _follow_market(floor, value, connection), floor)

    async def user(socket: WebSocket) -> None:
        await _serve(socket, lambda value, connection: _follow_user(floor, key, value, connection), floor)

    return [WebSocketRoute("/ws/market", market), WebSocketRoute(USER_STREAM_TARGET, user)]


async def _serve(socket: WebSocket, follow: Any, floor: Floor) -> None:
    """Hear the client's first word, then send it what it follows until either side ends."""
    verdict = None if floor.faults is None else floor.faults.refuses_streams(floor.true_us())
    if verdict is not None and verdict.refused is not None:
        await socket.send_denial_response(refusal_answer(verdict.refused, verdict.retry_after_s))
        return
    await socket.accept()
    connection = Connection()
    try:
        first = await asyncio.wait_for(socket.receive_text(), FIRST_WORD_S_MAX)
        follow(_parse(first), connection)
    except (RefusedRequest, TimeoutError) as error:
        refused = error.refused if isinstance(error, RefusedRequest) else _SILENT
        await socket.send_text(f'[{{"sequence":1,{wire.frame("error", wire.refusal(refused))}]')
        await socket.close(_POLICY_VIOLATION, refused.code)
        return
    except (WebSocketDisconnect, KeyError):  # KeyError: a binary message, which is not one of ours
        return
    ends = (connection.overflowed.wait(), connection.dismissed.wait())
    parts = (_send(socket, connection), _listen(socket), *ends)
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        floor.hub.leave(connection)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if connection.overflowed.is_set():
        _log.warning("stream.slow_consumer", outcome="disconnected")
        await _disconnect(socket, "slow consumer")
    elif connection.dismissed.is_set():
        await _disconnect(socket, Refusal.MAINTENANCE)


_SILENT = Refused(Refusal.INVALID_JSON, f"nothing was said within {FIRST_WORD_S_MAX} s")


def _parse(text: str) -> dict[str, Any]:
    if len(text) > BODY_BYTES_MAX:
        raise RefusedRequest(Refusal.BODY_TOO_LARGE, f"the message has more than {BODY_BYTES_MAX} characters")
    return parse_object(text.encode())


async def _send(socket: WebSocket, connection: Connection) -> None:
    while True:
        await socket.send_text(await connection.take())


async def _disconnect(socket: WebSocket, why: str) -> None:
    """Say why, if the consumer still takes it in; leave it to the server's pings otherwise."""
    try:
        async with asyncio.timeout(CLOSE_S_MAX):
            await socket.close(_TRY_AGAIN_LATER, why)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):  # RuntimeError: it is closed already
        return


async def _listen(socket: WebSocket) -> None:
    """Hear the client only to notice that it has left: what it follows does not change."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass


def _follow_market(floor: Floor, value: dict[str, Any], connection: Connection) -> None:
    """Put instruments and books in the queue, and join before anything else can happen: there is no gap."""
    symbols = value.get("symbols")
    if value.get("type") != "subscribe" or not isinstance(symbols, list) or not symbols:
        raise RefusedRequest(Refusal.INVALID_FIELD, '{"type":"subscribe","symbols":[...]} is expected', "type")
    for symbol in symbols:
        if not isinstance(symbol, str) or not floor.exchange.knows(symbol):
            raise RefusedRequest(Refusal.UNKNOWN_SYMBOL, f"{symbol!r:.40} is not traded here", "symbols")
    if floor.speaks(Stream.MARKET):
        _offer_snapshot(floor, symbols, connection)
    floor.hub.follow_market(connection, frozenset(symbols))


def _offer_snapshot(floor: Floor, symbols: list[str], connection: Connection) -> None:
    ts_us = floor.now_us()
    exchange = floor.exchange
    chosen = [each for each in exchange.instruments() if each.symbol in symbols]
    connection.offer(
        wire.frame(
            "instruments", {"instruments": [wire.instrument(each, ts_us) for each in chosen], "venue_ts_us": ts_us}
        )
    )
    for instrument in chosen:
        bids, asks = exchange.depth(instrument.symbol, SNAPSHOT_LEVELS)
        body = {"symbol": instrument.symbol, "bids": wire.levels(bids), "asks": wire.levels(asks)}
        sequence = exchange.sequence(instrument.symbol)
        connection.offer(wire.frame("book", {**body, "venue_sequence": sequence, "venue_ts_us": ts_us}))


def _follow_user(floor: Floor, key: ApiKey, value: dict[str, Any], connection: Connection) -> None:
    """Accept the signed request ``{"type":"auth","api_key","timestamp_us","signature"}``, signed as a GET."""
    headers = {
        "x-api-key": str(value.get("api_key", "")),
        "x-timestamp-us": str(value.get("timestamp_us", "")),
        "x-signature": str(value.get("signature", "")),
    }
    refused = authenticate(key, headers, "GET", USER_STREAM_TARGET, b"", floor.now_us())
    if refused is not None:
        raise RefusedRequest(refused.code, refused.message, refused.field)
    if floor.speaks(Stream.USER):
        connection.offer(wire.frame("authenticated", {"venue_ts_us": floor.now_us()}))
    floor.hub.follow_user(connection)
