"""Who asks, and when: API key, HMAC-SHA256 signature and the receive window.

The text that is signed is ``timestamp \\n method \\n path?query \\n body``. A request that arrives outside the
window is refused, whatever it asks: an order that was delayed on its way can never become one later.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from tollgate_simvenue.core.model import Refusal, Refused

RECEIVE_WINDOW_US = 2_000_000
# How far a client's clock may run ahead of ours.
AHEAD_US_MAX = 1_000_000
USER_STREAM_TARGET = "/ws/user"
# Sixteen digits hold every microsecond until the year 2286.
_TIMESTAMP_DIGITS_MAX = 16


@dataclass(frozen=True, slots=True, repr=False)
class ApiKey:
    """The account's key; its ``repr`` shows no secret."""

    api_key: str
    secret: bytes


def sign(secret: bytes, timestamp_us: str, method: str, target: str, body: bytes) -> str:
    """Return the signature, in lower-case hexadecimal."""
    return hmac.digest(secret, f"{timestamp_us}\n{method}\n{target}\n".encode() + body, "sha256").hex()


def authenticate(
    key: ApiKey, headers: Mapping[str, str], method: str, target: str, body: bytes, now_us: int
) -> Refused | None:
    """Return why the request is not ours to serve, or null; ``now_us`` is when it had arrived whole."""
    for name in ("x-api-key", "x-timestamp-us", "x-signature"):
        if not headers.get(name):
            return Refused(Refusal.MISSING_HEADER, f"the header {name} is missing", name)
    if not hmac.compare_digest(headers["x-api-key"].encode(), key.api_key.encode()):
        return Refused(Refusal.UNKNOWN_API_KEY, "no account has this API key", "x-api-key")
    timestamp = headers["x-timestamp-us"]
    expected = sign(key.secret, timestamp, method, target, body)
    if not hmac.compare_digest(headers["x-signature"].encode(), expected.encode()):
        return Refused(
            Refusal.BAD_SIGNATURE,
            "the signature is not HMAC-SHA256 over timestamp, method, path with query, and body",
            "x-signature",
        )
    return check_window(timestamp, now_us)


def check_window(timestamp: str, now_us: int) -> Refused | None:
    """Return why a timestamp is outside the receive window, or null."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _TIMESTAMP_DIGITS_MAX):
        return Refused(
            Refusal.INVALID_TIMESTAMP, "the timestamp is a whole number of microseconds since 1970", "x-timestamp-us"
        )
    age_us = now_us - int(timestamp)
    if age_us > RECEIVE_WINDOW_US:
        return Refused(
            Refusal.TIMESTAMP_TOO_OLD,
            f"the request is {age_us} us old, at most {RECEIVE_WINDOW_US} are taken; our time is {now_us}",
            "x-timestamp-us",
        )
    if age_us < -AHEAD_US_MAX:
        return Refused(
            Refusal.TIMESTAMP_IN_FUTURE,
            f"the request is {-age_us} us ahead of our time {now_us}, at most {AHEAD_US_MAX} are taken",
            "x-timestamp-us",
        )
    return None
