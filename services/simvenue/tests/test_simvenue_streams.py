"""The WebSocket side over a real connection."""

import json
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from simvenue_listening import authentication, has, market, read
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tollgate_simvenue import streams
from tollgate_simvenue.hub import Connection

Start = Callable[..., Awaitable[Any]]
Build = Callable[..., dict[str, Any]]


async def test_the_market_stream_starts_with_metadata_and_books_and_numbers_every_frame(start: Start) -> None:
    client = await start(quotes_per_s=200, candle_interval_ms=200)
    stream = await market(client, "ETH-USDT", "XRP-USDT")
    frames = await read(stream, has("quote", "trade", "candle", "heartbeat"))
    await stream.close()
    assert [frame["sequence"] for frame in frames] == list(range(1, len(frames) + 1))
    assert [frame["type"] for frame in frames[:3]] == ["instruments", "book", "book"]
    assert {frame["symbol"] for frame in frames if "symbol" in frame} == {"ETH-USDT", "XRP-USDT"}
    books = {frame["symbol"]: frame["venue_sequence"] for frame in frames[1:3]}
    for symbol, first in books.items():
        numbers = [
            frame["venue_sequence"] for frame in frames if frame["type"] == "quote" and frame["symbol"] == symbol
        ]
        assert numbers == list(range(first + 1, first + 1 + len(numbers)))
    assert all(abs(frame["venue_ts_us"] - time.time_ns() // 1_000) < 10_000_000 for frame in frames)


async def test_two_connections_are_numbered_each_for_itself(start: Start) -> None:
    client = await start(quotes_per_s=100)
    first, second = await market(client, "ETH-USDT"), await market(client, "XRP-USDT")
    for stream in (first, second):
        frames = await read(stream, has("quote"))
        assert [frame["sequence"] for frame in frames] == list(range(1, len(frames) + 1))
        await stream.close()


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('{"type":"subscribe","symbols":["NO-SUCH"]}', "UNKNOWN_SYMBOL"),
        ('{"type":"subscribe","symbols":[5]}', "UNKNOWN_SYMBOL"),
        ('{"type":"subscribe","symbols":[]}', "INVALID_FIELD"),
        ('{"type":"subscribe"}', "INVALID_FIELD"),
        ('{"type":"hello"}', "INVALID_FIELD"),
        ('{"type":', "INVALID_JSON"),
        ("[]", "NOT_AN_OBJECT"),
        ('"' + "x" * 5_000 + '"', "BODY_TOO_LARGE"),
    ],
)
async def test_a_wrong_first_word_is_answered_and_ends_the_stream(start: Start, said: str, code: str) -> None:
    client = await start()
    stream = await connect(f"ws://127.0.0.1:{client.port}/ws/market")
    await stream.send(said)
    (frame,) = await read(stream, has("error"))
    assert frame["code"] == code
    with pytest.raises(ConnectionClosed) as closed:
        await stream.recv()
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, code)  # type: ignore[union-attr]


async def test_the_user_stream_says_every_change_and_every_trade(start: Start, order: Build) -> None:
    client = await start()
    stream = await connect(f"ws://127.0.0.1:{client.port}/ws/user")
    await stream.send(authentication(client))
    assert (await read(stream, has("authenticated")))[0]["sequence"] == 1
    await client.call("POST", "/api/v1/orders", order())
    await client.call("DELETE", "/api/v1/orders/tg-1")
    await client.call("POST", "/api/v1/orders", order(client_order_id="t", limit_price="9000", time_in_force="IOC"))
    frames = await read(stream, lambda frames: any(frame.get("status") == "FILLED" for frame in frames))
    frames = [frame for frame in frames if frame["type"] != "heartbeat"]
    said = [(frame["type"], frame["client_order_id"], frame["status"]) for frame in frames]
    assert said[:2] == [("order", "tg-1", "OPEN"), ("order", "tg-1", "CANCELLED")]
    trades = [frame for frame in frames if frame["type"] == "trade"]
    assert trades[-1]["cumulative_quantity"] == "0.5"
    assert all(trade["trade_id"] and trade["venue_order_id"] for trade in trades)
    await stream.close()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"signature": "0" * 64}, "BAD_SIGNATURE"),
        ({"api_key": "somebody"}, "UNKNOWN_API_KEY"),
        ({"timestamp_us": ""}, "MISSING_HEADER"),
    ],
)
async def test_the_user_stream_is_for_the_owner_only(start: Start, changes: dict[str, str], code: str) -> None:
    client = await start()
    stream = await connect(f"ws://127.0.0.1:{client.port}/ws/user")
    await stream.send(authentication(client, **changes))
    (frame,) = await read(stream, has("error"))
    assert frame["code"] == code
    await stream.close()


async def test_a_consumer_that_does_not_read_is_disconnected_and_others_are_not(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stuck consumer costs a bounded queue and then its connection."""
    monkeypatch.setattr(streams, "Connection", partial(Connection, 100))
    client = await start()
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    narrow.connect(("127.0.0.1", client.port))
    url = f"ws://127.0.0.1:{client.port}/ws/market"
    stuck = await connect(url, sock=narrow, max_queue=1, compression=None, ping_interval=None)
    await stuck.send(json.dumps({"type": "subscribe", "symbols": ["BTC-USDT"]}))
    reading = await market(client, "ETH-USDT")
    hub = client.application._floor.hub
    heard = 0
    for _ in range(400):
        hub.say_to_markets(f'"type":"long","text":"{"x" * 50_000}"}}')
        heard += len(await read(reading, bool))
    assert heard > 400
    with pytest.raises(ConnectionClosed):
        await read(stuck, lambda _frames: False)
    await reading.close()


async def test_a_full_queue_says_so_and_takes_no_more() -> None:
    connection = Connection(queue_frames_max=3)
    for _ in range(3):
        connection.offer('"type":"x"}')
    assert not connection.overflowed.is_set()
    connection.offer('"type":"x"}')
    assert connection.overflowed.is_set()
    assert [frame["sequence"] for frame in json.loads(await connection.take())] == [1, 2, 3]
