"""The simulated exchange's public side: instruments and quotes by REST, everything else by the market stream.

Crash-only: a connection that is closed, falls silent, misses a frame or says something unreadable is over, and
``FeedLost`` says why. Whoever wants more connects again and starts from the snapshots that come first.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, TypeVar
from urllib.parse import quote

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tollgate_venues.frames import InstrumentFrame, MarketFrame, QuoteFrame
from tollgate_venues.simulated import parse
from tollgate_venues.simulated.parse import UnreadableVenueData

# The venue sends a heartbeat each second: after three, something is wrong.
SILENCE_S = 3.0
_OPEN_TIMEOUT_S = 3.0
_REST_TIMEOUT_S = 2.0
# A full queue of the venue, ten thousand frames of some 250 bytes, in one message.
_MESSAGE_BYTES_MAX = 8 * 1024 * 1024
_OK = 200


class FeedLoss(StrEnum):
    """Why a feed is over."""

    UNREACHABLE = "UNREACHABLE"
    """No connection, or no answer in time."""
    REFUSED = "REFUSED"
    """The venue would not serve the request."""
    CLOSED = "CLOSED"
    SILENT = "SILENT"
    """Not even a heartbeat for too long."""
    GAP = "GAP"
    """A frame is missing, or came twice."""
    UNREADABLE = "UNREADABLE"


class FeedLost(Exception):
    """The feed is over; ``reason`` and ``detail`` say why."""

    def __init__(self, reason: FeedLoss, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class VenueTime:
    """The venue's clock, and how far the market that it plays has come."""

    venue_ts_us: int
    market_source: str
    market_started: bool
    market_finished: bool
    market_events: int


class SimulatedMarket:
    """A client of the public side at ``base_url``, such as ``http://127.0.0.1:8410``; use it in ``async with``."""

    def __init__(self, base_url: str, *, silence_s: float = SILENCE_S) -> None:
        self._client = httpx.AsyncClient(base_url=base_url, timeout=_REST_TIMEOUT_S)
        self._stream_url = f"{base_url.replace('http', 'ws', 1)}/ws/market"
        self._silence_s = silence_s

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._client.aclose()

    async def instruments(self) -> tuple[InstrumentFrame, ...]:
        """Return every instrument's metadata; raises ``FeedLost``."""
        return _read(parse.instruments, await self._get("/api/v1/instruments"))

    async def quotes(self, symbols: Iterable[str]) -> tuple[QuoteFrame, ...]:
        """Return best bid and ask of each symbol that has both, by REST: the slower way; raises ``FeedLost``."""
        tops = [_read(parse.book_top, await self._get(f"/api/v1/book/{quote(symbol)}?levels=1")) for symbol in symbols]
        return tuple(top for top in tops if top is not None)

    async def venue_time(self) -> VenueTime:
        """Return the venue's clock; raises ``FeedLost``."""
        return _read(_venue_time, await self._get("/api/v1/time"))

    async def frames(self, symbols: Iterable[str]) -> AsyncIterator[MarketFrame]:
        """Yield frames from one connection: instruments and a quote of each symbol first, then what changes.

        Raises ``FeedLost`` when the connection is over, and never ends otherwise.
        """
        try:
            async with connect(
                self._stream_url,
                compression=None,
                open_timeout=_OPEN_TIMEOUT_S,
                close_timeout=1,
                ping_interval=None,  # the venue's heartbeats say more than a pong of ours
                max_size=_MESSAGE_BYTES_MAX,
            ) as socket:
                await socket.send(_subscription(symbols))
                async for frame in self._follow(socket):
                    yield frame
        except ConnectionClosed as error:
            raise FeedLost(FeedLoss.CLOSED, str(error)) from error
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise FeedLost(FeedLoss.UNREACHABLE, f"{type(error).__name__}: {error}") from error

    async def _follow(self, socket: ClientConnection) -> AsyncIterator[MarketFrame]:
        expected = 1
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    message = await socket.recv()
            except TimeoutError as error:
                raise FeedLost(FeedLoss.SILENT, f"no frame for {self._silence_s} s") from error
            for sequence, frame in _read(parse.parse_frames, message):
                if frame.get("type") == "error":
                    raise FeedLost(FeedLoss.REFUSED, f"{frame.get('code')}: {frame.get('message')}")
                if sequence != expected:
                    raise FeedLost(FeedLoss.GAP, f"frame {expected} was expected, {sequence} came")
                expected += 1
                for said in _read(parse.market_frames, frame):
                    yield said

    async def _get(self, target: str) -> parse.Json:
        try:
            async with asyncio.timeout(_REST_TIMEOUT_S):
                response = await self._client.get(target)
        except (httpx.HTTPError, TimeoutError) as error:
            raise FeedLost(FeedLoss.UNREACHABLE, f"{target}: {type(error).__name__}: {error}") from error
        if response.status_code != _OK:
            raise FeedLost(FeedLoss.REFUSED, f"{target}: {response.status_code}: {response.text[:200]}")
        return _read(parse.parse_object, response.content)


T = TypeVar("T")
V = TypeVar("V")


def _read(reader: Callable[[V], T], value: V) -> T:
    try:
        return reader(value)
    except UnreadableVenueData as error:
        raise FeedLost(FeedLoss.UNREADABLE, str(error)) from error


def _subscription(symbols: Iterable[str]) -> str:
    return json.dumps({"type": "subscribe", "symbols": list(symbols)})


def _venue_time(body: parse.Json) -> VenueTime:
    try:
        market = body["market"]
        return VenueTime(
            venue_ts_us=int(body["venue_ts_us"]),
            market_source=str(market["source"]),
            market_started=market["started"] is True,
            market_finished=market["finished"] is True,
            market_events=int(market["events"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableVenueData(f"time: {error}") from error
