"""Signed calls to the simulated exchange over one pool of warm connections, and how they fail.

The law of this module: one call is one request, and a call that fails says how it failed in the words of
``tollgate_venues.evidence.Failure``. Neither the key nor the secret is in any text that leaves here.
"""

import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
from yarl import URL

from tollgate_venues.evidence import Failure
from tollgate_venues.retry_after import retry_after_us
from tollgate_venues.simulated import parse
from tollgate_venues.simulated.parse import UnreadableVenueData

USER_STREAM = "/ws/user"
# A thousand fills of some 300 bytes are a tenth of this.
_ANSWER_BYTES_MAX = 4 * 1024 * 1024
_DETAIL_MAX = 500

_OK = 200
_UNAUTHORIZED = frozenset({401, 403})
_REQUEST_TIMEOUT = 408
_BANNED = 418
_TOO_MANY_REQUESTS = 429
_SERVER_ERROR = 500
_MAINTENANCE = "MAINTENANCE"
# Our clock, or a request that was longer on its way than the venue allows: either way it is not the order's fault.
_CLOCK_CODES = frozenset({"INVALID_TIMESTAMP", "TIMESTAMP_TOO_OLD", "TIMESTAMP_IN_FUTURE"})

_compact = json.JSONEncoder(separators=(",", ":")).encode


def wall_us() -> int:
    """Return the wall clock's time."""
    return time.time_ns() // 1_000


@dataclass(frozen=True, slots=True, repr=False)
class VenueKey:
    """The account's key at the venue; its ``repr`` shows no secret."""

    api_key: str
    secret: bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a call did not bring what was asked for."""

    failure: Failure
    detail: str
    code: str | None = None
    """The venue's own word for it; none where the answer is not one of the venue's."""
    retry_after_us: int | None = None


class CallFailed(Exception):
    """A call was not answered with what was asked for."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_after: str | None


class SignedCalls:
    """The account's calls over HTTP, each signed when it leaves."""

    def __init__(self, base_url: str, key: VenueKey, timeout_s: float, now_us: Callable[[], int] = wall_us) -> None:
        self._base_url = base_url.rstrip("/")
        self._key = key
        self._timeout_s = timeout_s
        self._now_us = now_us
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    @property
    def stream_url(self) -> str:
        """Return the address of the user stream."""
        return f"{self._base_url.replace('http', 'ws', 1)}{USER_STREAM}"

    async def close(self) -> None:
        """Close every connection; a call that is made afterwards fails."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    async def call(self, method: str, target: str, body: bytes = b"") -> parse.Json:
        """Send one signed request and return the object that it is answered with; raises ``CallFailed``."""
        answer = await self._answer(method, target, body)
        if isinstance(answer, Problem):
            raise CallFailed(answer)
        if answer.status != _OK:
            raise CallFailed(self._problem(method, target, answer))
        try:
            said = parse.parse_object(answer.body)
        except UnreadableVenueData as error:
            detail = self._shown(f"{method} {target}: {error}")
            raise CallFailed(Problem(Failure.UNREADABLE, detail)) from error
        if "code" in said:  # some venues refuse under a status that says that all is well
            raise CallFailed(self._problem(method, target, answer))
        return said

    def authentication(self) -> str:
        """Return the first message of the user stream."""
        headers = self._headers("GET", USER_STREAM, b"")
        return _compact(
            {
                "type": "auth",
                "api_key": headers["x-api-key"],
                "timestamp_us": headers["x-timestamp-us"],
                "signature": headers["x-signature"],
            }
        )

    def hide(self, text: str) -> str:
        """Return ``text`` without key and secret: a venue may say in its answer what it was sent."""
        return text.replace(self._key.api_key, "(key)").replace(self._key.secret.decode(errors="replace"), "(secret)")

    async def _answer(self, method: str, target: str, body: bytes) -> _Answer | Problem:
        """Return what came back.

        No exception leaves here: the library's own hold the request with its signed headers.
        """
        if self._is_closed:
            return Problem(Failure.NO_ANSWER, f"{method} {target}: not sent, this client is closed")
        url = URL(f"{self._base_url}{target}", encoded=True)
        try:
            async with self._connected().request(
                method, url, data=body, headers=self._headers(method, target, body), allow_redirects=False
            ) as response:
                text = await _bounded(response)
                retry_after = response.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Problem(Failure.NO_ANSWER, self._shown(f"{method} {target}: {type(error).__name__}: {error}"))
        if text is None:
            return Problem(Failure.UNREADABLE, f"{method} {target}: an answer of more than {_ANSWER_BYTES_MAX} bytes")
        return _Answer(response.status, text, retry_after)

    def _problem(self, method: str, target: str, answer: _Answer) -> Problem:
        """Say how a call failed that was answered with anything but 200."""
        try:
            code, message = parse.refusal(answer.body)
        except UnreadableVenueData:
            shown = answer.body[:200].decode(errors="replace")
            code, message = None, f"{method} {target}: the venue answered {answer.status}: {shown}"
        return Problem(
            _failure(answer.status, code),
            self._shown(message if code is None else f"{code}: {message}"),
            code,
            retry_after_us(answer.retry_after, self._now_us()),
        )

    def _shown(self, text: str) -> str:
        return self.hide(text)[:_DETAIL_MAX]

    def _connected(self) -> aiohttp.ClientSession:
        """Return the pool of connections; it belongs to the running loop and is made when it is first used."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            )
            # The library sends a GET or a DELETE once more when a kept connection breaks, and has no public switch:
            # whether a call may be made again is our caller's to decide.
            self._session._retry_connection = False  # noqa: SLF001 - the library's own tests switch it off so too
        return self._session

    def _headers(self, method: str, target: str, body: bytes) -> dict[str, str]:
        timestamp = str(self._now_us())
        return {
            "x-api-key": self._key.api_key,
            "x-timestamp-us": timestamp,
            "x-signature": self._sign(timestamp, method, target, body),
        }

    def _sign(self, timestamp: str, method: str, target: str, body: bytes) -> str:
        text = f"{timestamp}\n{method}\n{target}\n".encode() + body
        return hmac.digest(self._key.secret, text, "sha256").hex()


async def _bounded(response: aiohttp.ClientResponse) -> bytes | None:
    """Return a body of reasonable size, and null for any other."""
    answer = bytearray()
    async for part in response.content.iter_any():
        answer += part
        if len(answer) > _ANSWER_BYTES_MAX:
            return None
    return bytes(answer)


def _failure(status: int, code: str | None) -> Failure:
    """Return how an answer with ``status`` fails; guards in a fixed order, the venue's silence on itself first."""
    if status >= _SERVER_ERROR or status == _REQUEST_TIMEOUT:
        return Failure.MAINTENANCE if code == _MAINTENANCE else Failure.NO_ANSWER
    if status == _TOO_MANY_REQUESTS:
        return Failure.RATE_LIMITED
    if status == _BANNED:
        return Failure.BANNED
    if code in _CLOCK_CODES:
        return Failure.OUT_OF_TIME
    if status in _UNAUTHORIZED:
        return Failure.UNAUTHORIZED
    return Failure.UNREADABLE if code is None else Failure.REFUSED
