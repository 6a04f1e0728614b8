"""Execution's shell: around the pure core stand the journal, the permit, the venue, and the kill door."""

import asyncio
import os
import random
import socket
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nats.errors
from faststream.nats import NatsBroker

from tollgate_chassis.exits import Restart
from tollgate_chassis.operator_trail import OperatorTrail
from tollgate_chassis.runner import Runner
from tollgate_chassis.shell import Shell
from tollgate_chassis.tape import Record
from tollgate_chassis.telemetry import metrics
from tollgate_chassis.telemetry.logs import logger
from tollgate_contracts.core import Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Fill, Order, Reconcile, Refusal
from tollgate_contracts.subjects import permit_subject
from tollgate_execution.core import ExecutionCore
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.lanes import Lanes
from tollgate_execution.permits import PermitHolder
from tollgate_execution.recovery import plan
from tollgate_execution.reports import Reporter
from tollgate_execution.sender import Sender
from tollgate_execution.settings import ExecutionSettings
from tollgate_execution.store import Journal, JournalLost
from tollgate_execution.venue import SimulatedVenue, UserStreamLost, VenueUnavailable
from tollgate_execution.write_behind import WriteBehind, wall_us

# Longer than one call to the venue may take, so that an answer on its way still reaches the tape.
_FINISH_S = 3.0
_RECONNECT_S_MIN, _RECONNECT_S_MAX = 0.1, 5.0
# The permits' connection is looked at this often; without it permits lapse within a second anyway.
_PING_EVERY_S = 2.0
# Under the kill switch the account is asked for as each order ends, and no more often than this.
_ACCOUNT_SPACING_S = 0.1


@dataclass(frozen=True)
class _Running:
    """What exists from ``start`` to ``stop``."""

    runner: Runner
    journal: Journal
    lanes: Lanes
    write_behind: WriteBehind
    reporter: Reporter
    sender: Sender


class ExecutionShell(Shell):
    """What execution does around its core."""

    span_name = "execution.step"

    def __init__(
        self,
        settings: ExecutionSettings,
        core: ExecutionCore,
        config: str,
        dsn: str,
        venue: SimulatedVenue,
        permits: PermitHolder,
        door: KillDoor,
        broker: NatsBroker,
        trail: OperatorTrail,
    ) -> None:
        """``config`` is the canonical text for the tape, ``dsn`` that of execution's own database role."""
        self._settings = settings
        self._core = core
        self._config = config
        self._dsn = dsn
        self._venue = venue
        self._permits = permits
        self._door = door
        self._broker = broker
        self._trail = trail
        self._running: _Running | None = None
        self._configured = asyncio.Event()
        """Set once our configuration is on the tape: the core takes neither account nor approvals before."""
        self._listening = False
        self._account_seen = False
        self._account_wanted = asyncio.Event()
        """Set when the account is to be stated now, and not at its time."""
        self._quiet_epoch: int | None = None
        """The kill epoch in which no order is open, while the switch is engaged."""

    async def start(self, runner: Runner) -> None:
        """Connect the journal, waiting for it, then venue and permits; raises ``Restart`` without the broker."""
        # A door that is shut at an instance which stands by is meant for whichever is active.
        self._door.attach(runner.take_over)
        settings, section = self._settings, self._settings.execution
        self._trail.attach(runner)
        journal = await self._wait_for_journal()
        lanes = Lanes(section.concurrency_max)
        write_behind = WriteBehind(journal)
        reporter = Reporter(
            settings.desk, settings.run_id, settings.venue, settings.account, wall_us, lambda: runner.cycle_id
        )
        sender = Sender(
            self._core,
            runner,
            journal,
            self._venue,
            reporter,
            self._permits,
            self._door,
            lanes,
            section.order_notional_max,
            section.orders_per_s_max,
            write_behind,
        )
        self._running = _Running(runner, journal, lanes, write_behind, reporter, sender)
        await self._venue.connect()
        await self._follow_permits()

    async def _wait_for_journal(self) -> Journal:
        """Wait rather than end: the kill door answers meanwhile, and without a journal nothing is sent anyway."""
        said = ""
        while True:
            try:
                return await Journal.connect(self._dsn, self._settings.desk)
            except JournalLost as lost:
                if lost.why != said:
                    logger().warning("journal.unavailable", outcome=lost.why)
                    said = lost.why
                await asyncio.sleep(_RECONNECT_S_MIN)

    async def _follow_permits(self) -> None:
        subscriber = self._broker.subscriber(permit_subject(self._settings.desk), no_reply=True, decoder=_raw)
        subscriber(self._on_permit)
        try:
            await self._broker.start()
        except (OSError, TimeoutError, nats.errors.Error) as error:
            raise Restart(f"permits: the broker did not answer: {error}") from error

    async def _on_permit(self, body: bytes) -> None:
        fault = self._permits.offer(body, wall_us(), time.monotonic_ns() // 1_000)
        if fault is not None:
            metrics.PERMITS_REFUSED.labels(fault.value).inc()
            logger().warning("permit.refused", outcome=fault.value)

    def background(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what runs beside the reader."""
        running = self._started()
        return (
            running.lanes.failure(),
            running.write_behind.run(),
            self._listen(running),
            self._watch_account(running),
            self._watch_permits(),
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
                self._account_wanted.set()

    def finish(self, output: Message) -> Message:
        """Leave the output as it is; say it in logs and metrics, unless it was said before a crash."""
        if self._started().runner.live.is_set():
            _tell(output)
        return output

    async def went_live(self) -> None:
        """Take the lease, put the configuration in force, and see to every order that was left open."""
        running = self._started()
        epoch = await running.journal.take_lease(f"{socket.gethostname()}:{os.getpid()}:{self._settings.run_id}")
        logger().info("lease.taken", epoch=epoch)
        config = running.reporter.config(self._config)
        if config.hash != self._core.config_hash:
            await running.runner.observe(config)
        await self._recover(running)
        self._configured.set()

    async def _recover(self, running: _Running) -> None:
        orders = self._core.orders
        journaled = await running.journal.which_are_there([record.client_order_id for record in orders.active()])
        todo = plan(orders, journaled, await running.journal.load_unsettled(), wall_us())
        for client_order_id in todo.never_sent:
            await running.sender.never_sent(client_order_id)
        for record in todo.settle:
            running.write_behind.settle_recovered(record.client_order_id, record.state.value)
        for client_order_id in todo.ask:
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

    async def _listen(self, running: _Running) -> None:
        """Follow the user stream; each time it is up again, ask after every open order."""
        await self._configured.wait()
        delay_s = _RECONNECT_S_MIN
        while True:
            listening = asyncio.Event()
            asking = asyncio.create_task(self._ask_all(running, listening))
            try:
                async for evidence in self._venue.user_stream(listening):
                    delay_s = _RECONNECT_S_MIN
                    await running.sender.observe(evidence)
            except UserStreamLost as lost:
                logger().warning("venue.user_stream.lost", outcome=str(lost))
            finally:
                self._listening = False
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            # Jitter, so that many desks do not come back to a venue in one beat.
            await asyncio.sleep(delay_s * (1 + random.random()))  # noqa: S311 - nothing secret hangs on it
            delay_s = min(delay_s * 2, _RECONNECT_S_MAX)

    async def _ask_all(self, running: _Running, listening: asyncio.Event) -> None:
        await listening.wait()
        self._listening = True
        for record in self._core.orders.active():
            running.sender.ask(record.client_order_id)
        try:
            for evidence in await self._venue.open_orders():
                await running.sender.observe(evidence)
        except VenueUnavailable as error:
            logger().warning("venue.open_orders.failed", outcome=str(error))

    async def _watch_account(self, running: _Running) -> None:
        """Put the venue's account on the tape, at once and then at the interval or when wanted: others compare."""
        await self._configured.wait()
        while True:
            try:
                account = await self._venue.account()
            except VenueUnavailable as error:
                logger().warning("venue.account.failed", outcome=str(error))
                await asyncio.sleep(_RECONNECT_S_MIN if not self._account_seen else _RECONNECT_S_MAX)
                continue
            await running.runner.observe(running.reporter.account_message(account))
            self._account_seen = True
            # The venue's limits hold under the kill switch too.
            await asyncio.sleep(_ACCOUNT_SPACING_S)
            with suppress(TimeoutError):
                await asyncio.wait_for(
                    self._account_wanted.wait(),
                    self._settings.execution.account_interval_ms / 1_000 - _ACCOUNT_SPACING_S,
                )
            self._account_wanted.clear()

    async def _watch_permits(self) -> None:
        """End the process when the permits' connection is gone: it is not mended here."""
        while True:
            age_us = self._permits.age_us(time.monotonic_ns() // 1_000)
            if age_us is not None:
                metrics.PERMIT_AGE_SECONDS.set(age_us / 1_000_000)
            metrics.UNKNOWN_ORDERS.set(self._core.orders.counts().get("UNKNOWN", 0))
            if not await self._broker.ping(timeout=_PING_EVERY_S):
                raise Restart("permits: the connection to the broker is gone")
            await asyncio.sleep(_PING_EVERY_S)

    async def stop(self) -> None:
        """Let calls under way end, write what is known, and let go."""
        if self._running is None:
            return
        await self._running.lanes.finish(_FINISH_S)
        await self._running.journal.close()
        await self._venue.close()
        await self._broker.stop()

    def status(self) -> dict[str, Any]:
        """Return orders by state, fills, positions, the permit and both kills."""
        monotonic_us = time.monotonic_ns() // 1_000
        age_us = self._permits.age_us(monotonic_us)
        permit = {
            "age_ms": None if age_us is None else age_us // 1_000,
            "epoch": self._permits.fresh_epoch(wall_us(), monotonic_us),
        }
        lease = self._running.journal.epoch if self._running else 0
        return {**self._core.status(), "permit": permit, "kill_door": self._door.describe(), "lease_epoch": lease}

    def not_ready(self) -> list[str]:
        """Return what keeps execution from working."""
        reasons = []
        if not self._account_seen:
            reasons.append("the venue has not stated the account yet")
        if not self._listening:
            reasons.append("not listening to the venue's user stream")
        return reasons


async def _raw(message: Any) -> bytes:
    body: bytes = message.body
    return body


def _tell(output: Message) -> None:
    match output:
        case Order():
            logger().info(
                "order.state",
                client_order_id=output.client_order_id,
                symbol=output.symbol,
                cycle_id=output.cycle_id,
                outcome=output.to_state.value.lower(),
                reason=output.reason and output.reason.value,
            )
        case Fill():
            metrics.FILLS.labels(output.symbol, output.side.value).inc()
            logger().info(
                "order.fill",
                client_order_id=output.client_order_id,
                symbol=output.symbol,
                cycle_id=output.cycle_id,
                outcome=output.side.value.lower(),
            )
        case Refusal():
            for code in output.codes:
                metrics.REFUSALS.labels(code.value).inc()
            logger().warning(
                "approval.refused",
                client_order_id=output.client_order_id,
                cycle_id=output.cycle_id,
                outcome=output.codes[0].value,
                detail=output.detail,
            )
        case Reconcile():
            logger().warning("reconcile.mismatch", outcome=output.done, subject=output.subject, detail=output.differed)
        case _:
            pass
