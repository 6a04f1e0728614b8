"""The operator's kill switch: the latch stops permits at once, and the tape tells everybody.

Engaging needs nobody: the latch holds from the call on, whether broker and tape are there or not, and one task puts
it onto the tape as soon as it can. When that task cannot, the process ends and starts again with the latch still
engaged, and tries anew. Releasing needs the tape: until the release was read back from it, the switch is engaged.
It also needs venue and gate to agree, with no order open.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tollgate_chassis.exits import ProcessEnd
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import risk as metrics
from tollgate_contracts.money import plain
from tollgate_contracts.risk import KillLevel, KillSwitch
from tollgate_risk.core import RiskCore, kill, reconciliation
from tollgate_risk.core.reconciliation import Proof
from tollgate_risk.kill_latch import UNDATED, KillLatch, Order

# An operator's call is answered within this time, on the tape or not.
ANSWER_S = 2.0


class NotOnTape(Exception):
    """A release that the tape has not taken; the switch stays engaged. The message says why."""


class NotClean(Exception):
    """A release that something is in the way of; the switch stays engaged."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("; ".join(findings))
        self.findings = findings
        """In words, one for each thing."""


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
    def level(self) -> KillLevel | None:
        """Return how far the switch goes, by the latch or the tape, whichever goes further; none when released."""
        on_tape, order = self._core.state.kill, self._latch.order
        levels = [on_tape.level] if on_tape.engaged else []
        levels += [order.level] if order is not None else []
        return max(levels, key=lambda level: level.rank, default=None)

    @property
    def is_on_tape(self) -> bool:
        """Say whether the tape says what the switch says."""
        return self._generation_on_tape == self._latch.generation or not self._latch.is_engaged

    @property
    def stands_by_for(self) -> str | None:
        """The instance that is active while this one stands by: what is latched here does not stop that one yet."""
        return None if self._runner is None else self._runner.standby

    def attach(self, runner: Runner) -> None:
        """Take the runner through which the tape is written, and take up an earlier process's latch."""
        self._runner = runner
        if self._latch.is_engaged:
            self._wanted.set()

    def stop_now(self) -> None:
        """Stop permitting, from this call on."""
        self._latch.engage(Order(actor="operator", reason="", at_us=_now_us(), epoch=self._epoch_of_an_order()))
        metrics.KILL_SWITCH.set(1)

    def _epoch_of_an_order(self) -> int:
        """Return the engagement that an order to stop belongs to: the one on the tape, or else the next.

        Who has not read the tape to its end cannot tell: the next one after what was read may have been released long
        ago. Such an order is dated when it comes onto the tape.
        """
        if self._runner is None or not self._runner.live.is_set():
            return UNDATED
        on_tape = self._core.state.kill
        return on_tape.epoch if on_tape.engaged and self._release is None else on_tape.epoch + 1

    async def engage(self, actor: str, reason: str, level: KillLevel = KillLevel.HALT) -> bool:
        """Say who stopped it, why and how far, put it onto the tape, and return whether it is there in ``ANSWER_S``.

        Idempotent at the level in force or a lower one; a higher one engages anew, under the next epoch.
        """
        if not self._latch.is_engaged:
            self.stop_now()
        self._latch.explain(actor, reason, level)
        if self._runner is not None and self._runner.standby is not None:
            # Stopping does not depend on which instance was asked.
            self._runner.take_over()
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
        """Release the switch; raises ``NotOnTape`` when the tape did not take it in time, ``NotClean`` what is open."""
        if self._runner is None or not self._runner.live.is_set():
            active = None if self._runner is None else self._runner.standby
            ask = f"{active} is active; ask there" if active else "it has no tape, or is catching up; try again"
            raise NotOnTape(f"this risk is not live: {ask}")
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
        self._let_go_if_released()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._release is not None:
                await self._carry_out_release(runner, self._release)
            if self._latch.order is not None:
                await self._put_engaged(runner, self._latch.order)

    async def _put_engaged(self, runner: Runner, order: Order) -> None:
        generation = self._latch.generation
        on_tape = self._core.state.kill
        epoch = on_tape.epoch
        if not on_tape.engaged or order.level.rank > on_tape.level.rank:
            epoch += 1
            words = {"actor": order.actor, "reason": order.reason}
            await self._append(runner, engaged=True, level=order.level, epoch=epoch, **words)
        self._latch.date(epoch, generation)
        self._generation_on_tape = generation
        self._settled.set()

    async def _carry_out_release(self, runner: Runner, release: _Release) -> None:
        try:
            await self._undo(runner, release)
        except ProcessEnd as end:
            release.done.set_exception(NotOnTape(f"the tape did not take the release: {end.why}"))
            raise
        except (NotOnTape, NotClean) as refused:
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
        in_the_way = self._in_the_way()
        if in_the_way:
            raise NotClean(in_the_way)
        # The file goes first: should we fall in between, the tape still says stop.
        self._latch.forget_on_disk()
        on_tape = self._core.state.kill
        if on_tape.engaged:
            words = {"actor": release.actor, "reason": release.reason}
            await self._append(runner, engaged=False, level=on_tape.level, epoch=on_tape.epoch, **words)
        self._latch.clear(release.generation)
        metrics.KILL_SWITCH.set(int(self.is_engaged))

    def _in_the_way(self) -> tuple[str, ...]:
        """Return what a release waits for, in words."""
        state = self._core.state
        if not self.is_engaged:
            return ()
        if not state.kill.engaged:
            return ("the tape does not say yet that the switch is engaged",)
        return reconciliation.clean(state)

    async def _append(
        self, runner: Runner, *, engaged: bool, level: KillLevel, epoch: int, actor: str, reason: str
    ) -> None:
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
            level=level,
            epoch=epoch,
            actor=actor,
            reason=reason,
        )
        sequence = await runner.observe(message)
        event = "kill_switch.engaged" if engaged else "kill_switch.released"
        words = {"level": level.value, "actor": actor, "reason": reason}
        logger().warning(event, outcome="on_tape", epoch=epoch, sequence=sequence, **words)
        while self._applied_sequence < sequence:
            self._applied.clear()
            await self._applied.wait()

    def _let_go_if_released(self) -> None:
        """Let go of an order to stop that was released at another instance, as the tape has said since."""
        order, on_tape = self._latch.order, self._core.state.kill
        if order is None or on_tape.engaged or on_tape.epoch < order.epoch:
            return
        try:
            self._latch.forget_on_disk()
        except OSError as error:
            logger().error("kill_switch.not_released", outcome="failed", detail=str(error))
            return
        self._latch.clear(self._latch.generation)
        logger().warning("kill_switch.released", outcome="elsewhere", epoch=on_tape.epoch)
        metrics.KILL_SWITCH.set(int(self.is_engaged))

    def note_applied(self, sequence: int) -> None:
        """Note that the core has stepped the record at ``sequence``."""
        if self._runner is not None and self._runner.standby is not None:
            self._let_go_if_released()
        self._applied_sequence = sequence
        self._applied.set()

    def describe(self) -> dict[str, Any]:
        """Return the state for an operator."""
        on_tape, order = self._core.state.kill, self._latch.order
        who = {"actor": on_tape.actor, "reason": on_tape.reason, "since_us": on_tape.since_us}
        if order is not None and not on_tape.engaged:
            who = {"actor": order.actor, "reason": order.reason, "since_us": order.at_us}
        level = self.level
        return {
            "engaged": self.is_engaged,
            "level": None if level is None else level.value,
            "epoch": on_tape.epoch,
            "on_tape": self.is_on_tape,
            "on_disk": self._latch.is_on_disk,
            **who,
            "flat": self._describe_flat(),
            "clean": list(self._in_the_way()),
        }

    def _describe_flat(self) -> dict[str, Any]:
        state = self._core.state
        proof = reconciliation.flat(state)
        waits_for = reconciliation.not_flat(state)
        if proof is None and self.level is KillLevel.FLATTEN:
            waits_for += kill.hindrances(state)
        return {"proven": proof is not None, "waits_for": list(waits_for), "proof": _shown(proof)}

    async def wait_until_flat(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the venue's word that all is closed, and return ``flat`` of ``describe`` then or at the timeout.

        Returns at once where the level in force closes nothing.
        """
        deadline = time.monotonic() + timeout_s
        while self.level is KillLevel.FLATTEN and reconciliation.flat(self._core.state) is None:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            self._applied.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._applied.wait(), left)
        return self._describe_flat()


def _shown(proof: Proof | None) -> dict[str, Any] | None:
    if proof is None:
        return None
    return {
        "message_id": proof.statement.message_id,
        "sequence": proof.statement.sequence,
        "venue_ts_us": proof.statement.venue_ts_us,
        "balances": {currency: plain(amount) for currency, amount in proof.balances.items()},
        "dust": list(proof.dust),
    }


def _now_us() -> int:
    return time.time_ns() // 1_000
