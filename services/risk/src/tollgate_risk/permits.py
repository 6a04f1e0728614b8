"""The lease to trade: signed and published several times a second, while all is well, and else not at all.

Execution sends nothing without a fresh one. So whatever silences the gate, be it the kill switch, a dead broker, a
reader that has fallen behind or a process that hangs, stops trading within a permit's life. Under a kill switch that
closes positions permits go on, for what closes them and nothing else.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import nats.errors

from tollgate_chassis.exits import Restart
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import risk as metrics
from tollgate_contracts.approval import PERMIT_DOMAIN, PERMIT_LIFE_US_MAX, Permit, Scope, SignedText
from tollgate_contracts.config import canonical_json
from tollgate_contracts.risk import KillLevel
from tollgate_risk.core import RiskCore
from tollgate_risk.kill_switch import KillSwitchControl
from tollgate_risk.own_policy import OwnPolicy
from tollgate_risk.signing import Signer

# A reader that has proved nothing for this long may not know what the tape says, such as that it was told to stop.
PROGRESS_US_MAX = 500_000
# Well under half a second of reading, at ten times the rate of messages that the desk is built for.
LAG_MAX = 1_000
_PUBLISH_S = 1.0
# More than a century of permits.
_PERMITS_IN_A_TENURE = 10**10

Publish = Callable[[bytes], Awaitable[None]]


class PermitIssuer:
    """Issues the permits of one process.

    They are numbered from its tenure on: a gate that has taken over is believed at once, and the one that it has
    followed no more.
    """

    def __init__(self, core: RiskCore, control: KillSwitchControl, signer: Signer, own: OwnPolicy) -> None:
        self._core = core
        self._control = control
        self._signer = signer
        self._own = own
        self._number = 0
        self._withheld: tuple[str, ...] = ()

    def why_withheld(self, runner: Runner, monotonic_us: int) -> tuple[str, ...]:
        """Return what speaks against permitting anything now, in words; nothing when all is well."""
        state = self._core.state
        silent_us = monotonic_us - runner.progress_us
        reasons = (
            (self._scope() is None, "the kill switch is engaged"),
            (runner.standby is not None, f"standing by: {runner.standby} is active"),
            (not runner.live.is_set() and runner.standby is None, "catching up with the tape"),
            (runner.live.is_set() and not runner.vouches(monotonic_us), "another instance may be active"),
            (state.policy is None, "no policy is in force"),
            (not self._own.is_in_force(state), "the policy in force is not the one of this process"),
            (silent_us > PROGRESS_US_MAX, f"the reader has made no progress for more than {PROGRESS_US_MAX} us"),
            (runner.tip - runner.position > LAG_MAX, f"the reader is more than {LAG_MAX} messages behind"),
        )
        return tuple(words for applies, words in reasons if applies)

    def _scope(self) -> Scope | None:
        """Return what may be permitted now; what closes positions only once the tape says so, for all to see."""
        if not self._control.is_engaged:
            return Scope.TRADE
        kill = self._core.state.kill
        return Scope.FLATTEN if kill.engaged and kill.level is KillLevel.FLATTEN else None

    def issue(self, runner: Runner, wall_us: int, monotonic_us: int) -> SignedText | None:
        """Return the next permit, or none when one may not be given now."""
        withheld = self.why_withheld(runner, monotonic_us)
        if withheld != self._withheld:
            self._withheld = withheld
            logger().info("permit.changed", outcome="withheld" if withheld else "issued", detail="; ".join(withheld))
        scope = self._scope()
        metrics.PERMIT_WITHHELD.set(bool(withheld) or scope is None)
        if withheld or scope is None:
            return None
        self._number += 1
        permit = Permit(
            scope=scope,
            desk=runner.identity.desk,
            number=runner.tenure * _PERMITS_IN_A_TENURE + self._number,
            kill_epoch=self._core.state.kill.epoch,
            issued_us=wall_us,
            expires_us=wall_us + PERMIT_LIFE_US_MAX,
            key_id=self._signer.key_id,
        )
        return self._signer.sign(PERMIT_DOMAIN, canonical_json(permit.model_dump(mode="json")))

    async def run(self, runner: Runner, publish: Publish, interval_s: float) -> None:
        """Publish a permit each interval, for ever; raises ``Restart`` when the broker does not take it."""
        while True:
            signed = self.issue(runner, time.time_ns() // 1_000, time.monotonic_ns() // 1_000)
            if signed is not None:
                try:
                    await asyncio.wait_for(publish(signed.model_dump_json().encode()), _PUBLISH_S)
                except (nats.errors.Error, OSError, TimeoutError) as error:
                    raise Restart(f"a permit could not be published: {error or type(error).__name__}") from error
                metrics.PERMITS.inc()
            await asyncio.sleep(interval_s)
