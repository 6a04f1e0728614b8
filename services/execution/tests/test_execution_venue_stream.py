"""The user stream of the simulated exchange when the venue sends what it should not."""

import asyncio
import json

import pytest
from execution_venue_world import KEY
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_execution.venues.simulated import SimulatedVenue
from tollgate_venues.adapter import UserStreamLost
from tollgate_venues.evidence import Evidence


def frames(*numbers: int) -> str:
    return json.dumps([{"sequence": number, "type": "heartbeat", "venue_ts_us": 1} for number in numbers])


STREAMS = [
    ([frames(1, 2), frames(4)], "gap: frame 3 was expected, 4 came"),
    (['[{"sequence":1,"type":"order"}]'], "unreadable: status: missing"),
    (['[{"sequence":1}]'], "unreadable: type: missing"),
    (["nonsense"], "unreadable: not JSON"),
    ([frames(1), None], "closed"),
    ([frames(1)], "silent: no frame for 0.2 s"),
]


@pytest.mark.parametrize(("messages", "why"), STREAMS)
async def test_a_user_stream_that_misbehaves_is_lost(messages: list[str | None], why: str) -> None:
    async def misbehave(socket: ServerConnection) -> None:
        await socket.recv()
        for message in messages:
            if message is None:
                return
            await socket.send(message)
        await socket.wait_closed()

    async with serve_websocket(misbehave, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        # Only who waits for silence may be short of patience.
        client = SimulatedVenue(f"http://127.0.0.1:{port}", KEY, silence_s=0.2 if why.startswith("silent") else 10)
        with pytest.raises(UserStreamLost, match=why):
            await anext(aiter(client.user_stream()))


async def test_a_stream_that_is_never_accepted_is_given_up_though_heartbeats_come() -> None:
    """Its acceptance was lost: who waits for it would be deaf until the connection ends by itself."""

    async def forget(socket: ServerConnection) -> None:
        await socket.recv()
        for number in range(1, 100):
            await socket.send(frames(number))
            await asyncio.sleep(0.02)

    listening = asyncio.Event()
    async with serve_websocket(forget, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        client = SimulatedVenue(f"http://127.0.0.1:{port}", KEY, silence_s=1.0)
        with pytest.raises(UserStreamLost, match="not accepted"):
            await anext(aiter(client.user_stream(listening)))
    assert not listening.is_set()


BUST = {"type": "bust", "trade_id": "1-7", "client_order_id": "tg-1", "symbol": "ETH-USDT", "venue_ts_us": 5}


async def test_a_frame_that_comes_again_says_nothing_twice() -> None:
    """The same number is the same frame: no gap, and no second bust."""

    async def repeat(socket: ServerConnection) -> None:
        await socket.recv()
        for number in (1, 1, 2, 1):
            await socket.send(json.dumps([{"sequence": number, **BUST}]))

    async with serve_websocket(repeat, "127.0.0.1", 0) as server:
        client = SimulatedVenue(f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}", KEY)
        stream = aiter(client.user_stream())
        heard = [await anext(stream), await anext(stream)]
        with pytest.raises(UserStreamLost, match="closed"):
            await anext(stream)
    bust = Evidence("tg-1", ReportSource.STREAM, ReportStatus.TRADED, busted=("1-7",), venue_ts_us=5)
    assert heard == [bust, bust]
