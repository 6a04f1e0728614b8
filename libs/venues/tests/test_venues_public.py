"""The public side: against the real exchange, and against streams that misbehave."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from tollgate_venues.frames import BarFrame, HeartbeatFrame, InstrumentFrame, QuoteFrame, TradeFrame
from tollgate_venues.simulated.public import FeedLoss, FeedLost, SimulatedMarket

SYMBOLS = ("ETH-USDT", "XRP-USDT")


async def test_frames_of_every_kind_come_from_the_real_exchange(exchange: str) -> None:
    """Instruments first, then a quote of each symbol, then what happens."""
    seen: list[Any] = []
    async with SimulatedMarket(exchange) as market, asyncio.timeout(10):
        assert len(await market.instruments()) == 5
        async for frame in market.frames(SYMBOLS):
            seen.append(frame)
            if {type(each) for each in seen} >= {QuoteFrame, TradeFrame, BarFrame, HeartbeatFrame}:
                break
        quotes = await market.quotes(SYMBOLS)
        clock = await market.venue_time()
    assert [type(frame) for frame in seen[:2]] == [InstrumentFrame, InstrumentFrame]
    assert {frame.symbol for frame in seen if isinstance(frame, QuoteFrame)} == set(SYMBOLS)
    assert [quote.symbol for quote in quotes] == list(SYMBOLS)
    assert (clock.market_source, clock.market_started, clock.market_finished) == ("generator", True, False)
    assert clock.market_events > 0
    newest = {frame.symbol: frame.venue_sequence for frame in seen if isinstance(frame, QuoteFrame)}
    assert all(quote.venue_sequence >= newest[quote.symbol] for quote in quotes)


async def lost(market: SimulatedMarket, symbols: tuple[str, ...] = SYMBOLS) -> FeedLost:
    async with market, asyncio.timeout(10):
        with pytest.raises(FeedLost) as raised:
            await _read_to_the_end(market, symbols)
    return raised.value


async def _read_to_the_end(market: SimulatedMarket, symbols: tuple[str, ...]) -> None:
    async for _ in market.frames(symbols):
        pass


async def test_a_symbol_that_the_exchange_does_not_know_is_refused(exchange: str) -> None:
    error = await lost(SimulatedMarket(exchange), ("NO-SUCH",))
    assert error.reason is FeedLoss.REFUSED
    assert "UNKNOWN_SYMBOL" in error.detail
    async with SimulatedMarket(exchange) as market:
        with pytest.raises(FeedLost, match="UNKNOWN_SYMBOL"):
            await market.quotes(("NO-SUCH",))


def frames(*numbers: int) -> str:
    return json.dumps([{"sequence": number, "type": "heartbeat", "venue_ts_us": 1} for number in numbers])


STREAMS = [
    ([frames(1), frames(3)], FeedLoss.GAP, "frame 2 was expected, 3 came"),
    ([frames(1, 2), frames(2)], FeedLoss.GAP, "frame 3 was expected, 2 came"),
    ([frames(2)], FeedLoss.GAP, "frame 1 was expected, 2 came"),
    (['[{"sequence":1,"type":"quote"}]'], FeedLoss.UNREADABLE, "symbol: missing"),
    (["not json"], FeedLoss.UNREADABLE, "not JSON"),
    (['{"sequence":1}'], FeedLoss.UNREADABLE, "an array of frames"),
    ([frames(1), None], FeedLoss.CLOSED, ""),
    ([frames(1)], FeedLoss.SILENT, "no frame for 0.2 s"),
    ([], FeedLoss.SILENT, "no frame for 0.2 s"),
]


@pytest.mark.parametrize(("messages", "reason", "detail"), STREAMS)
async def test_a_stream_that_misbehaves_is_lost_for_its_reason(
    messages: list[str | None], reason: FeedLoss, detail: str
) -> None:
    async def misbehave(socket: ServerConnection) -> None:
        assert json.loads(await socket.recv()) == {"type": "subscribe", "symbols": list(SYMBOLS)}
        for message in messages:
            if message is None:
                return
            await socket.send(message)
        await socket.wait_closed()

    async with serve_websocket(misbehave, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        error = await lost(SimulatedMarket(f"http://127.0.0.1:{port}", silence_s=0.2))
    assert (error.reason, detail in error.detail) == (reason, True)


async def test_nobody_there_is_said_at_once() -> None:
    market = SimulatedMarket("http://127.0.0.1:1")
    assert (await lost(market)).reason is FeedLoss.UNREACHABLE
    async with SimulatedMarket("http://127.0.0.1:1") as market:
        for call in (market.instruments(), market.venue_time(), market.quotes(SYMBOLS)):
            with pytest.raises(FeedLost, match="UNREACHABLE"):
                await call


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", FeedLoss.REFUSED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnope", FeedLoss.UNREADABLE),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", FeedLoss.UNREADABLE),
        (b"nonsense\r\n\r\n", FeedLoss.UNREACHABLE),
    ],
)
async def test_answers_that_are_none_are_lost_too(
    serve: Callable[..., Awaitable[str]], body: bytes, reason: FeedLoss
) -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in {b"\r\n", b""}:
            pass
        writer.write(body)
        writer.close()

    async with SimulatedMarket(await serve(reply)) as market:
        for call in (market.instruments, market.venue_time):
            with pytest.raises(FeedLost) as raised:
                await call()
            assert raised.value.reason is reason
