"""The operators' door of a service: who may, how often, and a record of every call and of what came of it.

Every route of a door's router is guarded, whoever adds it: the method says which scope it needs. In this order a
caller is recognised, counted, let in, answered, and put on record. What stops trading is neither counted nor kept
waiting, and needs no room in the record.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tollgate_chassis.operators import Access, Denial, OperatorTokens, TokenScope
from tollgate_chassis.telemetry.metrics import operators as metrics

BODY_BYTES_MAX = 16_384
# A caller whose body does not come holds a connection for this long, and no longer.
BODY_S = 1.0
# One person or one dashboard; a token that is shared by more needs one more token.
RATE_PER_S, BURST = 10, 30
# What is turned away is on record too, but a flood of it must not fill the tape.
REFUSALS_PER_S, REFUSALS_BURST = 5, 10

SCOPE_OF_METHOD = {
    "GET": TokenScope.READ,
    "PUT": TokenScope.KILL,
    "DELETE": TokenScope.RELEASE,
    "PATCH": TokenScope.LIMITS,
    "POST": TokenScope.BOOKS,
}
_ANSWER_TO = {
    Denial.NO_TOKEN: (401, "a token is needed: Authorization: Bearer <token>"),
    Denial.UNKNOWN: (401, "this token is not on the list"),
    Denial.REVOKED: (401, "this token was revoked"),
    Denial.EXPIRED: (401, "this token has expired"),
    Denial.WRONG_SCOPE: (403, "this token has not the scope that is needed"),
    Denial.LIST_UNREADABLE: (503, "the list of tokens cannot be read: until it can, tokens count for kill alone"),
}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Words = Annotated[str, Field(max_length=500)]


class Command(BaseModel):
    """Who does it, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    actor: Words = ""
    """The token's name, when nobody is named."""
    reason: Words = ""


class Answer(BaseModel):
    """Why a call was refused."""

    detail: str
    findings: tuple[str, ...] = ()
    """What stands in the way, one by one, where there is more than one thing."""


BODY_ANSWERS: dict[int | str, dict[str, Any]] = {
    408: {"model": Answer, "description": "The body did not come in time."},
    413: {"model": Answer, "description": "The body is too long."},
}
"""What OpenAPI says of how ``read_command`` refuses a body, but for 422, which FastAPI adds by itself."""


class Refused(Exception):
    """A call that is not carried out, with its HTTP status and the reason in words."""

    def __init__(self, status: int, detail: str, findings: tuple[str, ...] = (), retry_after_s: int = 0) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.findings = findings
        self.retry_after_s = retry_after_s

    def response(self) -> Response:
        """Return the answer to the caller."""
        headers = {"WWW-Authenticate": "Bearer"} if self.status == 401 else {}  # noqa: PLR2004 - HTTP's own number
        if self.retry_after_s:
            headers["Retry-After"] = str(self.retry_after_s)
        body = Answer(detail=self.detail, findings=self.findings).model_dump()
        return JSONResponse(body, self.status, headers)


COMMON_ANSWERS: dict[int | str, dict[str, Any]] = {
    status: {"model": Answer, "description": words}
    for status, words in (
        (401, "No token, or one that is unknown, expired or revoked."),
        (403, "The token has not the scope that the route needs."),
        (422, "A parameter or the body is not as expected."),
        (
            429,
            "Too many calls with this token, or too many that were turned away; `Retry-After` says when to come again.",
        ),
        (503, "The list of tokens cannot be read, or the call cannot be put on record."),
    )
}


class Bucket:
    """So many calls a second, and so many at once."""

    def __init__(self, rate_per_s: int, burst: int) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._held = float(burst)
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Take one; false when there is none left."""
        self._held = min(float(self._burst), self._held + max(now_s - self._at_s, 0.0) * self._rate)
        self._at_s = now_s
        if self._held < 1:
            return False
        self._held -= 1
        return True


class Trail(Protocol):
    """Where calls are put on record."""

    def promise(self) -> bool:
        """Keep room for one call that is about to be carried out; false when there is none."""

    def take_back(self) -> None:
        """Let go of the room that was promised."""

    def note(self, **call: Any) -> None:
        """Put a call on record; the fields are those of ``OperatorCall``."""

    def count_unrecorded(self, why: str) -> None:
        """Count a call that was answered and is on no record."""


class OperatorDoor:
    """Guards the routes of one service."""

    def __init__(self, tokens: OperatorTokens, trail: Trail) -> None:
        self._tokens = tokens
        self._trail = trail
        self._refusals = Bucket(REFUSALS_PER_S, REFUSALS_BURST)
        self._buckets: dict[str, Bucket] = {}

    def router(self) -> APIRouter:
        """Return a router under ``/v1`` of which every route is guarded."""
        bearer = HTTPBearer(auto_error=False, scheme_name="token", description="`Authorization: Bearer tgt_…`")
        return APIRouter(prefix="/v1", route_class=self._route_class(), dependencies=[Depends(bearer)])

    def _route_class(self) -> type[APIRoute]:
        admit = self.admit

        class GuardedRoute(APIRoute):
            def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
                (method,) = options["methods"]
                self.needs = SCOPE_OF_METHOD[method]
                options["responses"] = {**COMMON_ANSWERS, **(options.get("responses") or {})}
                options["openapi_extra"] = {**(options.get("openapi_extra") or {}), "x-token-scope": self.needs.value}
                super().__init__(path, endpoint, **options)

            def get_route_handler(self) -> Handler:
                handle = super().get_route_handler()

                async def guarded(request: Request) -> Response:
                    response = await admit(request, self.needs, handle)
                    # What a token lets one see is for its holder, and old by the next moment.
                    response.headers["Cache-Control"] = "no-store"
                    return response

                return guarded

        return GuardedRoute

    async def admit(self, request: Request, scope: TokenScope, handle: Handler) -> Response:
        """Let one call in, or turn it away, and put it on record."""
        access = self._tokens.check(request.headers.get("authorization", ""), scope, time.time_ns() // 1_000)
        request.state.access = access
        if access.denial is not None:
            return self._turn_away(request, access, Refused(*_ANSWER_TO[access.denial]))
        stops = scope is TokenScope.KILL
        if not stops and not self._bucket(access).take(time.monotonic()):
            busy = Refused(429, f"more than {RATE_PER_S} calls a second with this token", retry_after_s=1)
            return self._turn_away(request, access, busy)
        if not stops and not self._trail.promise():
            self._trail.count_unrecorded("refused")
            return _counted(request, Refused(503, "the call cannot be put on record: the tape does not take it"))
        try:
            response, detail = await _carry_out(request, handle)
        except BaseException as error:
            response, detail = Response(status_code=500), f"{type(error).__name__}"
            raise
        finally:
            if not stops:
                self._trail.take_back()
            self._note(request, access, response.status_code, detail)
        return response

    def _bucket(self, access: Access) -> Bucket:
        # As many as the list has tokens, which is bounded; those of tokens that are gone are few.
        identity = "" if access.token is None else access.token.id
        return self._buckets.setdefault(identity, Bucket(RATE_PER_S, BURST))

    def _turn_away(self, request: Request, access: Access, why: Refused) -> Response:
        if self._refusals.take(time.monotonic()):
            self._note(request, access, why.status, why.detail)
            return why.response()
        self._trail.count_unrecorded("flood")
        return _counted(request, Refused(429, "too many calls are turned away; try again", retry_after_s=1))

    def _note(self, request: Request, access: Access, status: int, detail: str) -> None:
        metrics.OPERATOR_CALLS.labels(request.method, str(status)).inc()
        query = request.url.query
        self._trail.note(
            token=access.name,
            remote="" if request.client is None else request.client.host,
            method=request.method,
            path=f"{request.url.path}?{query}" if query else request.url.path,
            actor=getattr(request.state, "actor", ""),
            reason=getattr(request.state, "reason", ""),
            status=status,
            detail=detail,
        )


def _counted(request: Request, why: Refused) -> Response:
    metrics.OPERATOR_CALLS.labels(request.method, str(why.status)).inc()
    return why.response()


async def _carry_out(request: Request, handle: Handler) -> tuple[Response, str]:
    try:
        response = await handle(request)
    except Refused as refused:
        return refused.response(), "; ".join((refused.detail, *refused.findings))
    except RequestValidationError as error:
        malformed = Refused(422, _faults(error.errors()))
        return malformed.response(), malformed.detail
    return response, getattr(request.state, "note", "")


class Stops:
    """Who has stopped the desk since it was last released, and how often anybody has."""

    def __init__(self) -> None:
        self.count = 0
        self._token_ids: set[str] = set()

    def note(self, request: Request) -> None:
        """Note that this call has stopped it."""
        self.count += 1
        self._token_ids.add(request.state.access.token.id)

    def check_release(self, request: Request, count: int) -> None:
        """Raise ``Refused`` when somebody has stopped it since ``count`` was taken, or when this token once did."""
        if self.count != count:
            raise Refused(503, "it stays shut: a newer order to stop has come")
        if request.state.access.token.id in self._token_ids:
            raise Refused(409, "it stays shut: this token has shut it, and a release needs a second one")

    def note_release(self, count: int) -> None:
        """Note that it was released, by a call that had begun at ``count``."""
        if self.count == count:
            self._token_ids.clear()


C = TypeVar("C", bound=Command)


async def read_command(request: Request, kind: type[C]) -> C:
    """Return what the body says; raises ``Refused`` when it is too long, does not come, or is not as expected."""
    try:
        body = await asyncio.wait_for(_body(request), BODY_S)
    except TimeoutError as error:
        raise Refused(408, "the body did not come in time") from error
    try:
        command = kind.model_validate_json(body if body.strip() else b"{}")
    except ValidationError as error:
        raise Refused(422, _faults(error.errors(include_url=False))) from error
    request.state.actor, request.state.reason = command.actor, command.reason
    return command


def body_of(kind: type[Command]) -> dict[str, Any]:
    """Return what OpenAPI says of a body that the route reads by itself, with ``read_command``."""
    schema = kind.model_json_schema()
    inlined = _inlined(schema, schema.pop("$defs", {}))
    return {"requestBody": {"content": {"application/json": {"schema": inlined}}}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Put definitions where they are named: in the document they would not be found under their own names."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    named = definitions.get(str(schema.get("$ref", "")).removeprefix("#/$defs/"), {})
    whole = {**named, **{key: part for key, part in schema.items() if key != "$ref"}}
    return {key: _inlined(part, definitions) for key, part in whole.items()}


def caller(request: Request) -> str:
    """Return the name of the token with which the call was made."""
    name: str = request.state.access.name
    return name


def need_reason(command: Command) -> None:
    """Raise ``Refused`` unless the command says why."""
    if not command.reason.strip():
        raise Refused(422, 'a reason is needed: {"actor": "...", "reason": "..."}')


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise Refused(413, f"at most {BODY_BYTES_MAX} bytes are expected")
    return body


def _faults(errors: Any) -> str:
    """Name every field and what was expected of it, and never the value."""
    return "; ".join(f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}" for error in errors)
