"""The kill switch's routes: one call stops the desk, and another credential lets go."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from tollgate_chassis.operator_door import (
    BODY_ANSWERS,
    Answer,
    Command,
    Refused,
    Stops,
    body_of,
    caller,
    need_reason,
    read_command,
)
from tollgate_contracts.risk import KillLevel
from tollgate_risk.kill_switch import KillSwitchControl, NotClean, NotOnTape

# Longer than any flatten in a liquid market takes, and shorter than what waits on a connection.
WAIT_FLAT_S_MAX = 60
_RELEASE_ANSWERS: dict[int | str, dict[str, Any]] = {
    **BODY_ANSWERS,
    409: {"model": Answer, "description": "The books are not clean, or the token is the one that engaged the switch."},
}


class Engage(Command):
    """Who stops the desk, why, and how much of it."""

    level: Annotated[KillLevel, Field(strict=False)] = KillLevel.HALT
    """HALT: no new order; CANCEL: working orders are cancelled too; FLATTEN: positions are closed too."""
    wait_flat_s: Annotated[int, Field(ge=0, le=WAIT_FLAT_S_MAX)] = 0
    """After a FLATTEN, how long to wait for the venue's word that nothing is held any more; seconds."""


def add_kill_switch(router: APIRouter, control: KillSwitchControl) -> None:
    """Add the three routes."""
    stops = Stops()
    _add_stop(router, control, stops)
    _add_release(router, control, stops)


def _add_stop(router: APIRouter, control: KillSwitchControl, stops: Stops) -> None:

    @router.get("/kill-switch")
    async def get_kill_switch() -> dict[str, Any]:
        """Say whether the switch is engaged, at which level and epoch, by whom and why, and if the desk is flat."""
        return control.describe()

    @router.put("/kill-switch", openapi_extra=body_of(Engage))
    async def engage(request: Request) -> dict[str, Any]:
        """Engage the switch: nothing new is permitted from now on; a body may say who, why, and a higher level.

        Idempotent, and never refused to the scope `kill`: also with a body that cannot be read the switch is engaged
        at HALT, and `note` says what was wrong with it. An instance that stands by takes over to stop; 503 when it has
        not come to that in time.
        """
        # Stopped before the body is read: a caller in a hurry may send none, or a broken one, and means it.
        first = "" if control.is_engaged else caller(request)
        control.stop_now()
        stops.note(request)
        note = ""
        try:
            command = await read_command(request, Engage)
        except Refused as refused:
            command, note = Engage(), f"engaged at HALT all the same; the body was not read: {refused.detail}"
        request.state.note = note
        await control.engage(command.actor or first, command.reason, command.level)
        active = control.stands_by_for
        if active is not None:
            # It is taking over, and not done: a 200 would say that nothing is permitted, and the other one permits.
            raise Refused(503, f"latched, but {active} is still active: call that one, or execution's kill door")
        if command.wait_flat_s:
            await control.wait_until_flat(command.wait_flat_s)
        return {**control.describe(), "note": note}


def _add_release(router: APIRouter, control: KillSwitchControl, stops: Stops) -> None:
    @router.delete("/kill-switch", responses=_RELEASE_ANSWERS, openapi_extra=body_of(Command))
    async def release(request: Request) -> dict[str, Any]:
        """Release the switch: needs a reason, books that agree with the venue, and a token that did not engage it."""
        count = stops.count
        command = await read_command(request, Command)
        need_reason(command)
        stops.check_release(request, count)
        try:
            await control.release(command.actor or caller(request), command.reason)
        except NotOnTape as error:
            raise Refused(503, f"the switch stays engaged: {error}") from error
        except NotClean as error:
            raise Refused(409, "the switch stays engaged: venue and gate do not agree", error.findings) from error
        stops.note_release(count)
        return control.describe()
