"""The simulated exchange as a process, and what stands between it and an adapter so that a test can bring trouble."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from aiohttp import web
from yarl import URL

from tollgate_contracts.money import plain
from tollgate_execution.venues.manners import Manner
from tollgate_execution.venues.recorded import RecordingVenue, ReplayedVenue
from tollgate_execution.venues.signed_calls import SignedCalls
from tollgate_execution.venues.simulated import SimulatedVenue, VenueKey
from tollgate_venues.adapter import VenueAdapter
from tollgate_venues.conformance import Disturbance, Market, Trouble, World

KEY = VenueKey("k" * 32, b"s" * 32)
MARKET = Market(
    symbol="ETH-USDT",
    base="ETH",
    quote="USDT",
    tick=Decimal("0.01"),
    step=Decimal("0.0001"),
    quantity=Decimal("0.01"),
    far_price=Decimal(1000),
    crossing_price=Decimal(9000),
    beyond_quantity=Decimal(5_000_000),
    smallest_amount=Decimal(1).scaleb(-16),
)
# A request that hangs ends here; others have ample time on a busy machine.
TIMEOUT_S = 1.5
SILENCE_S = 2.0
_numbers = count(1)


@dataclass(frozen=True)
class Exchange:
    """A running exchange."""

    url: str
    manner: Manner


@contextlib.contextmanager
def exchange_process(home: Path, manner: Manner, **settings: str) -> Iterator[Exchange]:
    """Run ``python -m tollgate_simvenue`` in one manner, until the end of the block."""
    (home / "venue_api_key").write_text(KEY.api_key)
    (home / "venue_api_secret").write_bytes(KEY.secret)
    environment = {
        "TOLLGATE_STATE_DIR": str(home),
        "TOLLGATE_SECRETS_DIR": str(home),
        "TOLLGATE_PORTS__SIMVENUE": "0",
        "TOLLGATE_SIMVENUE__QUOTES_PER_S": "200",
        **({} if manner is Manner.TOLLGATE else {"TOLLGATE_SIMVENUE__VENUE_LIKE": manner.value}),
        **settings,
    }
    log = home / "exchange.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tollgate_simvenue"], env={**os.environ, **environment}, stderr=errors
        )
        try:
            yield Exchange(_address(log, process), manner)
        finally:
            process.kill()
            process.wait()


def _address(log: Path, process: "subprocess.Popen[bytes]") -> str:
    """Return where it listens, once its market has two sides."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ValueError, KeyError, IndexError, httpx.HTTPError):
            url = f"http://127.0.0.1:{json.loads(log.read_text().splitlines()[0])['port']}"
            book = httpx.get(f"{url}/api/v1/book/{MARKET.symbol}", trust_env=False).json()
            if book["bids"] and book["asks"]:
                return url
        time.sleep(0.05)
    raise AssertionError(f"the exchange did not start: {log.read_text()[-2_000:]}")


class _Stream:
    """One user stream on its way through."""

    def __init__(self, downstream: web.WebSocketResponse) -> None:
        self.downstream = downstream
        self.disturbance: Disturbance | None = None

    async def pass_on(self, text: str) -> None:
        of_an_order = '"type":"order"' in text or '"type":"trade"' in text
        match self.disturbance:
            case Disturbance.SILENT:
                return
            case Disturbance.MISSING if of_an_order:
                self.disturbance = None
                return
            case Disturbance.REPEATED if of_an_order:
                self.disturbance = None
                await self.downstream.send_str(text)
        await self.downstream.send_str(text)


class Between:
    """A proxy that counts requests, and does with the next one what it was told."""

    def __init__(self, exchange_url: str) -> None:
        self.requests = 0
        self.trouble: tuple[Trouble, int | None] | None = None
        self._exchange_url = exchange_url
        self._streams: list[_Stream] = []

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_get("/ws/user", self._stream)
        app.router.add_route("*", "/{path:.*}", self._request)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        timeout = aiohttp.ClientTimeout(total=30)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await self._session.close()
            await runner.cleanup()

    async def disturb(self, disturbance: Disturbance) -> None:
        for stream in self._streams:
            stream.disturbance = disturbance
            if disturbance is Disturbance.LOST:
                await stream.downstream.close()

    async def _request(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        trouble, self.trouble = self.trouble, None
        if trouble is None:
            return await self._forward(request)
        kind, retry_after_s = trouble
        answer = _ANSWERS.get(kind)
        if answer is not None:
            headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
            return web.Response(status=answer[0], text=answer[1], headers=headers)
        if kind is Trouble.ECHO:
            sent = json.dumps({"code": "INVALID_FIELD", "message": f"what is {dict(request.headers)}?", "field": None})
            return web.Response(status=400, text=sent)
        if kind is not Trouble.BROKEN:
            await self._forward(request)
        if kind is Trouble.TAKEN_SERVER_ERROR:
            return web.Response(status=500, text='{"code":"INTERNAL","message":"x","field":null}')
        if kind is Trouble.TAKEN_SILENT:
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async def _forward(self, request: web.Request) -> web.Response:
        url = URL(f"{self._exchange_url}{request.raw_path}", encoded=True)
        headers = {name: value for name, value in request.headers.items() if name.lower().startswith("x-")}
        body = await request.read()
        async with self._session.request(request.method, url, data=body, headers=headers) as answer:
            retry_after = answer.headers.get("Retry-After")
            told = {} if retry_after is None else {"Retry-After": retry_after}
            return web.Response(status=answer.status, body=await answer.read(), headers=told)

    async def _stream(self, request: web.Request) -> web.WebSocketResponse:
        downstream = web.WebSocketResponse(compress=False)
        await downstream.prepare(request)
        stream = _Stream(downstream)
        self._streams.append(stream)
        try:
            async with self._session.ws_connect(f"{self._exchange_url}/ws/user", compress=0) as upstream:
                up = asyncio.create_task(_pump_up(downstream, upstream))
                async for message in upstream:
                    await stream.pass_on(message.data)
                up.cancel()
        finally:
            self._streams.remove(stream)
            await downstream.close()
        return downstream


async def _pump_up(downstream: web.WebSocketResponse, upstream: aiohttp.ClientWebSocketResponse) -> None:
    async for message in downstream:
        await upstream.send_str(message.data)
    await upstream.close()


_ANSWERS = {
    Trouble.SERVER_ERROR: (500, '{"code":"INTERNAL","message":"x","field":null}'),
    Trouble.RATE_LIMITED: (429, '{"code":"RATE_LIMITED","message":"too fast","field":null}'),
    Trouble.BANNED: (418, '{"code":"BANNED","message":"much too fast","field":null}'),
    Trouble.MAINTENANCE: (503, '{"code":"MAINTENANCE","message":"back soon","field":null}'),
    Trouble.UNAUTHORIZED: (401, '{"code":"BAD_SIGNATURE","message":"no","field":"x-signature"}'),
    Trouble.UNREADABLE: (200, "<html>welcome</html>"),
    Trouble.STRANGE_NOT_FOUND: (404, "<html>nothing here</html>"),
}


class SimulatedWorld:
    """The venue's side of a test: the real exchange, and the proxy before it."""

    def __init__(self, exchange: Exchange, between: Between, url: str) -> None:
        self._manner = exchange.manner
        self._between = between
        self._url = url
        self._door = SignedCalls(exchange.url, KEY, 5.0)

    market = MARKET
    secrets = (KEY.api_key, KEY.secret.decode())

    def adapter(self, key: VenueKey = KEY, of: type[SimulatedVenue] = SimulatedVenue) -> SimulatedVenue:
        return of(self._url, key, like=self._manner, timeout_s=TIMEOUT_S, silence_s=SILENCE_S)

    def new_id(self) -> str:
        return f"tg{next(_numbers):018x}"

    def requests(self) -> int:
        return self._between.requests

    async def stranger(self) -> VenueAdapter:
        return self.adapter(VenueKey(KEY.api_key, b"n" * 32))

    async def trouble(self, trouble: Trouble, retry_after_s: int | None = None) -> None:
        self._between.trouble = (trouble, retry_after_s)

    async def disturb(self, disturbance: Disturbance) -> None:
        await self._between.disturb(disturbance)

    async def bust(self, trade_id: str) -> None:
        await self._control("POST", "/sim/v1/busts", {"trade_id": trade_id})

    async def move(self, currency: str, amount: Decimal) -> None:
        kind = "DEPOSIT" if amount > 0 else "WITHDRAWAL"
        body = {"type": kind, "currency": currency, "amount": plain(amount)}
        await self._control("POST", "/sim/v1/movements", body)

    async def set_open(self, is_open: bool) -> None:
        status = "OPEN" if is_open else "CANCEL_ONLY"
        await self._control("PUT", f"/sim/v1/instruments/{self.market.symbol}", {"status": status})

    async def close(self) -> None:
        await self._door.close()

    async def _control(self, method: str, target: str, body: dict[str, Any]) -> None:
        await self._door.call(method, target, json.dumps(body).encode())


class RememberingWorld:
    """A world that keeps what it said, so that a replay can be told the same."""

    def __init__(self, world: World, home: Path) -> None:
        self._world = world
        self._home = home
        self.said: list[Any] = []
        self.market, self.secrets = world.market, world.secrets

    def new_id(self) -> str:
        self.said.append(self._world.new_id())
        return str(self.said[-1])

    def requests(self) -> int:
        self.said.append(self._world.requests())
        return int(self.said[-1])

    async def stranger(self) -> VenueAdapter:
        path = self._home / f"stranger-{len(self.said)}.jsonl"
        self.said.append(path)
        return RecordingVenue(await self._world.stranger(), path)

    async def trouble(self, trouble: Trouble, retry_after_s: int | None = None) -> None:
        await self._world.trouble(trouble, retry_after_s)

    async def disturb(self, disturbance: Disturbance) -> None:
        await self._world.disturb(disturbance)

    async def bust(self, trade_id: str) -> None:
        await self._world.bust(trade_id)

    async def move(self, currency: str, amount: Decimal) -> None:
        await self._world.move(currency, amount)

    async def set_open(self, is_open: bool) -> None:
        await self._world.set_open(is_open)


class RememberedWorld:
    """The world of a replay: it says again what it said, and nothing can be brought about in it any more."""

    def __init__(self, remembering: RememberingWorld) -> None:
        self._said = iter(remembering.said)
        self.market, self.secrets = remembering.market, remembering.secrets

    def new_id(self) -> str:
        return str(next(self._said))

    def requests(self) -> int:
        return int(next(self._said))

    async def stranger(self) -> VenueAdapter:
        return ReplayedVenue(next(self._said))

    async def trouble(self, trouble: Trouble, retry_after_s: int | None = None) -> None:
        return

    async def disturb(self, disturbance: Disturbance) -> None:
        return

    async def bust(self, trade_id: str) -> None:
        return

    async def move(self, currency: str, amount: Decimal) -> None:
        return

    async def set_open(self, is_open: bool) -> None:
        return
