"""Execution's own routes: the kill door, and the orders that it holds."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from tollgate_chassis.operator_door import (
    BODY_ANSWERS,
    Answer,
    Command,
    OperatorDoor,
    Refused,
    Stops,
    body_of,
    caller,
    need_reason,
    read_command,
)
from tollgate_contracts.envelope import Currency
from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.money import Amount, plain
from tollgate_execution.core import ExecutionCore, Watch
from tollgate_execution.core.record import OrderRecord
from tollgate_execution.core.safety import is_escalated
from tollgate_execution.explaining import Explained, Explanation
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.resolving import Resolution, Verdict
from tollgate_execution.write_behind import wall_us

_NO_ORDER: dict[int | str, dict[str, Any]] = {404: {"model": Answer, "description": "No such order is held."}}
_STATUS_OF = {
    Verdict.NO_ORDER: 404,
    Verdict.NOT_UNKNOWN: 409,
    Verdict.NOT_ESCALATED: 409,
    Verdict.SHOWN: 409,
    Verdict.NOT_ACTIVE: 503,
}
_RESOLVE_ANSWERS: dict[int | str, dict[str, Any]] = {
    **BODY_ANSWERS,
    **_NO_ORDER,
    409: {"model": Answer, "description": "The outcome is known, the venue is still being asked, or it shows it now."},
}
_OPEN_ANSWERS: dict[int | str, dict[str, Any]] = {
    **BODY_ANSWERS,
    409: {"model": Answer, "description": "The token is the one that has shut the door."},
    500: {"model": Answer, "description": "The door stays shut: its file cannot be removed."},
}


_EXPLAIN_STATUS_OF = {
    Explanation.NO_DRIFT: 404,
    Explanation.NOT_OF_IT: 409,
    Explanation.NOT_JUDGED: 409,
    Explanation.NOT_ACTIVE: 503,
}
_EXPLAIN_ANSWERS: dict[int | str, dict[str, Any]] = {
    **BODY_ANSWERS,
    404: {"model": Answer, "description": "No drift of this currency is open."},
    409: {
        "model": Answer,
        "description": "The amount is no part of the drift, or the venue must state its balance again first.",
    },
}

Resolve = Callable[[str, ReportStatus, str], Awaitable[Resolution]]
Explain = Callable[[str, Decimal, str], Awaitable[Explained]]


class Word(Command):
    """What became of an order whose outcome the venue does not tell, who says so, and how they know."""

    outcome: Literal["CANCELLED", "EXPIRED", "REJECTED"]


class DriftWord(Command):
    """How much of a drift is to be booked as unexplained, who says so, and why."""

    amount: Amount
    """Above zero has come in at the venue, below zero has gone."""


def build_router(
    core: ExecutionCore, kill_door: KillDoor, door: OperatorDoor, resolve: Resolve, explain: Explain
) -> APIRouter:
    """Build the routes; the operators' door guards each, and the method says which scope it needs."""
    router = door.router()
    stops = Stops()
    _add_shutting(router, kill_door, stops)
    _add_opening(router, kill_door, stops)
    _add_orders(router, core)
    _add_resolving(router, core, resolve)
    _add_explaining(router, core, explain)
    return router


def _add_shutting(router: APIRouter, kill_door: KillDoor, stops: Stops) -> None:
    @router.get("/kill-switch")
    async def get_kill_switch() -> dict[str, Any]:
        """Say whether the door is shut."""
        return kill_door.describe()

    @router.put("/kill-switch", openapi_extra=body_of(Command))
    async def shut(request: Request) -> dict[str, Any]:
        """Shut the door: nothing new is sent from now on; works without broker, risk and database.

        Idempotent, and never refused to the scope `kill`: with a body that cannot be read the door is shut all the
        same, and `note` says what was wrong with it.
        """
        # The door is shut before the body is read: a caller in a hurry may send none, or a broken one.
        was_shut = kill_door.is_shut
        kill_door.shut(caller(request), "", wall_us())
        stops.note(request)
        note = ""
        try:
            command = await read_command(request, Command)
        except Refused as refused:
            command, note = Command(), f"shut all the same; the body was not read: {refused.detail}"
        request.state.note = note
        if not was_shut:
            kill_door.explain(command.actor, command.reason)
        return {**kill_door.describe(), "note": note}


def _add_opening(router: APIRouter, kill_door: KillDoor, stops: Stops) -> None:
    @router.delete("/kill-switch", responses=_OPEN_ANSWERS, openapi_extra=body_of(Command))
    async def open_again(request: Request) -> dict[str, Any]:
        """Open the door: needs a reason, and a token that has not shut it."""
        count = stops.count
        command = await read_command(request, Command)
        need_reason(command)
        stops.check_release(request, count)
        try:
            kill_door.open(command.actor or caller(request), command.reason)
        except OSError as error:
            raise Refused(500, f"the door stays shut: its file cannot be removed: {error.strerror}") from error
        stops.note_release(count)
        return kill_door.describe()


def _add_orders(router: APIRouter, core: ExecutionCore) -> None:
    @router.get("/orders")
    async def get_orders(
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100, state: str | None = None
    ) -> list[dict[str, Any]]:
        """Return orders, the newest first; the finished ones are kept for some minutes."""
        records = (record for record in core.orders.newest() if state is None or record.state.value == state)
        return [_shown(record, core.watch) for _, record in zip(range(limit), records, strict=False)]

    @router.get("/orders/{client_order_id}", responses=_NO_ORDER)
    async def get_order(client_order_id: str) -> dict[str, Any]:
        """Return one order."""
        record = core.orders.get(client_order_id)
        if record is None:
            raise Refused(404, f"no order {client_order_id} is held; older ones are in the ledger")
        return _shown(record, core.watch)


def _add_resolving(router: APIRouter, core: ExecutionCore, resolve: Resolve) -> None:
    @router.delete("/orders/{client_order_id}", responses=_RESOLVE_ANSWERS, openapi_extra=body_of(Word))
    async def resolve_order(client_order_id: str, request: Request) -> dict[str, Any]:
        """Say what became of an order of unknown outcome, after the venue was asked in vain too often.

        The venue is asked once more first; if it shows the order, its word counts and this one is refused. Needs a
        reason. Trades that the venue lists later are booked all the same.
        """
        word = await read_command(request, Word)
        need_reason(word)
        words = f"{word.actor or caller(request)} ({caller(request)}): {word.reason.strip()}"
        resolution = await resolve(client_order_id, ReportStatus(word.outcome), words)
        status = _STATUS_OF.get(resolution.verdict)
        if status is not None:
            raise Refused(status, resolution.words)
        record = core.orders.get(client_order_id)
        return {"note": resolution.words, "order": None if record is None else _shown(record, core.watch)}


def _add_explaining(router: APIRouter, core: ExecutionCore, explain: Explain) -> None:
    @router.get("/drifts")
    async def get_drifts() -> dict[str, str]:
        """Return the currencies in which a drift is open, and how much more than expected the venue has of each."""
        return {currency: plain(off) for currency, off in core.agreement.differences.items()}

    @router.post("/drifts/{currency}", responses=_EXPLAIN_ANSWERS, openapi_extra=body_of(DriftWord))
    async def explain_drift(currency: Currency, request: Request) -> dict[str, str]:
        """Book a part of an open drift, or all of it, as unexplained: the way out of one that no evidence explains.

        Needs a reason. The books keep the amount in suspense, and the drift ends with the venue's next statement that
        agrees. Nothing is traded, moved or asked of the venue.
        """
        word = await read_command(request, DriftWord)
        need_reason(word)
        words = f"{word.actor or caller(request)} ({caller(request)}): {word.reason.strip()}"
        explained = await explain(currency, word.amount, words)
        status = _EXPLAIN_STATUS_OF.get(explained.explanation)
        if status is not None:
            raise Refused(status, explained.words)
        return {"note": explained.words}


def _shown(record: OrderRecord, watch: Watch) -> dict[str, Any]:
    approval, placing = record.approval, record.placing
    return {
        "client_order_id": record.client_order_id,
        "venue_order_id": record.venue_order_id,
        "symbol": approval.symbol,
        "side": placing.side.value,
        "quantity": plain(placing.quantity),
        "limit_price": None if placing.limit_price is None else plain(placing.limit_price),
        "attempt": placing.attempt,
        "sends": record.sends,
        "protects": record.protects,
        "waits_for": record.waits_for,
        "state": record.state.value,
        "since_us": record.since_us,
        "filled": plain(record.booked),
        "filled_quote": plain(record.booked_quote),
        "misses_trades": record.misses_trades,
        "probes": record.probes,
        "escalated": is_escalated(record, watch),
        "decision_id": record.decision_id,
    }
