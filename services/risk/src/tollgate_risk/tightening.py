"""Tightening the policy while the desk runs: judged here, put onto the tape, and in force once read back from it."""

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tollgate_chassis.exits import ProcessEnd
from tollgate_chassis.operator_door import Refused
from tollgate_chassis.runner import Runner
from tollgate_chassis.settings import explain
from tollgate_chassis.telemetry.logs import logger
from tollgate_contracts.config import CONFIG_TEXT_MAX, config_hash
from tollgate_contracts.risk import Policy
from tollgate_risk.core import RiskCore
from tollgate_risk.core.policy import PolicyRules
from tollgate_risk.core.tightening import Change, changes
from tollgate_risk.own_policy import OwnPolicy
from tollgate_risk.policy_file import canonical_text

# An operator's call is answered within this time.
ANSWER_S = 2.0
LOOSER = "loosening needs a restart with the new file"


class PolicyControl:
    """Puts policies onto the tape: the file's at start, and what tightens it after that."""

    def __init__(self, core: RiskCore, own: OwnPolicy) -> None:
        self._core = core
        self._own = own
        self._runner: Runner | None = None
        self._turn = asyncio.Lock()
        self._wanted: asyncio.Queue[tuple[Policy, asyncio.Future[None]]] = asyncio.Queue(maxsize=1)
        self._applied = asyncio.Event()

    def attach(self, runner: Runner) -> None:
        """Take the runner through which the tape is written."""
        self._runner = runner

    async def put_in_force(self, runner: Runner) -> None:
        """Put the file's policy onto the tape, unless the tape has it, or a tightening of it, in force."""
        if self._own.take_up(self._core.state):
            return
        await runner.observe(self._message(runner, self._own.file_text))
        logger().info("risk.policy", outcome="appended", config_hash=self._own.file_hash)

    async def tighten(self, patch: Mapping[str, Any]) -> tuple[Change, ...]:
        """Merge ``patch`` into the rules in force and put them in force; returns what has changed, perhaps nothing.

        Raises ``Refused``: 422 when the result is no policy, 409 when any knob of it is not tighter, 503 without a
        tape. All of it takes effect or nothing does.
        """
        try:
            async with asyncio.timeout(ANSWER_S), self._turn:
                return await self._tighten(patch)
        except TimeoutError as error:
            raise Refused(503, "the tape has not taken the policy yet; look at GET /v1/policy and try again") from error

    async def _tighten(self, patch: Mapping[str, Any]) -> tuple[Change, ...]:
        runner, state = self._runner, self._core.state
        if runner is None or not runner.live.is_set() or state.policy is None or not self._own.is_in_force(state):
            raise Refused(503, "the policy of this process is not in force on the tape; try again")
        if self._own.is_waiting:
            raise Refused(503, "a policy is on its way to the tape; look at GET /v1/policy and try again")
        before = state.policy.rules
        after = _merged(before, patch)
        made = changes(before, after)
        looser = [f"{one.knob}: {one.old} -> {one.new}" for one in made if not one.is_tighter]
        if looser:
            raise Refused(409, f"{len(looser)} knobs are not tighter: {LOOSER}", tuple(looser))
        if made:
            await self._put(runner, self._text(after))
        return made

    def _text(self, rules: PolicyRules) -> str:
        try:
            text = canonical_text(self._own.tightened(rules))
        except ValidationError as error:
            raise Refused(422, explain(error).strip()) from error
        if len(text) > CONFIG_TEXT_MAX:
            raise Refused(422, f"the policy has {len(text)} characters, at most {CONFIG_TEXT_MAX} are expected")
        return text

    async def _put(self, runner: Runner, text: str) -> None:
        message = self._message(runner, text)
        self._own.announce(message.hash)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._wanted.put((message, done))
        await asyncio.shield(done)
        while self._own.hash != message.hash:
            self._applied.clear()
            await self._applied.wait()

    def _message(self, runner: Runner, text: str) -> Policy:
        return Policy(
            # Numbered, because a policy that comes back later is a new event.
            id=f"risk:policy:{self._core.state.policies + 1}.0",
            desk=runner.identity.desk,
            run_id=runner.identity.run_id,
            ts_us=time.time_ns() // 1_000,
            cause=None,
            cycle_id=runner.cycle_id,
            text=text,
            hash=config_hash(text),
        )

    async def run(self) -> None:
        """Append what was tightened, for ever; raises ``ProcessEnd`` when the tape cannot take it."""
        runner = self._runner
        if runner is None:
            raise ValueError("attach comes before run")
        while True:
            message, done = await self._wanted.get()
            try:
                await runner.observe(message)
            except ProcessEnd as end:
                done.set_exception(Refused(503, f"the tape did not take the policy: {end.why}"))
                raise
            logger().warning("risk.policy", outcome="tightened", config_hash=message.hash)
            done.set_result(None)

    def note_applied(self) -> None:
        """Note that the core has stepped one more record."""
        self._own.note_applied(self._core.state)
        self._applied.set()


def _merged(rules: PolicyRules, patch: Mapping[str, Any]) -> PolicyRules:
    merged = _merge(rules.model_dump(mode="json"), patch)
    try:
        return PolicyRules.model_validate_json(json.dumps(merged))
    except ValidationError as error:
        raise Refused(422, explain(error).strip()) from error


def _merge(whole: Any, patch: Any) -> Any:
    """Merge as JSON objects are merged; all else, null too, takes the place of what was there."""
    if not isinstance(whole, dict) or not isinstance(patch, Mapping):
        return patch
    return {**whole, **{key: _merge(whole.get(key), value) for key, value in patch.items()}}
