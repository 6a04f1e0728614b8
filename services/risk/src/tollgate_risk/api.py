"""The operators' routes: what the gate knows and has decided, and the policy that they may tighten."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field

from tollgate_chassis.operator_door import (
    BODY_ANSWERS,
    Answer,
    Command,
    OperatorDoor,
    Refused,
    body_of,
    need_reason,
    read_command,
)
from tollgate_contracts.envelope import Symbol, TimeUs
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Outcome
from tollgate_risk.api_kill_switch import add_kill_switch
from tollgate_risk.core import RiskCore
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.decision_log import PAGE_MAX, BadCursor, DecisionLog, Wanted
from tollgate_risk.kill_switch import KillSwitchControl
from tollgate_risk.limits_view import limits_view
from tollgate_risk.tightening import LOOSER, PolicyControl
from tollgate_risk.views import modes_view, state_view

_NO_POLICY: dict[int | str, dict[str, Any]] = {404: {"model": Answer, "description": "No policy is in force yet."}}
_NOT_TIGHTER: dict[int | str, dict[str, Any]] = {
    **BODY_ANSWERS,
    409: {"model": Answer, "description": f"Knobs that are not tighter, each by name: {LOOSER}."},
}


class Tightening(Command):
    """What is to be tightened, by whom and why."""

    rules: Annotated[dict[str, Any], Field(min_length=1)]
    """What changes, in the shape of the policy file; a list takes the place of the one before it."""


def build_router(
    core: RiskCore, control: KillSwitchControl, decisions: DecisionLog, policies: PolicyControl, door: OperatorDoor
) -> APIRouter:
    """Build the routes; the door guards each, and the method says which scope it needs."""
    router = door.router()
    add_kill_switch(router, control)
    _add_views(router, core)
    _add_decisions(router, decisions)
    _add_policy(router, core, policies)
    return router


def _add_views(router: APIRouter, core: RiskCore) -> None:
    @router.get("/state")
    async def get_state() -> dict[str, Any]:
        """Return mode, kill switch, exposure, cash, results, open orders and pace, as the gate counts them."""
        return state_view(core.state)

    @router.get("/modes")
    async def get_modes() -> dict[str, Any]:
        """Return the mode, and each condition that moves it with its thresholds and what is seen now."""
        return modes_view(core.state)

    @router.get("/limits", responses=_NO_POLICY)
    async def get_limits() -> dict[str, Any]:
        """Return each limit that fills up, with what is used of it now and the unit of both."""
        return {
            "hash": core.state.policy_hash,
            "now_us": core.state.now_us,
            "limits": limits_view(core.state, _policy(core)),
        }


def _add_decisions(router: APIRouter, decisions: DecisionLog) -> None:
    @router.get("/decisions")
    async def get_decisions(
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
        before: Annotated[str | None, Query(max_length=64, description="The `next` of an earlier answer.")] = None,
        reason: Reason | None = None,
        symbol: Symbol | None = None,
        outcome: Outcome | None = None,
        from_us: Annotated[TimeUs | None, Query(description="At this time or later, in µs since 1970 UTC.")] = None,
        to_us: Annotated[TimeUs | None, Query(description="Before this time, in µs since 1970 UTC.")] = None,
    ) -> dict[str, Any]:
        """Return the last decisions of this process, the newest first; `next` leads to the ones before.

        `reaches_back_to_us` is the time of the oldest one that is held; the tape has all of them.
        """
        try:
            return decisions.page(limit, Wanted(reason, symbol, outcome, from_us, to_us), before)
        except BadCursor as error:
            raise Refused(422, str(error)) from error


def _add_policy(router: APIRouter, core: RiskCore, policies: PolicyControl) -> None:
    @router.get("/policy", responses=_NO_POLICY)
    async def get_policy() -> dict[str, Any]:
        """Return the policy in force and its hash; `policy.tightens` is set when it was tightened at run time."""
        return {"hash": core.state.policy_hash, "policy": _policy(core).model_dump(mode="json")}

    @router.patch("/policy", responses=_NOT_TIGHTER, openapi_extra=body_of(Tightening))
    async def tighten_policy(request: Request) -> dict[str, Any]:
        """Tighten the rules in force; all of the change takes effect, or nothing when any knob is not tighter.

        The answer names each knob that has changed, and comes when the gate judges by the new policy.
        """
        command = await read_command(request, Tightening)
        need_reason(command)
        made = await policies.tighten(command.rules)
        changed = [{"knob": one.knob, "old": one.old, "new": one.new} for one in made]
        request.state.note = "; ".join(f"{one.knob}: {one.old} -> {one.new}" for one in made) or "nothing differs"
        return {"hash": core.state.policy_hash, "changed": changed}


def _policy(core: RiskCore) -> PolicyDocument:
    if core.state.policy is None:
        raise Refused(404, "no policy is in force")
    return core.state.policy
