"""The private side of the simulated exchange: signing and the calls that move money, here and nowhere else.

The law of this module: a call that may have changed something at the venue never raises; it returns evidence,
and "we do not know" is a piece of evidence (``NO_ANSWER``). Calls that only read raise ``VenueUnavailable``.
Nothing is sent twice: there is no retry in here.
"""

import asyncio
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar
from urllib.parse import quote

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from yarl import URL

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.money import plain
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_venues.evidence import AccountEvidence, Evidence, FillEvidence
from tollgate_venues.simulated import parse
from tollgate_venues.simulated.parse import UnreadableVenueData

# A request that arrives later than this after it was signed is refused by the venue: once it has passed, an
# order that the venue does not know will never be known to it.
RECEIVE_WINDOW_US = 2_000_000
_USER_STREAM = "/ws/user"
_OPEN_TIMEOUT_S = 3.0
_MESSAGE_BYTES_MAX = 8 * 1024 * 1024
# A thousand fills of some 300 bytes are a tenth of this.
_ANSWER_BYTES_MAX = 4 * 1024 * 1024
_DETAIL_MAX = 500

_OK = 200
_NOT_FOUND = 404
_REQUEST_TIMEOUT = 408
_CONFLICT = 409
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500

_Json = parse.Json
_compact = json.JSONEncoder(separators=(",", ":")).encode
T = TypeVar("T")


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """Read a body of reasonable size; raises ``_NoAnswer`` for any other."""
    answer = bytearray()
    async for part in response.content.iter_any():
        answer += part
        if len(answer) > _ANSWER_BYTES_MAX:
            raise _NoAnswer(f"{response.url}: an answer of more than {_ANSWER_BYTES_MAX} bytes")
    return bytes(answer)


class VenueUnavailable(Exception):
    """The venue did not answer a question as it should; the text says how. Ask again later."""


class UserStreamLost(Exception):
    """The user stream ended, fell silent or missed a frame; connect again and query all open orders."""


@dataclass(frozen=True, slots=True, repr=False)
class VenueKey:
    """The account's key at the venue; its ``repr`` shows no secret."""

    api_key: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """What is asked of the venue; ``limit_price`` is null for a market order and for nothing else."""

    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    time_in_force: TimeInForce
    post_only: bool


class SimulatedVenue:
    """A client of the simulated exchange's private API over one pool of warm connections."""

    def __init__(self, base_url: str, key: VenueKey, *, timeout_s: float = 2.0, silence_s: float = 3.0) -> None:
        self._key = key
        self._timeout_s = timeout_s
        self._silence_s = silence_s
        self._base_url = base_url.rstrip("/")
        self._stream_url = f"{self._base_url.replace('http', 'ws', 1)}{_USER_STREAM}"
        self._session: aiohttp.ClientSession | None = None

    async def connect(self) -> None:
        """Open a connection, so that the first order does not pay for it; a failure is left to the first call."""
        try:
            await self._call("GET", "/api/v1/time")
        except _NoAnswer:
            return

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def submit(self, order: VenueOrder) -> Evidence:
        """Place ``order`` once; source ``SUBMIT``."""
        return await self._act(order.client_order_id, ReportSource.SUBMIT, "POST", "/api/v1/orders", _order_body(order))

    async def cancel(self, client_order_id: str) -> Evidence:
        """Cancel; source ``CANCEL``: the order as it stands after it, ``ABSENT`` or ``NO_ANSWER``."""
        return await self._act(client_order_id, ReportSource.CANCEL, "DELETE", _order_target(client_order_id))

    async def query(self, client_order_id: str) -> Evidence:
        """Ask what became of an order, all its trades with it; source ``QUERY``: ``ABSENT`` when it is unknown."""
        return await self._act(client_order_id, ReportSource.QUERY, "GET", _order_target(client_order_id))

    async def open_orders(self) -> list[Evidence]:
        """Return every open order; source ``QUERY``. Raises ``VenueUnavailable``."""
        return await self._ask(
            "/api/v1/orders?open=true",
            lambda body: [parse.order_evidence(each, ReportSource.QUERY) for each in body["orders"]],
        )

    async def fills_since(self, fill_sequence: int) -> list[FillEvidence]:
        """Return at most 1000 fills after ``fill_sequence`` (0 for all), oldest first. Raises ``VenueUnavailable``."""
        return await self._ask(f"/api/v1/fills?since={fill_sequence}", parse.fills)

    async def account(self) -> AccountEvidence:
        """Return balances and fees. Raises ``VenueUnavailable``."""
        return await self._ask("/api/v1/account", parse.account)

    async def user_stream(self, listening: asyncio.Event | None = None) -> AsyncIterator[Evidence]:
        """Yield evidence (source ``STREAM``) from one connection until it is lost; raises ``UserStreamLost``.

        ``listening`` is set once the venue has accepted the signed request: whoever asks for all open orders
        after that can miss nothing in between.
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
                await socket.send(self._authentication())
                async for evidence in self._follow(socket, listening):
                    yield evidence
        except ConnectionClosed as error:
            raise UserStreamLost(f"closed: {error}") from error
        except (OSError, TimeoutError, InvalidHandshake) as error:
            raise UserStreamLost(f"unreachable: {type(error).__name__}: {error}") from error

    async def _follow(self, socket: ClientConnection, listening: asyncio.Event | None) -> AsyncIterator[Evidence]:
        expected = 1
        while True:
            try:
                async with asyncio.timeout(self._silence_s):
                    message = await socket.recv()
            except TimeoutError as error:
                raise UserStreamLost(f"silent: no frame for {self._silence_s} s") from error
            try:
                for sequence, frame in parse.parse_frames(message):
                    expected = _checked(sequence, frame, expected)
                    if frame.get("type") == "authenticated" and listening is not None:
                        listening.set()
                    evidence = parse.user_evidence(frame)
                    if evidence is not None:
                        yield evidence
            except UnreadableVenueData as error:
                raise UserStreamLost(f"unreadable: {error}") from error

    async def _act(
        self, client_order_id: str, source: ReportSource, method: str, target: str, body: bytes = b""
    ) -> Evidence:
        """Make a call about one order; whatever happens, say what is known."""
        try:
            status, answer = await self._call(method, target, body)
            if status == _OK:
                return _order_of(client_order_id, parse.order_evidence(parse.parse_object(answer), source))
            return _refused(client_order_id, source, status, answer)
        except (_NoAnswer, UnreadableVenueData) as error:
            return _no_answer(client_order_id, source, str(error))

    async def _ask(self, target: str, reader: Callable[[_Json], T]) -> T:
        try:
            status, answer = await self._call("GET", target)
            if status == _OK:
                return reader(parse.parse_object(answer))
        except (_NoAnswer, UnreadableVenueData, KeyError, TypeError) as error:
            raise VenueUnavailable(f"{target}: {type(error).__name__}: {error}") from error
        raise VenueUnavailable(f"{target}: {status}: {answer[:200].decode(errors='replace')}")

    async def _call(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send one signed request and return status and body; raises ``_NoAnswer``."""
        url = URL(f"{self._base_url}{target}", encoded=True)
        try:
            async with self._connected().request(
                method, url, data=body, headers=self._headers(method, target, body), allow_redirects=False
            ) as response:
                status, answer = response.status, await _bounded(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _NoAnswer(f"{method} {target}: {type(error).__name__}: {error}") from error
        if status >= _SERVER_ERROR or status == _REQUEST_TIMEOUT:
            raise _NoAnswer(f"{method} {target}: the venue answered {status}")
        return status, answer

    def _connected(self) -> aiohttp.ClientSession:
        """Return the pool of connections; it belongs to the running loop and is made when it is first used."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
        return self._session

    def _headers(self, method: str, target: str, body: bytes) -> dict[str, str]:
        timestamp = str(time.time_ns() // 1_000)
        return {
            "x-api-key": self._key.api_key,
            "x-timestamp-us": timestamp,
            "x-signature": self._sign(timestamp, method, target, body),
        }

    def _sign(self, timestamp: str, method: str, target: str, body: bytes) -> str:
        text = f"{timestamp}\n{method}\n{target}\n".encode() + body
        return hmac.digest(self._key.secret, text, "sha256").hex()

    def _authentication(self) -> str:
        headers = self._headers("GET", _USER_STREAM, b"")
        return _compact(
            {
                "type": "auth",
                "api_key": headers["x-api-key"],
                "timestamp_us": headers["x-timestamp-us"],
                "signature": headers["x-signature"],
            }
        )


class _NoAnswer(Exception):
    """No answer that tells anything: timeout, broken connection, or the venue's own failure."""


def _order_target(client_order_id: str) -> str:
    return f"/api/v1/orders/{quote(client_order_id, safe='')}"


def _order_body(order: VenueOrder) -> bytes:
    return _compact(
        {
            "client_order_id": order.client_order_id,
            "symbol": order.symbol,
            "side": order.side,
            "order_type": order.order_type,
            "quantity": plain(order.quantity),
            "limit_price": None if order.limit_price is None else plain(order.limit_price),
            "time_in_force": order.time_in_force,
            "post_only": order.post_only,
        }
    ).encode()


def _order_of(client_order_id: str, evidence: Evidence) -> Evidence:
    """Return ``evidence``; raises ``UnreadableVenueData`` when it is of another order."""
    if evidence.client_order_id != client_order_id:
        raise UnreadableVenueData(f"client_order_id: the answer is about {evidence.client_order_id[:64]}")
    return evidence


def _refused(client_order_id: str, source: ReportSource, status: int, answer: bytes) -> Evidence:
    """Say what a refusal means; raises ``UnreadableVenueData`` when it is not the venue's own word."""
    code, message = parse.refusal(answer)
    detail = f"{code}: {message}"[:_DETAIL_MAX]
    if status == _NOT_FOUND and code == "UNKNOWN_ORDER":
        return Evidence(client_order_id, source, ReportStatus.ABSENT, detail=detail)
    if source is not ReportSource.SUBMIT or status == _CONFLICT:
        # A cancel or a look-up that was refused says nothing of the order; a duplicate says that an order of
        # this id is there, and only a look-up tells how it stands.
        return _no_answer(client_order_id, source, detail)
    limited = status == _TOO_MANY_REQUESTS
    reason = Reason.VENUE_RATE_LIMITED if limited else Reason.VENUE_REJECTED
    return Evidence(client_order_id, source, ReportStatus.REJECTED, reason=reason, detail=detail)


def _no_answer(client_order_id: str, source: ReportSource, detail: str) -> Evidence:
    return Evidence(
        client_order_id,
        source,
        ReportStatus.NO_ANSWER,
        reason=Reason.VENUE_UNKNOWN_OUTCOME,
        detail=detail[:_DETAIL_MAX],
    )


def _checked(sequence: int, frame: _Json, expected: int) -> int:
    """Return the sequence to expect next; raises ``UserStreamLost`` for a refusal or a gap."""
    if frame.get("type") == "error":
        raise UserStreamLost(f"refused: {frame.get('code')}: {frame.get('message')}")
    if sequence != expected:
        raise UserStreamLost(f"gap: frame {expected} was expected, {sequence} came")
    return expected + 1
