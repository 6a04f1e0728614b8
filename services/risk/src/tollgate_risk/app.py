"""Wiring of the gate: policy and kill switch go onto the tape, approvals are signed, permits are issued."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any

from tollgate_chassis.broker import fast_stream_broker
from tollgate_chassis.operator_door import OperatorDoor
from tollgate_chassis.operator_trail import OperatorTrail
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens
from tollgate_chassis.runner import Runner
from tollgate_chassis.service import Parts, run_service
from tollgate_chassis.shell import Shell
from tollgate_chassis.tape import Record
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import risk as metrics
from tollgate_contracts.approval import APPROVAL_DOMAIN
from tollgate_contracts.envelope import Message
from tollgate_contracts.risk import Decision, Mode, Outcome
from tollgate_contracts.subjects import permit_subject
from tollgate_risk.api import build_router
from tollgate_risk.core import RiskCore
from tollgate_risk.decision_log import DecisionLog
from tollgate_risk.gauges import ModeGauges
from tollgate_risk.kill_latch import KillLatch
from tollgate_risk.kill_switch import KillSwitchControl
from tollgate_risk.own_policy import OwnPolicy
from tollgate_risk.permits import PermitIssuer
from tollgate_risk.policy_file import policy_document
from tollgate_risk.settings import RiskSettings
from tollgate_risk.signing import KEY_FILE, Signer
from tollgate_risk.tightening import PolicyControl
from tollgate_risk.views import status_view

# Telling waits until the decision is on its way: nothing stands between it and the tape.
_TELL_AFTER_S = 0.005


class RiskShell(Shell):
    """Signs what the core approves, and holds the lease without which execution sends nothing."""

    span_name = "risk.pre_trade"

    def __init__(
        self,
        settings: RiskSettings,
        core: RiskCore,
        control: KillSwitchControl,
        policies: PolicyControl,
        own: OwnPolicy,
        trail: OperatorTrail,
        decisions: DecisionLog,
        signer: Signer,
    ) -> None:
        self._settings = settings
        self._core = core
        self._control = control
        self._decisions = decisions
        self._signer = signer
        self._policies = policies
        self._own = own
        self._trail = trail
        self._permits = PermitIssuer(core, control, signer, own)
        self._broker = fast_stream_broker(settings, "risk")
        self._gauges = ModeGauges()
        self._runner: Runner | None = None

    async def start(self, runner: Runner) -> None:
        """Connect FastStream's side of the broker, on which permits travel."""
        self._runner = runner
        self._control.attach(runner)
        self._policies.attach(runner)
        self._trail.attach(runner)
        await self._broker.connect()

    async def stop(self) -> None:
        """Let go of the broker; the permit that is out lapses by itself."""
        await self._broker.stop()

    def background(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return the ways to the tape of kill switch, policy and operators' calls, and the permits."""
        if self._runner is None:
            return ()
        interval_s = self._settings.risk.permit_interval_ms / 1_000
        permits = self._permits.run(self._runner, self._publish_permit, interval_s)
        return self._control.run(), self._policies.run(), self._trail.run(), permits

    async def _publish_permit(self, data: bytes) -> None:
        await self._broker.publish(data, permit_subject(self._settings.desk))

    async def went_live(self) -> None:
        """Put the policy onto the tape, unless it is what the tape has in force, and say what arming lacks."""
        metrics.KILL_SWITCH.set(int(self._control.is_engaged))
        if self._runner is None:
            return
        await self._policies.put_in_force(self._runner)
        document = self._own.document
        missing = document.rules.arming.missing(document.environment)
        logger().info("risk.arming", outcome="not_armed" if missing else "armed", missing=list(missing))

    def finish(self, output: Message) -> Message:
        """Sign an approval; one under a key that is no longer ours stays unsigned, and execution refuses it."""
        if isinstance(output, Decision):
            if output.approval is not None and output.approval.key_id == self._signer.key_id:
                signed = self._signer.sign(APPROVAL_DOMAIN, output.approval.text)
                output = output.model_copy(update={"approval": signed})
            self._decisions.note(output)
        if self._runner is not None and self._runner.live.is_set():
            asyncio.get_running_loop().call_later(_TELL_AFTER_S, _tell, output)
        return output

    async def settled(self, record: Record) -> None:
        """Let kill switch and policy see that the tape has moved, and the metrics what has become of the mode."""
        self._control.note_applied(record.sequence)
        self._policies.note_applied()
        self._gauges.refresh(self._core.state)

    def status(self) -> dict[str, Any]:
        """Return mode, kill switch, decisions and open orders, and why no permit is given, if so."""
        switch = self._control.describe()
        return {
            **status_view(self._core.state),
            "kill_switch": {"engaged": switch["engaged"], "epoch": switch["epoch"], "on_tape": switch["on_tape"]},
            "permit_withheld": list(self._why_withheld()),
        }

    def _why_withheld(self) -> tuple[str, ...]:
        if self._runner is None:
            return ("not connected to the tape",)
        return self._permits.why_withheld(self._runner, time.monotonic_ns() // 1_000)

    def not_ready(self) -> list[str]:
        """Return what keeps the gate from judging; an engaged kill switch is not one of it."""
        state = self._core.state
        reasons = []
        if not self._own.is_in_force(state):
            reasons.append("the policy is not in force yet")
        if state.portfolio is None:
            reasons.append("the venue has not stated the account yet")
        if state.fault is not None:
            reasons.append(state.fault)
        return reasons


def _tell(output: Message) -> None:
    if isinstance(output, Mode):
        _tell_mode(output)
    if not isinstance(output, Decision):
        return
    approved = output.outcome is Outcome.APPROVED
    metrics.DECISIONS.labels(output.outcome.value).inc()
    for finding in output.findings:
        metrics.REJECTIONS.labels(finding.code.value).inc()
    logger().info(
        "risk.approve" if approved else "risk.reject",
        outcome=output.outcome.value.lower(),
        symbol=output.symbol,
        client_order_id=output.client_order_id,
        cycle_id=output.cycle_id,
        action=output.action.value.lower(),
        reasons=[finding.code.value for finding in output.findings],
    )


def _tell_mode(mode: Mode) -> None:
    before = "none" if mode.from_mode is None else mode.from_mode.value
    metrics.MODE_CHANGES.labels(before, mode.to_mode.value).inc()
    logger().warning(
        "risk.mode",
        outcome=mode.to_mode.value.lower(),
        before=before.lower(),
        cycle_id=mode.cycle_id,
        why=mode.why,
        conditions=[trigger.condition.value for trigger in mode.triggers if trigger.active],
    )


def build(settings: RiskSettings) -> Parts:
    """Build the service from its settings and secrets; raises ``BadConfiguration``."""
    signer = Signer.load(settings.secrets_dir / KEY_FILE)
    tokens = OperatorTokens.open(settings.secrets_dir / TOKENS_FILE, time.time_ns() // 1_000)
    trail = OperatorTrail("risk", settings.desk, settings.run_id, settings.state_dir)
    core, decisions, own = RiskCore(), DecisionLog(), OwnPolicy(policy_document(settings, signer))
    latch = KillLatch(settings.state_dir)
    latch.load()
    control = KillSwitchControl(core, latch)
    policies = PolicyControl(core, own)
    shell = RiskShell(settings, core, control, policies, own, trail, decisions, signer)
    router = build_router(core, control, decisions, policies, OperatorDoor(tokens, trail))
    return Parts(core=core, shell=shell, routers=(router,))


def main() -> None:
    """Run the gate."""
    run_service("risk", RiskSettings, build)
