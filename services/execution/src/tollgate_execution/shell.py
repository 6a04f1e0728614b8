"""Execution's shell: around the pure core stand the journal, the permit, the venue, and the kill door."""

import asyncio
import math
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import nats.errors
from faststream.nats import NatsBroker

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.exits import Restart
from tollgate_chassis.operator_trail import OperatorTrail
from tollgate_chassis.runner import Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.tape import Record
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import execution as metrics
from tollgate_contracts.core import Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.subjects import permit_subject
from tollgate_execution.calls import GuardedVenue
from tollgate_execution.calls.watch import BreakerWatch
from tollgate_execution.core import ExecutionCore
from tollgate_execution.explaining import Explained, Explainer
from tollgate_execution.journal_doubt import JournalDoubt
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.lanes import Lanes
from tollgate_execution.last_look import LastLook
from tollgate_execution.permits import PermitHolder
from tollgate_execution.reconciliation import Reconciliation
from tollgate_execution.recovery import plan
from tollgate_execution.reports import Reporter
from tollgate_execution.resolving import Resolution, Resolver
from tollgate_execution.rounds import Rounds
from tollgate_execution.safe_mode import Eyes, Lookout, SafeModeWatch
from tollgate_execution.sender import Sender
from tollgate_execution.settings import ExecutionSettings
from tollgate_execution.statements import Statements
from tollgate_execution.stopping import Stopping
from tollgate_execution.store import Journal, JournalLost
from tollgate_execution.telling import measure_orders, tell
from tollgate_execution.write_behind import WriteBehind
from tollgate_venues.adapter import VenueAdapter

# Longer than one call to the venue may take, so that an answer on its way still reaches the tape.
_FINISH_S = 3.0
# After a drain, which has waited for them already.
_FINISH_AGAIN_S = 0.2
_RECONNECT_S = 0.1
# The permits' connection is looked at this often; without it permits lapse within a second anyway.
_PING_EVERY_S = 2.0


@dataclass(frozen=True)
class _Running:
    """What exists from ``start`` to ``stop``."""

    runner: Runner
    journal: Journal
    lanes: Lanes
    write_behind: WriteBehind
    reporter: Reporter
    sender: Sender
    look: LastLook
    reconciliation: Reconciliation
    doubt: JournalDoubt


class ExecutionShell(Shell):
    """What execution does around its core."""

    span_name = "execution.step"

    def __init__(
        self,
        settings: ExecutionSettings,
        core: ExecutionCore,
        config: str,
        connect_journal: Callable[[], Awaitable[Journal]],
        venue: VenueAdapter,
        permits: PermitHolder,
        door: KillDoor,
        broker: NatsBroker,
        trail: OperatorTrail,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """``config`` is the canonical text for the tape; ``connect_journal`` raises ``JournalLost`` while it fails."""
        self._settings = settings
        self._core = core
        self._config = config
        self._connect_journal = connect_journal
        self._venue = GuardedVenue(venue, settings.execution.calls.to_rules(), clock)
        self._permits = permits
        self._door = door
        self._broker = broker
        self._trail = trail
        self._clock = clock
        self._running: _Running | None = None
        self._configured = asyncio.Event()
        """Set once our configuration is on the tape: the core takes neither account nor approvals before."""
        self._safe_mode: SafeModeWatch | None = None
        self._explainer = Explainer(core, self._active_teller, clock)
        self._is_drained = False
        self.drain_s_max = settings.execution.stop_ms_max / 1_000
        self._quiet_epoch: int | None = None
        """The kill epoch in which no order is open, while the switch is engaged."""

    async def start(self, runner: Runner) -> None:
        """Connect the journal, waiting for it, then venue and permits; raises ``Restart`` without the broker."""
        # A door that is shut at an instance which stands by is meant for whichever is active.
        self._door.attach(runner.take_over)
        settings, section = self._settings, self._settings.execution
        self._trail.attach(runner)
        # A permit lives for a second: its age is looked at when somebody asks, and not now and then.
        metrics.PERMIT_AGE_SECONDS.set_function(self._permit_age_s)
        metrics.KILL_DOOR.set_function(lambda: float(self._door.is_shut))
        journal = await self._wait_for_journal()
        lanes = Lanes(section.concurrency_max)
        write_behind = WriteBehind(journal, self._clock)
        reporter = Reporter(
            settings.desk,
            settings.run_id,
            settings.venue,
            settings.account,
            self._clock.wall_us,
            lambda: runner.cycle_id,
        )
        look = LastLook(
            self._core,
            runner,
            self._permits,
            self._door,
            section.to_caps(),
            section.orders_per_s_max,
            self._clock,
        )
        sender = Sender(
            self._core,
            runner,
            journal,
            self._venue,
            reporter,
            self._permits,
            look,
            lanes,
            write_behind,
            self._clock,
        )
        reconciliation = self._reconciliation(runner, journal, sender, reporter)
        look.read_us = reconciliation.read_us
        doubt = JournalDoubt(self._core, journal, reconciliation.agreed_us, self._clock)
        self._running = _Running(runner, journal, lanes, write_behind, reporter, sender, look, reconciliation, doubt)
        await self._venue.connect()
        await self._follow_permits()

    def _reconciliation(self, runner: Runner, journal: Journal, sender: Sender, reporter: Reporter) -> Reconciliation:
        section, core, venue, clock = self._settings.execution, self._core, self._venue, self._clock
        statements = Statements(core, runner, venue, reporter, section.account_interval_ms, clock)
        rounds = Rounds(section.sync, core, runner, venue, journal, sender, reporter, statements, clock)
        return Reconciliation(section.sync, venue, sender, rounds, statements, clock)

    async def _wait_for_journal(self) -> Journal:
        """Wait rather than end: the kill door answers meanwhile, and without a journal nothing is sent anyway."""
        said = ""
        while True:
            try:
                return await self._connect_journal()
            except JournalLost as lost:
                if lost.why != said:
                    logger().warning("journal.unavailable", outcome=lost.why)
                    said = lost.why
                await self._clock.sleep(_RECONNECT_S)

    async def _follow_permits(self) -> None:
        subscriber = self._broker.subscriber(permit_subject(self._settings.desk), no_reply=True, decoder=_raw)
        subscriber(self._on_permit)
        try:
            await self._broker.start()
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise Restart(f"permits: the broker did not answer: {error}") from error

    async def _on_permit(self, body: bytes) -> None:
        fault = self._permits.offer(body, self._clock.wall_us(), self._clock.monotonic_us())
        if fault is not None:
            metrics.PERMITS_REFUSED.labels(fault.value).inc()
            logger().warning("permit.refused", outcome=fault.value)

    def background(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what runs beside the reader."""
        running = self._started()
        return (
            running.lanes.failure(),
            running.write_behind.run(),
            self._once_configured(running.reconciliation.listen),
            self._once_configured(running.reconciliation.follow_account),
            self._once_configured(running.reconciliation.run),
            self._once_configured(running.doubt.run),
            self._watch_permits(),
            self._watch_safety(running),
            self._watch_breakers(running),
            self._trail.run(),
        )

    def _started(self) -> _Running:
        assert self._running is not None  # noqa: S101 - the chassis calls start() first
        return self._running

    async def carry_out(self, record: Record, message: Message, step: Step, live: bool) -> None:  # noqa: ARG002 - the chassis's signature
        """Begin the calls; in recovery nothing, because ``went_live`` sees to whatever was left open."""
        if not live:
            return
        sender = self._started().sender
        for effect in step.effects:
            sender.carry_out(effect, message)
        await sender.until_written()

    async def settled(self, record: Record) -> None:  # noqa: ARG002 - the chassis's signature
        """Ask for the account once the last order is over under the kill switch: what is held then is to be proved."""
        kill = self._core.kill
        quiet_epoch = kill.epoch if kill.engaged and not self._core.has_open_orders() else None
        if quiet_epoch != self._quiet_epoch:
            self._quiet_epoch = quiet_epoch
            if quiet_epoch is not None:
                self._started().reconciliation.want_account()
        self._started().reconciliation.applied()

    def finish(self, output: Message) -> Message:
        """Leave the output as it is; say it in logs and metrics, unless it was said before a crash."""
        if self._started().runner.live.is_set():
            tell(output)
            self._started().reconciliation.told(output)
        return output

    async def went_live(self) -> None:
        """Take the lease, put the configuration in force, and see to every order that was left open."""
        running = self._started()
        epoch = await running.journal.take_lease(f"{socket.gethostname()}:{os.getpid()}:{self._settings.run_id}")
        logger().info("lease.taken", epoch=epoch)
        config = running.reporter.config(self._config)
        if config.hash != self._core.config_hash:
            await running.runner.observe(config)
        self._venue.resume(self._core.circuits.breakers, self._core.circuits.banned_until_us)
        await self._recover(running)
        self._configured.set()

    async def _recover(self, running: _Running) -> None:
        orders = self._core.orders
        journaled = await running.journal.which_are_there([record.placing.venue_id for record in orders.active()])
        open_rows = await running.journal.load_unsettled()
        was_restored = await running.journal.was_restored()
        todo = plan(orders, journaled, open_rows, self._clock.wall_us(), was_restored=was_restored)
        if was_restored:
            running.doubt.hold(todo.ask)
        running.sender.know_journaled(open_rows)
        for client_order_id in todo.never_sent:
            await running.sender.never_sent(client_order_id)
        for each in todo.settle:
            running.write_behind.settle_recovered(each.client_order_id, each.state.value, is_over=each.is_over)
        held = [each for each in todo.ask if orders.find(each) is not None]
        running.reconciliation.know_orphans(each for each in todo.ask if each not in held)
        for client_order_id in held:
            running.sender.ask(client_order_id)
        for submit in todo.submit:
            running.sender.submit(submit)
        logger().info(
            "orders.recovered",
            submitted=len(todo.submit),
            never_sent=len(todo.never_sent),
            asked=len(todo.ask),
            settled=len(todo.settle),
        )

    async def _once_configured(self, work: Callable[[], Awaitable[None]]) -> None:
        await self._configured.wait()
        await work()

    async def _watch_permits(self) -> None:
        """End the process when the permits' connection is gone: it is not mended here."""
        while True:
            measure_orders(self._core.orders.active(), self._core.watch, self._clock.wall_us())
            metrics.UNPROTECTED_POSITIONS.set(len(self._core.protecting.unprotected))
            if not await self._broker.ping(timeout=_PING_EVERY_S):
                raise Restart("permits: the connection to the broker is gone")
            await self._clock.sleep(_PING_EVERY_S)

    def _permit_age_s(self) -> float:
        age_us = self._permits.age_us(self._clock.monotonic_us())
        return math.inf if age_us is None else age_us / 1_000_000

    async def _watch_breakers(self, running: _Running) -> None:
        await self._configured.wait()
        watch = BreakerWatch(self._venue, self._core, running.runner, running.reporter, self._clock)
        await asyncio.gather(*watch.background())

    async def _watch_safety(self, running: _Running) -> None:
        await self._configured.wait()
        await self._safe_mode_of(running).run()

    def _safe_mode_of(self, running: _Running) -> SafeModeWatch:
        """Return who watches over safe mode; made when it is first needed, which is when the tape is read."""
        if self._safe_mode is None:
            section, clock = self._settings.execution, self._clock
            reconciliation = running.reconciliation
            eyes = Eyes(lambda: reconciliation.is_listening, reconciliation.account_us, reconciliation.agreed_us)
            lookout = Lookout(self._core, self._permits, eyes, section.account_interval_ms * 1_000, clock)
            self._safe_mode = SafeModeWatch(
                self._core, running.runner, running.reporter, running.look, lookout, section.safe_mode, clock
            )
        return self._safe_mode

    async def resolve(self, client_order_id: str, outcome: ReportStatus, words: str) -> Resolution:
        """Take an operator's word on an order of unknown outcome."""
        return await Resolver(self._core, self._active_sender, self._clock).resolve(client_order_id, outcome, words)

    async def explain(self, currency: str, amount: Decimal, words: str) -> Explained:
        """Take an operator's word on a drift that nothing explains."""
        return await self._explainer.explain(currency, amount, words)

    def _active_sender(self) -> Sender | None:
        running = self._active()
        return None if running is None else running.sender

    def _active_teller(self) -> tuple[Runner, Reporter] | None:
        running = self._active()
        return None if running is None else (running.runner, running.reporter)

    def _active(self) -> _Running | None:
        running = self._running
        is_active = running is not None and running.runner.live.is_set() and self._configured.is_set()
        return running if is_active else None

    async def drain(self) -> None:
        """Stop accepting, cancel entries if so configured, let calls under way end, and write what is known."""
        running = self._started()
        self._is_drained = True
        parts = (running.look, self._safe_mode_of(running), running.lanes, running.write_behind)
        await Stopping(self._core, running.runner, *parts, self._settings.execution.on_stop, self._clock).drain()

    async def stop(self) -> None:
        """Let calls under way end, and let go; what came of them is read from the tape by the next process."""
        if self._running is None:
            return
        # Whatever ends the process: an order that still waits for the venue's limit does not leave any more.
        self._running.look.is_stopping = True
        await self._running.lanes.finish(_FINISH_AGAIN_S if self._is_drained else _FINISH_S)
        await self._running.journal.close()
        await self._venue.close()
        await self._broker.stop()

    def status(self) -> dict[str, Any]:
        """Return orders by state, fills, positions, the permit and both kills."""
        monotonic_us = self._clock.monotonic_us()
        age_us = self._permits.age_us(monotonic_us)
        permit = {
            "age_ms": None if age_us is None else age_us // 1_000,
            "epoch": self._permits.fresh_epoch(self._clock.wall_us(), monotonic_us),
        }
        lease = self._running.journal.epoch if self._running else 0
        return {
            **self._core.status(),
            "permit": permit,
            "kill_door": self._door.describe(),
            "lease_epoch": lease,
            "calls": self._venue.describe(),
            "reconciliation": self._running.reconciliation.status() if self._running else None,
        }

    def not_ready(self) -> list[str]:
        """Return what keeps execution from working."""
        if self._running is None:
            return ["execution has not started yet"]
        return self._running.reconciliation.not_ready()


async def _raw(message: Any) -> bytes:
    body: bytes = message.body
    return body
