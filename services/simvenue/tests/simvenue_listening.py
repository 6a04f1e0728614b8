"""Clients of the two streams."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tollgate_simvenue.auth import sign


async def read(stream: ClientConnection, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """Return frames until there are enough."""
    frames: list[dict[str, Any]] = []
    async with asyncio.timeout(5):
        while not enough(frames):
            frames += json.loads(await stream.recv())
    return frames


def has(*kinds: str) -> Callable[[list[dict[str, Any]]], bool]:
    return lambda frames: {frame["type"] for frame in frames}.issuperset(kinds)


async def market(client: Any, *symbols: str) -> ClientConnection:
    stream = await connect(f"ws://127.0.0.1:{client.port}/ws/market")
    await stream.send(json.dumps({"type": "subscribe", "symbols": list(symbols)}))
    return stream


def authentication(client: Any, **changes: str) -> str:
    timestamp = str(client.clock())
    signature = sign(b"s" * 32, timestamp, "GET", "/ws/user", b"")
    fields = {"api_key": "k" * 32, "timestamp_us": timestamp, "signature": signature, **changes}
    return json.dumps({"type": "auth", **fields})


async def user(client: Any) -> ClientConnection:
    stream = await connect(f"ws://127.0.0.1:{client.port}/ws/user")
    await stream.send(authentication(client))
    await read(stream, has("authenticated"))
    return stream


async def until_heartbeat(stream: ClientConnection) -> list[dict[str, Any]]:
    """Return what comes before the next heartbeat, without heartbeats."""
    frames = await read(stream, has("heartbeat"))
    return [frame for frame in frames if frame["type"] != "heartbeat"]
