"""The operator's kill switch: the latch stops permits at once, and the tape tells everybody.

Engaging needs nobody: the latch holds from the call on, whether broker and tape are there or not, and one task puts
it onto the tape as soon as it can. When that task cannot, the process ends and starts again with the latch still
engaged, and tries anew. Releasing needs the tape: until the release was read back from it, the switch is engaged.
"""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from tollgate_chassis.exits import ProcessEnd
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry import metrics
from tollgate_chassis.telemetry.logs import logger
from tollgate_contracts.risk import KillSwitch
from tollgate_risk.core import RiskCore
from tollgate_risk.kill_latch import KillLatch, Order

# An operator's call is answered within this time, on the tape or not.
ANSWER_S = 2.0


class NotOnTape(Exception):
    """A release that the tape has not taken; the switch stays engaged. The message says why."""


@dataclass(slots=True)
class _Release:
    actor: str
    reason: str
    generation: int
    """The order to stop that it undoes; a newer one stands."""
    done: "asyncio.Future[None]"


class KillSwitchControl:
    """Engages and releases; what counts is the latch or the tape, whichever says stop."""

    def __init__(self, core: RiskCore, latch: KillLatch) -> None:
        self._core = core
        self._latch = latch
        self._runner: Runner | None = None
        self._wanted = asyncio.Event()
        self._applied = asyncio.Event()
        self._applied_sequence = 0
        self._release: _Release | None = None
        self._generation_on_tape = 0
        self._settled = asyncio.Event()

    @property
    def is_engaged(self) -> bool:
        """Say whether nothing may be permitted."""
        return self._latch.is_engaged or self._core.state.kill.engaged

    @property
    def is_on_tape(self) -> bool:
        """Say whether the tape says what the switch says."""
        return self._generation_on_tape == self._latch.generation or not self._latch.is_engaged

    def attach(self, runner: Runner) -> None:
        """Take the runner through which the tape is written, and take up an earlier process's latch."""
        self._runner = runner
        if self._latch.is_engaged:
            self._wanted.set()

    def stop_now(self) -> None:
        """Stop permitting, from this call on."""
        self._latch.engage(Order(actor="operator", reason="", at_us=_now_us()))
        metrics.KILL_SWITCH.set(1)

    async def engage(self, actor: str, reason: str) -> bool:
        """Say who stopped it and why, put it onto the tape, and return whether it is there within ``ANSWER_S``."""
        self._latch.explain(actor, reason)
        self._settled.clear()
        self._wanted.set()
        deadline = time.monotonic() + ANSWER_S
        while not self.is_on_tape and (left := deadline - time.monotonic()) > 0:
            try:
                await asyncio.wait_for(self._settled.wait(), left)
            except TimeoutError:
                break
            self._settled.clear()
        return self.is_on_tape

    async def release(self, actor: str, reason: str) -> None:
        """Release the switch; raises ``NotOnTape`` when the tape did not take it in time."""
        if self._runner is None or not self._runner.live.is_set():
            raise NotOnTape("risk is not live: it has no tape to release on, or is catching up; try again")
        if self._release is not None:
            raise NotOnTape("a release is under way; look at the switch and try again")
        release = _Release(actor, reason, self._latch.generation, asyncio.get_running_loop().create_future())
        self._release = release
        self._wanted.set()
        try:
            await asyncio.wait_for(asyncio.shield(release.done), ANSWER_S)
        except TimeoutError as error:
            raise NotOnTape("the tape has not taken the release yet; look at the switch and try again") from error

    async def run(self) -> None:
        """Bring onto the tape what is wanted, for ever; raises ``ProcessEnd`` when the tape cannot take it."""
        runner = self._runner
        if runner is None:
            raise ValueError("attach comes before run")
        await runner.live.wait()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._release is not None:
                await self._carry_out_release(runner, self._release)
            if self._latch.order is not None:
                await self._put_engaged(runner, self._latch.order)

    async def _put_engaged(self, runner: Runner, order: Order) -> None:
        generation = self._latch.generation
        kill = self._core.state.kill
        if not kill.engaged:
            epoch = kill.epoch + 1
            await self._append(runner, engaged=True, epoch=epoch, actor=order.actor, reason=order.reason)
        self._generation_on_tape = generation
        self._settled.set()

    async def _carry_out_release(self, runner: Runner, release: _Release) -> None:
        try:
            await self._undo(runner, release)
        except ProcessEnd as end:
            release.done.set_exception(NotOnTape(f"the tape did not take the release: {end.why}"))
            raise
        except NotOnTape as refused:
            release.done.set_exception(refused)
        except OSError as error:
            release.done.set_exception(NotOnTape(f"the latch's file cannot be removed: {error}"))
        else:
            release.done.set_result(None)
        finally:
            self._release = None

    async def _undo(self, runner: Runner, release: _Release) -> None:
        if release.generation != self._latch.generation:
            raise NotOnTape("a newer order to stop has come")
        # The file goes first: should we fall in between, the tape still says stop.
        self._latch.forget_on_disk()
        kill = self._core.state.kill
        if kill.engaged:
            await self._append(runner, engaged=False, epoch=kill.epoch, actor=release.actor, reason=release.reason)
        self._latch.clear(release.generation)
        metrics.KILL_SWITCH.set(int(self.is_engaged))

    async def _append(self, runner: Runner, *, engaged: bool, epoch: int, actor: str, reason: str) -> None:
        """Append and wait until the core has read it back: only then does it count."""
        identity = runner.identity
        message = KillSwitch(
            id=f"risk:operator:{epoch}-{'engaged' if engaged else 'released'}",
            desk=identity.desk,
            run_id=identity.run_id,
            ts_us=_now_us(),
            cause=None,
            cycle_id=runner.cycle_id,
            engaged=engaged,
            epoch=epoch,
            actor=actor,
            reason=reason,
        )
        sequence = await runner.observe(message)
        event = "kill_switch.engaged" if engaged else "kill_switch.released"
        logger().warning(event, outcome="on_tape", epoch=epoch, actor=actor, reason=reason, sequence=sequence)
        while self._applied_sequence < sequence:
            self._applied.clear()
            await self._applied.wait()

    def note_applied(self, sequence: int) -> None:
        """Note that the core has stepped the record at ``sequence``."""
        self._applied_sequence = sequence
        self._applied.set()

    def describe(self) -> dict[str, Any]:
        """Return the state for an operator."""
        kill, order = self._core.state.kill, self._latch.order
        who = {"actor": kill.actor, "reason": kill.reason, "since_us": kill.since_us}
        if order is not None and not kill.engaged:
            who = {"actor": order.actor, "reason": order.reason, "since_us": order.at_us}
        return {
            "engaged": self.is_engaged,
            "epoch": kill.epoch,
            "on_tape": self.is_on_tape,
            "on_disk": self._latch.is_on_disk,
            **who,
        }


def _now_us() -> int:
    return time.time_ns() // 1_000
