"""The operator's routes: the kill switch, and what the gate knows and has decided."""

import asyncio
import hmac
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from tollgate_contracts.envelope import Symbol
from tollgate_contracts.reasons import Reason
from tollgate_risk.core import RiskCore
from tollgate_risk.decision_log import DECISIONS_MAX, DecisionLog
from tollgate_risk.kill_switch import KillSwitchControl, NotOnTape
from tollgate_risk.views import state_view

BODY_BYTES_MAX = 4_096
# Whoever stops the desk is not kept waiting for the end of a body that does not come.
_BODY_S = 1.0
Words = Annotated[str, Field(max_length=500)]


class Command(BaseModel):
    """Who engages or releases the switch, and why."""

    model_config = ConfigDict(extra="forbid", strict=True)

    actor: Words = ""
    reason: Words = ""


def build_router(
    core: RiskCore, control: KillSwitchControl, decisions: DecisionLog, operator_token: SecretStr
) -> APIRouter:
    """Build the routes; releasing the switch needs the operator's token, engaging it needs nothing."""
    router = APIRouter(prefix="/v1")
    _add_kill_switch(router, control, operator_token)
    _add_views(router, core, decisions)
    return router


def _add_kill_switch(router: APIRouter, control: KillSwitchControl, operator_token: SecretStr) -> None:
    @router.get("/kill-switch")
    async def get_kill_switch() -> dict[str, Any]:
        """Say whether the switch is engaged, at which epoch, by whom and why."""
        return control.describe()

    @router.put("/kill-switch")
    async def engage(request: Request) -> dict[str, Any]:
        """Engage the switch: nothing new is permitted from now on; a body with actor and reason may be given."""
        # Stopped before the body is read: a caller in a hurry may send none, or a broken one, and means it.
        control.stop_now()
        note = ""
        try:
            command = await asyncio.wait_for(_command(request), _BODY_S)
        except HTTPException as error:
            command, note = Command(), f"engaged all the same; the body was not read: {error.detail}"
        except TimeoutError:
            command, note = Command(), "engaged all the same; the body did not come in time"
        await control.engage(command.actor, command.reason)
        return {**control.describe(), "note": note}

    @router.delete("/kill-switch")
    async def release(request: Request, authorization: Annotated[str, Header()] = "") -> dict[str, Any]:
        """Release the switch; needs ``Authorization: Bearer <operator token>`` and a reason."""
        expected = f"Bearer {operator_token.get_secret_value()}"
        if not hmac.compare_digest(authorization.encode(), expected.encode()):
            raise HTTPException(401, "the operator's token is needed: Authorization: Bearer <token>")
        command = await _command(request)
        if not command.reason.strip():
            raise HTTPException(422, 'a reason is needed: {"actor": "...", "reason": "..."}')
        try:
            await control.release(command.actor or "operator", command.reason)
        except NotOnTape as error:
            raise HTTPException(503, f"the switch stays engaged: {error}") from error
        return control.describe()


def _add_views(router: APIRouter, core: RiskCore, decisions: DecisionLog) -> None:
    @router.get("/state")
    async def get_state() -> dict[str, Any]:
        """Return mode, kill switch, exposure, cash, open orders and pace, as the gate counts them."""
        return state_view(core.state)

    @router.get("/policy")
    async def get_policy() -> dict[str, Any]:
        """Return the policy in force and its hash."""
        policy = core.state.policy
        if policy is None:
            raise HTTPException(404, "no policy is in force")
        return {"hash": core.state.policy_hash, "policy": policy.model_dump(mode="json")}

    @router.get("/decisions")
    async def get_decisions(
        limit: Annotated[int, Query(ge=1, le=DECISIONS_MAX)] = 50,
        symbol: Symbol | None = None,
        reason: Reason | None = None,
    ) -> list[dict[str, Any]]:
        """Return the last decisions of this process, the newest first; the tape has them all."""
        return decisions.newest(limit, symbol, reason)


async def _command(request: Request) -> Command:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise HTTPException(413, f"at most {BODY_BYTES_MAX} bytes are expected")
    if not body.strip():
        return Command()
    try:
        return Command.model_validate_json(body)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in error.errors(include_url=False)]
        raise HTTPException(422, "; ".join(faults)) from error
