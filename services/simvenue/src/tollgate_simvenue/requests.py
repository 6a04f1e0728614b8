"""Request bodies to typed requests: everything that is not exactly right is refused, with the field at fault."""

import json
import re
from enum import StrEnum
from typing import Any, TypeVar

from starlette.requests import Request

from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_simvenue.core.model import OrderRequest, Refusal, Refused
from tollgate_simvenue.core.units import UNITS, NotPlainError, TooPreciseError, parse_units

# The largest sensible order is about 300 bytes.
BODY_BYTES_MAX = 4_096
# The store counts in 64 bits.
_UNITS_MAX = 10**10 * UNITS
_TIME_US_MAX = 10**16
_CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_REQUIRED = ("client_order_id", "symbol", "side", "order_type", "quantity", "time_in_force")
_OPTIONAL = frozenset({"limit_price", "post_only", "trigger_price", "good_until_us"})
_KNOWN = _OPTIONAL.union(_REQUIRED)

E = TypeVar("E", bound=StrEnum)


class RefusedRequest(Exception):
    """The request cannot be read as one of ours."""

    def __init__(self, code: Refusal, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.refused = Refused(code, message, field)


async def read_body(request: Request, bytes_max: int = BODY_BYTES_MAX) -> bytes:
    """Return the body; raises ``RefusedRequest`` as soon as it is known to be too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > bytes_max:
            raise RefusedRequest(Refusal.BODY_TOO_LARGE, f"the body has more than {bytes_max} bytes")
    return body


def whole(request: Request, name: str, default: int, most: int) -> int:
    """Return a whole number of the query; raises ``RefusedRequest``."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most):
        raise RefusedRequest(Refusal.INVALID_FIELD, f"{name} is a whole number from 0 to {most}", name)
    return int(text)


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``; raises ``RefusedRequest``."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RefusedRequest(Refusal.INVALID_JSON, f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RefusedRequest(Refusal.NOT_AN_OBJECT, "the body is JSON, but not an object")
    return value


def parse_order(body: bytes, received_us: int) -> OrderRequest:
    """Return the order that ``body`` asks for; raises ``RefusedRequest``."""
    value = parse_object(body)
    for name in _REQUIRED:
        if name not in value:
            raise RefusedRequest(Refusal.MISSING_FIELD, f"{name} is missing", name)
    for name in value:
        if name not in _KNOWN:
            shown = name[:40]
            raise RefusedRequest(Refusal.UNKNOWN_FIELD, f"{shown} is not a field of an order", shown)
    limit_price, trigger_price = value.get("limit_price"), value.get("trigger_price")
    post_only = value.get("post_only", False)
    if not isinstance(post_only, bool):
        raise RefusedRequest(Refusal.INVALID_FIELD, "post_only is true or false", "post_only")
    return OrderRequest(
        client_order_id=_client_order_id(value["client_order_id"]),
        symbol=_text(value, "symbol"),
        side=_member(Side, value, "side"),
        order_type=_member(OrderType, value, "order_type"),
        quantity=_positive(value, "quantity"),
        limit_price=None if limit_price is None else _positive(value, "limit_price"),
        time_in_force=_member(TimeInForce, value, "time_in_force"),
        post_only=post_only,
        received_us=received_us,
        trigger_price=None if trigger_price is None else _positive(value, "trigger_price"),
        good_until_us=_time(value.get("good_until_us"), "good_until_us"),
    )


def _client_order_id(value: Any) -> str:
    if not isinstance(value, str) or not _CLIENT_ORDER_ID.match(value):
        raise RefusedRequest(
            Refusal.INVALID_FIELD, "client_order_id is 1 to 64 letters, digits, - or _", "client_order_id"
        )
    return value


def _time(value: Any, name: str) -> int | None:
    if value is None or (type(value) is int and 0 < value < _TIME_US_MAX):
        return value
    raise RefusedRequest(Refusal.INVALID_FIELD, f"{name} is a whole number of microseconds since 1970", name)


def _text(value: dict[str, Any], name: str) -> str:
    text = value[name]
    if not isinstance(text, str):
        raise RefusedRequest(Refusal.INVALID_FIELD, f"{name} is a string", name)
    return text


def _member(enum: type[E], value: dict[str, Any], name: str) -> E:
    try:
        return enum(value[name])
    except ValueError as error:
        expected = ", ".join(enum)
        raise RefusedRequest(Refusal.INVALID_FIELD, f"{name} is one of {expected}", name) from error


def _positive(value: dict[str, Any], name: str) -> int:
    text = value[name]
    if not isinstance(text, str):
        raise RefusedRequest(
            Refusal.NUMBER_NOT_STRING, f'{name} is a number in a string, such as "0.5": JSON numbers round', name
        )
    try:
        units = parse_units(text)
    except NotPlainError as error:
        raise RefusedRequest(
            Refusal.INVALID_NUMBER, f"{name} is a plain decimal number such as 0.5, got {text[:40]!r}", name
        ) from error
    except TooPreciseError as error:
        raise RefusedRequest(Refusal.TOO_PRECISE, f"{name} has more than 8 decimal places", name) from error
    if units <= 0:
        raise RefusedRequest(Refusal.NOT_POSITIVE, f"{name} is above zero", name)
    if units > _UNITS_MAX:
        raise RefusedRequest(Refusal.INVALID_NUMBER, f"{name} is at most ten thousand million", name)
    return units
