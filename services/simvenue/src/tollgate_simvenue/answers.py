"""Answers over HTTP: bodies, refusals with their status, and the two ways of not answering."""

import asyncio
from typing import Any

from fastapi import Response
from starlette.types import Receive, Scope, Send

from tollgate_simvenue import wire
from tollgate_simvenue.core.model import Refusal, Refused

TRANSPORT = "tollgate.transport"
"""The key in a request's scope under which the server puts its connection."""
# A client that waits for ever is let go after this.
HOLD_S_MAX = 600.0
_BAD_REQUEST = 400

STATUS = {
    # BingX says so with a code in the body, and 200 like everything else.
    Refusal.BINGX_DUPLICATE: 200,
    Refusal.MISSING_HEADER: 401,
    Refusal.UNKNOWN_API_KEY: 401,
    Refusal.BAD_SIGNATURE: 401,
    Refusal.NOT_FOUND: 404,
    Refusal.UNKNOWN_ORDER: 404,
    Refusal.UNKNOWN_TRADE: 404,
    Refusal.NOT_SUPPORTED: 404,
    Refusal.METHOD_NOT_ALLOWED: 405,
    Refusal.DUPLICATE_CLIENT_ORDER_ID: 409,
    Refusal.BODY_TOO_LARGE: 413,
    Refusal.BANNED: 418,
    Refusal.UNKNOWN_SYMBOL: 422,
    Refusal.INSTRUMENT_NOT_OPEN: 422,
    Refusal.CONTRADICTION: 422,
    Refusal.PRICE_OFF_TICK: 422,
    Refusal.QUANTITY_OFF_STEP: 422,
    Refusal.BELOW_MIN_QUANTITY: 422,
    Refusal.BELOW_MIN_NOTIONAL: 422,
    Refusal.GOOD_UNTIL_PASSED: 422,
    Refusal.INSUFFICIENT_FUNDS: 422,
    Refusal.RATE_LIMITED: 429,
    Refusal.SERVER_ERROR: 500,
    Refusal.MAINTENANCE: 503,
}


class Silence(Response):
    """No answer: the connection stays open until the client leaves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the client to give up; end the connection after ``HOLD_S_MAX``."""
        try:
            async with asyncio.timeout(HOLD_S_MAX):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            await Drop()(scope, receive, send)


class Drop(Response):
    """No answer: the connection is closed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        """Close the connection without a word, and wait until the server has noticed."""
        scope[TRANSPORT].abort()
        while (await receive())["type"] != "http.disconnect":
            pass


class Answered(Exception):
    """A request is answered before it comes to its own route."""

    def __init__(self, response: Response) -> None:
        super().__init__()
        self.response = response


def json_answer(body: dict[str, Any], status: int = 200) -> Response:
    """Return an answer with a body."""
    return Response(wire.to_json(body), status, media_type="application/json")


def refusal_answer(refused: Refused, retry_after_s: int | None = None) -> Response:
    """Return a refusal as an answer, and when to come back where that is said."""
    response = json_answer(wire.refusal(refused), STATUS.get(refused.code, _BAD_REQUEST))
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response
