"""The bare chain: what an order's way costs when nobody decides anything.

Five small programs, each a process of its own as in the platform: the venue, A (market data), B (strategy), C
(risk), D (execution). Straight nats-py, uvloop, one awaited JetStream append for each hop, one commit before the
send; no validation, no core, no signature, no gap check, no log. Run as ``python -m tests.bench.bare_programs ROLE``
with the chain's description as JSON in the environment.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import httptools
import nats
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

VARIABLE = "TOLLGATE_BENCH_CHAIN"
DESK = "bare"
STREAM = f"TAPE_{DESK}"
SYMBOLS = ("BTC-USDT", "ETH-USDT", "SOL-USDT", "XRP-USDT", "AVAX-USDT")
INSERT = "INSERT INTO journal (client_order_id, prepared_us, approval) VALUES ($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Chain:
    """What every program of one chain is told."""

    nats_url: str
    postgres_dsn: str
    market_port: int
    order_port: int
    ways_file: str
    """Where the venue writes, at its end, the moments of each order."""
    quotes_per_s: int
    conflation_ms: int
    quote_bytes: int
    intent_bytes: int
    decision_bytes: int
    intents_per_s: float


def now_us() -> int:
    """Return the host's time."""
    return time.time_ns() // 1_000


def padded(content: dict[str, Any], size: int) -> bytes:
    """Return ``content`` as JSON of ``size`` bytes, or as many as it needs."""
    bare = json.dumps({**content, "pad": ""})
    return json.dumps({**content, "pad": "x" * max(size - len(bare), 0)}).encode()


class Appender:
    """Appends under one writer's name as the platform does: deduplicated, and only after its own last message."""

    def __init__(self, client: Client, writer: str) -> None:
        self._stream = client.jetstream(timeout=5)
        self._prefix = f"tape.{DESK}.{writer}"
        self._last = 0
        self._number = 0
        self._run = now_us()
        self._turn = asyncio.Lock()

    async def append(self, kind: str, data: bytes) -> None:
        """Append and wait for the broker's word that it is on disk."""
        async with self._turn:
            self._number += 1
            headers = {
                "Nats-Msg-Id": f"{self._prefix}:{self._run}:{self._number}",
                "Nats-Expected-Last-Subject-Sequence": str(self._last),
                "Nats-Expected-Last-Subject-Sequence-Subject": f"{self._prefix}.>",
            }
            done = await self._stream.publish(f"{self._prefix}.{kind}", data, stream=STREAM, headers=headers)
            self._last = done.seq

    async def open(self, client: Client) -> None:
        """Find this writer's last message."""
        manager = client.jsm()
        state = (await manager.stream_info(STREAM, subjects_filter=f"{self._prefix}.>")).state
        if state.subjects:
            last = [await manager.get_last_msg(STREAM, subject) for subject in state.subjects]
            self._last = max(message.seq or 0 for message in last)


class _OrderDesk(asyncio.Protocol):
    """The least that takes an order over HTTP and answers; it stamps when the request is whole, as a venue does."""

    def __init__(self, ways: list[list[int]]) -> None:
        self._ways = ways
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._body += part

    def on_message_complete(self) -> None:
        received_us = now_us()
        body, self._body = self._body, b""
        self._ways.append([*json.loads(body)["moments"], received_us])
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")


async def venue(chain: Chain) -> None:
    """Send stamped quotes at an even pace, take orders, and write what was seen when told to stop."""
    listeners: set[ServerConnection] = set()
    ways: list[list[int]] = []
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)

    async def listen(socket: ServerConnection) -> None:
        listeners.add(socket)
        await socket.wait_closed()
        listeners.discard(socket)

    async def tick() -> None:
        due, number = time.monotonic(), 0
        while True:
            await asyncio.sleep(max(due - time.monotonic(), 0))
            number += 1
            symbol = SYMBOLS[number % len(SYMBOLS)]
            quote = {"type": "quote", "symbol": symbol, "bid": "59999.12", "ask": "60001.34", "venue_ts_us": now_us()}
            frame = json.dumps([{"sequence": number, **quote}])
            for socket in tuple(listeners):
                await socket.send(frame)
            due += 1 / chain.quotes_per_s

    await loop.create_server(lambda: _OrderDesk(ways), "127.0.0.1", chain.order_port)
    async with serve(listen, "127.0.0.1", chain.market_port, compression=None):
        ticking = asyncio.create_task(tick())
        await stopping.wait()
        ticking.cancel()
    await asyncio.to_thread(Path(chain.ways_file).write_text, json.dumps(ways))


async def market_data(chain: Chain) -> None:
    """A: hear quotes, keep the newest of each symbol, append them when the last append is done."""
    client = await nats.connect(chain.nats_url, allow_reconnect=False)
    appender = Appender(client, "a")
    await appender.open(client)
    waiting: dict[str, int] = {}
    some = asyncio.Event()

    async def speak() -> None:
        spoke_at = 0.0
        while True:
            await some.wait()
            pause_s = spoke_at + chain.conflation_ms / 1_000 - time.monotonic()
            if pause_s > 0:
                await asyncio.sleep(pause_s)
            some.clear()
            spoke_at = time.monotonic()
            content = {"stamps": dict(waiting), "spoke_us": now_us()}
            waiting.clear()
            await appender.append("quote", padded(content, chain.quote_bytes))

    speaking = asyncio.create_task(speak())
    async with connect(f"ws://127.0.0.1:{chain.market_port}", compression=None) as socket:
        async for message in socket:
            for frame in json.loads(message):
                waiting[frame["symbol"]] = frame["venue_ts_us"]
            some.set()
            if speaking.done():
                speaking.result()


async def _follow(chain: Chain, subject: str, take: Callable[[Msg], Awaitable[None]]) -> Client:
    client = await nats.connect(chain.nats_url, allow_reconnect=False)
    await client.subscribe(f"live.{DESK}.{subject}", cb=take)
    return client


async def strategy(chain: Chain) -> None:
    """B: turn quote messages into intents, as often as the platform's strategy did; the symbols take turns."""
    count = 0
    due = time.monotonic()

    async def take(message: Msg) -> None:
        nonlocal count, due
        if time.monotonic() < due:
            return
        due += 1 / chain.intents_per_s
        count += 1
        content = json.loads(message.data)
        stamps = list(content["stamps"].values())
        headers = message.headers or {}
        moments = [stamps[count % len(stamps)], content["spoke_us"]]
        intent = {"moments": moments, "quote": int(headers["Nats-Sequence"])}
        await appender.append("intent", padded(intent, chain.intent_bytes))

    client = await nats.connect(chain.nats_url, allow_reconnect=False)
    appender = Appender(client, "b")
    await appender.open(client)
    await client.subscribe(f"live.{DESK}.a.quote", cb=take)
    await asyncio.Event().wait()


async def risk(chain: Chain) -> None:
    """C: turn every intent into a decision."""

    async def take(message: Msg) -> None:
        content = json.loads(message.data)
        decision = {
            "moments": content["moments"],
            "quote": content["quote"],
            "intent": int((message.headers or {})["Nats-Sequence"]),
        }
        await appender.append("decision", padded(decision, chain.decision_bytes))

    client = await nats.connect(chain.nats_url, allow_reconnect=False)
    appender = Appender(client, "c")
    await appender.open(client)
    await client.subscribe(f"live.{DESK}.b.intent", cb=take)
    await asyncio.Event().wait()


async def execution(chain: Chain) -> None:
    """D: commit a row for every decision, then send the order."""
    database = await asyncpg.connect(chain.postgres_dsn)
    prepared = await database.prepare(INSERT)
    venue = aiohttp.ClientSession(f"http://127.0.0.1:{chain.order_port}", timeout=aiohttp.ClientTimeout(total=2))
    turn = asyncio.Lock()
    sending: set[asyncio.Task[None]] = set()

    async def send(message: Msg) -> None:
        content = json.loads(message.data)
        sequence = int((message.headers or {})["Nats-Sequence"])
        begun_us = now_us()
        async with turn:
            await prepared.fetch(f"{begun_us}:{sequence}", begun_us, message.data.decode())
        places = [content["quote"], content["intent"], sequence]
        body = json.dumps({"moments": [*content["moments"], *places, begun_us, now_us()]})
        async with venue.post("/orders", data=body.encode()) as answer:
            await answer.read()

    async def take(message: Msg) -> None:
        task = asyncio.create_task(send(message))
        sending.add(task)
        task.add_done_callback(sending.discard)

    await _follow(chain, "c.decision", take)
    await asyncio.Event().wait()


ROLES: dict[str, Callable[[Chain], Awaitable[None]]] = {
    "venue": venue,
    "execution": execution,
    "risk": risk,
    "strategy": strategy,
    "marketdata": market_data,
}
"""In the order of starting."""


async def _main() -> None:
    await ROLES[sys.argv[1]](Chain(**json.loads(os.environ[VARIABLE])))


if __name__ == "__main__":
    uvloop.run(_main())
