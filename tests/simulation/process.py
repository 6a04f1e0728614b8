"""One process of execution in the simulation: the real core, shell and runner, its disk and its broker."""

import asyncio
import contextvars
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation import desk
from tests.simulation.database import Journal
from tests.simulation.desk import DESK, RUN_ID
from tests.simulation.network import Link
from tests.simulation.presence import Client
from tests.simulation.tape import Tape
from tests.simulation.venue import Venue
from tollgate_chassis.clock import Clock
from tollgate_chassis.operator_trail import OperatorTrail
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.service import _cancel, _first_to_end, _let_go
from tollgate_chassis.snapshots import Snapshot
from tollgate_chassis.standby import Standby
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.approval import Approval
from tollgate_contracts.execution import ReportStatus
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.safety import is_escalated
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.permits import PermitHolder
from tollgate_execution.shell import ExecutionShell

if TYPE_CHECKING:
    from tests.simulation.world import World

_DISK = Link(delay_us_max=2_000, timeout_us=60_000_000)


class Process:
    """One process of execution: the real core, shell and runner, from start to kill."""

    def __init__(self, world: "World", number: int, host: int) -> None:
        self.world = world
        self.number = number
        self.host = host
        self.task: asyncio.Task[None] | None = None
        clock = Clock(world.wall_us, lambda: world.loop.now_us, asyncio.sleep, Random(number).random)  # noqa: S311 - it is to be the same each time
        settings = desk.settings(world.plan.on_stop)
        verifier = desk.RememberedVerifier
        self.core = ExecutionCore(verifier.approval)
        self.broker = Broker(world)
        self.door = Door(world)
        self.door.load()
        self.tape = Tape(world.loop, world.network, world.tape, world.plan.tape, number)
        trail = OperatorTrail("execution", DESK, RUN_ID, settings.state_dir)
        self.shell = ExecutionShell(
            settings,
            self.core,
            desk.configuration(),
            self._connect_journal,
            Venue(world.loop, world.network, world.floor, world.plan.venue, world.before_sending),
            PermitHolder(DESK, verifier.permit),
            self.door,
            self.broker,
            trail,
            clock,
        )
        identity = Identity("execution", DESK, RUN_ID)
        client: Any = Client(world.line, number)
        # One that is the only one ever needs nobody to ask.
        self.standby = Standby(client, identity, f"instance-{number}", clock=clock) if world.plan.may_be_two else None
        self.runner = Runner(
            identity,
            self.core,
            self.shell,
            self.tape,
            Snapshots(world, host),
            Mark(world, host),
            Tracing("execution", RUN_ID, None),
            snapshot_every=world.plan.snapshot_every,
            standby=self.standby,
            clock=clock,
        )

    async def _connect_journal(self) -> Journal:
        world = self.world
        return Journal(world.network, world.database, world.plan.database, world.wall_us)

    @property
    def is_live(self) -> bool:
        """Say whether it has caught up with the tape and is, or was until now, the active one."""
        return self.runner.live.is_set()

    async def live(self) -> None:
        """Live as the chassis has a service live."""
        try:
            await self.shell.start(self.runner)
            watching = [self.standby.run(lambda: self.runner.position, self.runner.prove)] if self.standby else []
            await _first_to_end(self.runner.run(), *watching, *self.shell.background())
        finally:
            await self.shell.stop()

    def stop(self) -> None:
        """Tell it to stop, as for a new version."""
        self.world.loop.start_process(self.number, self._stop_in_order())

    async def _stop_in_order(self) -> None:
        """End as the chassis's host has a service end."""
        if self.task is not None and self.runner.live.is_set():
            draining = asyncio.create_task(self._drain())
            both = {draining, self.task}
            await asyncio.wait(both, timeout=self.shell.drain_s_max, return_when=asyncio.FIRST_COMPLETED)
            await _cancel({draining})
        self.runner.stop()

    async def _drain(self) -> None:
        await _let_go("service.drain_failed", self.shell.drain())

    def hear_operator(self, outcome: ReportStatus) -> None:
        """Let an operator end every order that the venue was asked about in vain."""
        self.world.loop.start_process(self.number, self._resolve(outcome))

    async def _resolve(self, outcome: ReportStatus) -> None:
        for record in self.core.orders.active():
            if is_escalated(record, self.core.watch):
                resolution = await self.shell.resolve(record.client_order_id, outcome, "ann: drill")
                self.world.say(f"operator: {record.client_order_id} {outcome.value}: {resolution.verdict.value}")


class Door(KillDoor):
    """The kill door, whose file is a text that outlives the process."""

    def __init__(self, world: "World") -> None:
        super().__init__(desk.settings(world.plan.on_stop).state_dir)
        self._world = world

    def load(self) -> None:
        """Take up the latch that an earlier process left."""
        self._shut = None if self._world.door is None else json.loads(self._world.door)

    def open(self, actor: str, reason: str) -> None:
        """Open it."""
        self._shut = self._world.door = None

    def _write(self, text: str) -> None:
        self._world.door = text


class Broker:
    """One process's connection to the broker, as far as permits are concerned."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._handler: Callable[[bytes], Awaitable[None]] | None = None
        self._context: contextvars.Context | None = None
        self._held: dict[str, Any] = {}
        self._received_us = 0

    def subscriber(self, _subject: str, **_options: Any) -> Callable[[Callable[[bytes], Awaitable[None]]], None]:
        """Take what permits are handed to."""
        return self._subscribe

    def _subscribe(self, handler: Callable[[bytes], Awaitable[None]]) -> None:
        self._handler = handler

    async def start(self) -> None:
        """Begin to deliver, as this process."""
        self._context = contextvars.copy_context()

    async def stop(self) -> None:
        """Deliver no more."""
        self._context = None

    async def ping(self, timeout: float) -> bool:  # noqa: ASYNC109 - as the real one has it
        """Say that the connection is well."""
        return True

    def deliver(self, body: bytes) -> None:
        """Hand a permit over."""
        if self._context is None:
            return
        held = json.loads(json.loads(body)["text"])
        if not self._held or held["number"] > self._held["number"]:
            self._held, self._received_us = held, self._world.wall_us()
        self._world.loop.call_soon(self._take, body, context=self._context)

    def _take(self, body: bytes) -> None:
        if self._handler is not None:
            self._world.loop.create_task(self._handler(body))

    def permits(self, approval: Approval, now_us: int) -> bool:
        """Say whether, by what was handed over, sending is permitted now."""
        held = self._held
        if not held or (held["kill_epoch"], held["scope"]) != (approval.kill_epoch, approval.scope.value):
            return False
        return now_us < min(held["expires_us"], self._received_us + desk.PERMIT_LIFE_US)


class Snapshots:
    """A disk with one snapshot on it, as text: what is not JSON does not come back."""

    def __init__(self, world: "World", host: int) -> None:
        self._world = world
        self._host = host

    async def load(self) -> Snapshot | None:
        """Return the snapshot."""
        kept = self._world.snapshots.get(self._host)
        if kept is None:
            return None
        content = json.loads(kept)
        return Snapshot(content["sequence"], content["message_id"], content["state"])

    async def save(self, snapshot: Snapshot) -> None:
        """Replace it, a moment later and all at once."""
        text = json.dumps(
            {"sequence": snapshot.sequence, "message_id": snapshot.message_id, "state": snapshot.state},
            separators=(",", ":"),
        )

        def replace() -> None:
            self._world.snapshots[self._host] = text

        await self._world.network.call(_DISK, replace)


class Mark:
    """The high-water mark, which outlives the process."""

    def __init__(self, world: "World", host: int) -> None:
        self._world = world
        self._host = host

    def read(self) -> int:
        """Return it."""
        return self._world.high_water.get(self._host, 0)

    def write(self, sequence: int) -> None:
        """Set it."""
        self._world.high_water[self._host] = sequence
