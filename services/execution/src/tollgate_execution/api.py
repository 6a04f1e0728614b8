"""Execution's own routes: the kill door, and the orders that it holds."""

import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from tollgate_contracts.money import plain
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.record import OrderRecord
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.write_behind import wall_us

_BODY_BYTES_MAX = 4_096
Words = Annotated[str, Field(max_length=500)]


class Command(BaseModel):
    """Who shuts or opens the door, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    actor: Words = "operator"
    reason: Words = ""


def build_router(core: ExecutionCore, door: KillDoor, operator_token: SecretStr) -> APIRouter:
    """Build the routes; opening the door needs the operator's token, shutting it needs nothing."""
    router = APIRouter(prefix="/v1")
    _add_kill_door(router, door, operator_token)
    _add_orders(router, core)
    return router


def _add_kill_door(router: APIRouter, door: KillDoor, operator_token: SecretStr) -> None:
    @router.get("/kill-switch")
    async def get_kill_switch() -> dict[str, Any]:
        """Say whether the door is shut."""
        return door.describe()

    @router.put("/kill-switch")
    async def shut(request: Request) -> dict[str, Any]:
        """Shut the door: nothing new is sent from now on; works without broker, risk and database."""
        # The door is shut before the body is read: a caller in a hurry may send none, or a broken one.
        was_shut = door.is_shut
        door.shut("operator", "", wall_us())
        command = await _command(request)
        if not was_shut:
            door.explain(command.actor, command.reason)
        return door.describe()

    @router.delete("/kill-switch")
    async def open_again(request: Request, authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        """Open the door; needs ``Authorization: Bearer <operator token>`` and a reason."""
        expected = f"Bearer {operator_token.get_secret_value()}"
        if not hmac.compare_digest(authorization.encode(), expected.encode()):
            raise HTTPException(401, "the operator's token is needed: Authorization: Bearer <token>")
        command = await _command(request)
        if not command.reason:
            raise HTTPException(422, 'a reason is needed: {"reason": "..."}')
        try:
            door.open(command.actor, command.reason)
        except OSError as error:
            raise HTTPException(500, f"the door stays shut: its file cannot be removed: {error}") from error
        return door.describe()


def _add_orders(router: APIRouter, core: ExecutionCore) -> None:
    @router.get("/orders")
    async def get_orders(
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100, state: str | None = None
    ) -> list[dict[str, Any]]:
        """Return orders, the newest first; the finished ones are kept for some minutes."""
        records = (record for record in core.orders.newest() if state is None or record.state.value == state)
        return [_shown(record) for _, record in zip(range(limit), records, strict=False)]

    @router.get("/orders/{client_order_id}")
    async def get_order(client_order_id: str) -> dict[str, Any]:
        """Return one order."""
        record = core.orders.get(client_order_id)
        if record is None:
            raise HTTPException(404, f"no order {client_order_id} is held; older ones are in the ledger")
        return _shown(record)


async def _command(request: Request) -> Command:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES_MAX:
            raise HTTPException(413, f"at most {_BODY_BYTES_MAX} bytes are expected")
    if not body:
        return Command()
    try:
        return Command.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(422, error.errors(include_url=False, include_input=False)) from error


def _shown(record: OrderRecord) -> dict[str, Any]:
    approval = record.approval
    return {
        "client_order_id": record.client_order_id,
        "venue_order_id": record.venue_order_id,
        "symbol": approval.symbol,
        "side": approval.side.value,
        "quantity": plain(approval.quantity),
        "limit_price": None if approval.limit_price is None else plain(approval.limit_price),
        "state": record.state.value,
        "since_us": record.since_us,
        "filled": plain(record.booked),
        "filled_quote": plain(record.booked_quote),
        "misses_trades": record.misses_trades,
        "probes": record.probes,
        "decision_id": record.decision_id,
    }
