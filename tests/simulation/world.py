"""One run: the world around execution, its processes one after the other, and what became of everything."""

import asyncio
import contextvars
import json
import traceback
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from tests.simulation import desk
from tests.simulation.database import Database, Journal
from tests.simulation.desk import DESK, RUN_ID, START_US
from tests.simulation.floor import Floor
from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Link, Network
from tests.simulation.plan import Plan, Request, Switch
from tests.simulation.tape import BrokersTape, Tape
from tests.simulation.venue import Venue
from tollgate_chassis.clock import Clock
from tollgate_chassis.exits import Exit, ProcessEnd
from tollgate_chassis.operator_trail import OperatorTrail
from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.service import _first_to_end
from tollgate_chassis.snapshots import Snapshot
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.approval import Approval, SignedText
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.strategy import Side
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.placing import Leg
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.permits import PermitHolder
from tollgate_execution.shell import ExecutionShell
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.flavours import MANNERS
from tollgate_simvenue.core.market import MarketEvent
from tollgate_simvenue.core.model import Fees, Instrument, OrderStatus
from tollgate_simvenue.core.units import ATOMS_PER_UNIT, FEE_RATE_PER_BPS, UNITS
from tollgate_venues.adapter import VenueOrder

_PERMIT_EVERY_US = 250_000
_CLOCK_EVERY_US = 100_000
_QUIET_CLOCK_EVERY_US = 250_000
_DISK = Link(delay_us_max=2_000, timeout_us=60_000_000)
CASH = 100_000
HELD = 100


class World:
    """Everything that outlives a process of execution."""

    def __init__(self, plan: Plan, *, traced: bool = False) -> None:
        self.plan = plan
        self.trace: list[str] | None = [] if traced else None
        self.violations: list[str] = []
        self.loop = SimulatedLoop(_chance(plan.seed ^ 0x5EED) if plan.shuffled else None)
        self.chance = _chance(plan.seed ^ 0xFA117)
        self.network = Network(self.loop, self.chance)
        self.tape = BrokersTape(self.wall_us)
        self.database = Database()
        self._instruments = 0
        exchange = _exchange(plan)
        self.floor = Floor(self.loop, self.network, exchange, plan.faults, self.wall_us, self._say_status)
        self.approvals: dict[str, tuple[Approval, SignedText]] = {}
        self.sent: dict[str, int] = {}
        """Submits that left, by client order id."""
        self.kill_epoch = 0
        self.kill_engaged_at: int | None = None
        """Sequence at which the switch was engaged; none while it is not."""
        self.process: Process | None = None
        self.processes = 0
        self.kills = 0
        self.snapshot: str | None = None
        self.high_water = 0
        self._kills = list(plan.kills)
        self._permits = 0
        self._quotes = 0
        self.loop.before_step = self._before_step if self._kills else None

    def wall_us(self) -> int:
        """Return the time of day, the same for everyone."""
        return START_US + self.loop.now_us

    def say(self, text: str) -> None:
        """Add a line to the trace."""
        if self.trace is not None:
            self.trace.append(f"{self.loop.now_us / 1_000:>10.3f} ms  {text}")

    def violate(self, text: str) -> None:
        """Note that something happened that must never happen."""
        self.say(f"VIOLATION {text}")
        self.violations.append(text)

    def begin(self) -> None:
        """Write what stands at the beginning, and set everything in motion."""
        self._write(desk.policy())
        self._say_status(desk.SYMBOL, "OPEN")
        for at_us, move in self.plan.market:
            self.loop.after(at_us, self._move_market, move)
        for request in self.plan.requests:
            self.loop.after(request.at_us, self._approve, request)
        if self.plan.switch is not None:
            self.loop.after(self.plan.switch.at_us, self._switch, self.plan.switch, True)
            self.loop.after(self.plan.switch.until_us, self._switch, self.plan.switch, False)
        for at_us in self.plan.busts:
            self.loop.after(at_us, self.floor.bust)
        for at_us in self.plan.deposits:
            self.loop.after(at_us, self.floor.deposit, "USDT", UNITS * ATOMS_PER_UNIT)
        for at_us in self.plan.stops:
            self.loop.after(at_us, self._stop_process)
        self.loop.after(self.plan.trading_us, self._calm)
        self._tick(1)
        self._permit()
        self._start_process()

    def _say_status(self, symbol: str, status: str) -> None:
        self._instruments += 1
        self.say(f"{symbol} is {status}")
        self._write(desk.instrument(symbol, status, self._instruments, self.wall_us()))

    def _write(self, message: desk.Written) -> None:
        subject, data, message_id = message
        self.tape.insert(subject, data, message_id)

    def _calm(self) -> None:
        self.say("faults stop")
        self.network.is_calm = True
        self.floor.calm()
        self.loop.before_step = None

    def _tick(self, number: int) -> None:
        self._write(desk.clock(number, self.wall_us()))
        self.loop.after(_QUIET_CLOCK_EVERY_US if self.network.is_calm else _CLOCK_EVERY_US, self._tick, number + 1)

    def _permit(self) -> None:
        self.loop.after(_PERMIT_EVERY_US, self._permit)
        now_us = self.loop.now_us
        if any(begins_us <= now_us < begins_us + life_us for begins_us, life_us in self.plan.permit_gaps):
            return
        if self.kill_engaged_at is not None:
            return
        self._permits += 1
        body = desk.signed_permit(self._permits, self.wall_us(), self.kill_epoch)
        if self.process is not None:
            self.loop.after(self.network.delay_us(self.plan.tape), self.process.broker.deliver, body)

    def _move_market(self, move: MarketEvent) -> None:
        self.floor.move(lambda exchange, now_us: exchange.apply(desk.SYMBOL, move, now_us))
        now = self.floor.exchange.quote(desk.SYMBOL)
        if now is not None:
            self._quotes += 1
            line = (now.bid, now.bid_quantity, now.ask, now.ask_quantity)
            self._write(desk.quote(self._quotes, self.wall_us(), *line))

    def _approve(self, request: Request) -> None:
        now_us, number = self.wall_us(), request.number
        client_order_id = desk.order_id(number)
        cause = self.tape.tip
        fields = request.fields
        if request.action == "AGAIN":
            approval, signed = self.approvals[client_order_id]
        else:
            if request.action == "CANCEL":
                fields = {**self._request_of(number).fields}
            approval, signed = desk.approve(
                action=request.action,
                client_order_id=client_order_id,
                intent_id=f"strategy:{cause}:0",
                issued_us=now_us,
                expires_us=now_us + request.life_us,
                kill_epoch=self.kill_epoch,
                **_as_approved(fields, now_us, is_new=request.action == "SUBMIT"),
            )
        if request.action == "SUBMIT":
            self.approvals[client_order_id] = (approval, signed)
        self.say(f"risk approves {request.action} {number}: {fields}")
        self._write(desk.decision(approval, signed, cause, now_us))

    def _request_of(self, number: int) -> Request:
        return next(each for each in self.plan.requests if each.number == number and each.action == "SUBMIT")

    def _switch(self, switch: Switch, engaged: bool) -> None:
        self.kill_epoch += engaged
        self.say(f"kill switch {switch.level} {'engaged' if engaged else 'released'}")
        self._write(desk.kill_switch(self.kill_epoch, self.wall_us(), engaged=engaged, level=switch.level))
        self.kill_engaged_at = self.tape.tip if engaged else None

    # What processes do.

    def _start_process(self) -> None:
        self.processes += 1
        self.network.alive = self.processes
        self.say(f"process {self.processes} starts")
        process = self.process = Process(self, self.processes)
        process.task = self.loop.start_process(self.processes, process.live())
        process.task.add_done_callback(self._ended, context=contextvars.Context())

    def _stop_process(self) -> None:
        if self.process is not None:
            self.say(f"process {self.process.number} is told to stop")
            self.process.runner.stop()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        self.say(f"process {self.processes} ended: {error!r}")
        if error is not None and not (isinstance(error, ProcessEnd) and error.code is Exit.RESTART):
            self.violate(f"process {self.processes} ended by {type(error).__name__}: {error}")
            self.say("".join(traceback.format_exception(error)))
        self._gone()

    def _before_step(self, number: int, process: int) -> bool:
        if not self._kills or number < self._kills[0]:
            return False
        self._kills.pop(0)
        if self.process is None or self.process.number != process:
            return False
        self.say(f"kill -9 of process {process} before step {number}")
        self.kills += 1
        self.loop.kill(process)
        self._gone()
        return True

    def _gone(self) -> None:
        if self.process is not None:
            self.loop.kill(self.process.number)
        self.network.alive = 0
        self.process = None
        self.floor.connection = None
        self.tape.followers = []
        self.loop.after(self.plan.restart_us, self._start_process)

    def before_sending(self, order: VenueOrder) -> None:
        """Hold an order whose first byte leaves now against everything that must be so."""
        client_order_id, now_us = order.client_order_id, self.wall_us()
        self.say(f"submit {client_order_id} leaves: {order.side.value} {order.quantity} at {order.limit_price}")
        self.sent[client_order_id] = self.sent.get(client_order_id, 0) + 1
        row = self.database.rows.get(client_order_id)
        if row is None:
            self.violate(f"{client_order_id} leaves before its row")
            return
        approval, leg = row.submit.approval, row.submit.placing.leg
        if client_order_id in self.floor.registered:
            self.violate(f"{client_order_id} is sent and is at the venue already")
        for other, its in self.database.rows.items():
            same = (its.submit.approval_hash, its.submit.placing.leg) == (row.submit.approval_hash, leg)
            if same and other != client_order_id and self.is_live(other):
                self.violate(f"{client_order_id} is sent while {other} of the same approval is live")
        if leg is Leg.ORDER:
            # A stop follows a fill, whenever that comes, and makes the position smaller.
            self._check_leave(approval, client_order_id, now_us)
        self._check_size(approval, order, leg)

    def _check_leave(self, approval: Approval, client_order_id: str, now_us: int) -> None:
        if approval.expires_us <= now_us:
            self.violate(f"{client_order_id} is sent {now_us - approval.expires_us} us after its approval expired")
        process = self.process
        if process is None or not process.broker.permits(approval.kill_epoch, now_us):
            self.violate(f"{client_order_id} is sent without a permit")
        if process is not None and self.kill_engaged_at and process.runner.position >= self.kill_engaged_at:
            self.violate(f"{client_order_id} is sent under the kill switch")

    def _check_size(self, approval: Approval, order: VenueOrder, leg: Leg) -> None:
        if order.quantity > approval.quantity:
            self.violate(f"{order.client_order_id} is sent larger than approved")
        if leg is Leg.ORDER and approval.limit_price is not None and order.limit_price is not None:
            better = approval.limit_price - order.limit_price
            if (better if order.side is Side.BUY else -better) < 0:
                self.violate(f"{order.client_order_id} is sent at {order.limit_price}, worse than approved")

    def is_live(self, client_order_id: str) -> bool:
        """Say whether the venue has an order open under an id."""
        return any(each.status is OrderStatus.OPEN for each in self.floor.registered.get(client_order_id, ()))

    def close(self) -> None:
        """Let go of every task."""
        self.loop.close()


class Process:
    """One process of execution: the real core, shell and runner, from start to kill."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.task: asyncio.Task[None] | None = None
        clock = Clock(world.wall_us, lambda: world.loop.now_us, asyncio.sleep, _chance(number).random)
        settings = desk.settings()
        verifier = desk.RememberedVerifier
        self.core = ExecutionCore(verifier.approval)
        self.broker = Broker(world)
        self.tape = Tape(world.loop, world.network, world.tape, world.plan.tape)
        trail = OperatorTrail("execution", DESK, RUN_ID, settings.state_dir)
        self.shell = ExecutionShell(
            settings,
            self.core,
            desk.configuration(),
            self._connect_journal,
            Venue(world.loop, world.network, world.floor, world.plan.venue, world.before_sending),
            PermitHolder(DESK, verifier.permit),
            KillDoor(settings.state_dir),
            self.broker,
            trail,
            clock,
        )
        self.runner = Runner(
            Identity("execution", DESK, RUN_ID),
            self.core,
            self.shell,
            self.tape,
            Snapshots(world),
            Mark(world),
            Tracing("execution", RUN_ID, None),
            snapshot_every=world.plan.snapshot_every,
            clock=clock,
        )

    async def _connect_journal(self) -> Journal:
        world = self.world
        return Journal(world.network, world.database, world.plan.database, world.wall_us)

    async def live(self) -> None:
        """Live as the chassis has a service live."""
        try:
            await self.shell.start(self.runner)
            await _first_to_end(self.runner.run(), *self.shell.background())
        finally:
            await self.shell.stop()


class Broker:
    """One process's connection to the broker, as far as permits are concerned."""

    def __init__(self, world: World) -> None:
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

    def permits(self, kill_epoch: int, now_us: int) -> bool:
        """Say whether, by what was handed over, sending is permitted now."""
        held = self._held
        if not held or held["kill_epoch"] != kill_epoch:
            return False
        return now_us < min(held["expires_us"], self._received_us + desk.PERMIT_LIFE_US)


class Snapshots:
    """A disk with one snapshot on it, as text: what is not JSON does not come back."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def load(self) -> Snapshot | None:
        """Return the snapshot."""
        kept = self._world.snapshot
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
            self._world.snapshot = text

        await self._world.network.call(_DISK, replace)


class Mark:
    """The high-water mark, which outlives the process."""

    def __init__(self, world: World) -> None:
        self._world = world

    def read(self) -> int:
        """Return it."""
        return self._world.high_water

    def write(self, sequence: int) -> None:
        """Set it."""
        self._world.high_water = sequence


def _as_approved(fields: dict[str, Any], now_us: int, *, is_new: bool) -> dict[str, Any]:
    approved = dict(fields)
    good_for_us, replaced = approved.pop("good_for_us", None), approved.pop("replaces_number", None)
    if is_new and good_for_us is not None:
        approved["good_until_us"] = now_us + good_for_us
    if is_new and replaced is not None:
        approved["replaces"] = desk.order_id(replaced)
    return approved


def _chance(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - it is to be the same each time


def _exchange(plan: Plan) -> Exchange:
    base, quote = desk.SYMBOL.split("-")
    tick, step = int(desk.TICK * UNITS), int(desk.STEP * UNITS)
    return Exchange(
        [Instrument(desk.SYMBOL, base, quote, tick, step, step, UNITS * ATOMS_PER_UNIT, InstrumentStatus.OPEN)],
        Account({quote: CASH * UNITS * ATOMS_PER_UNIT, base: HELD * UNITS * ATOMS_PER_UNIT}),
        Fees(5 * FEE_RATE_PER_BPS, 10 * FEE_RATE_PER_BPS),
        candle_interval_us=60_000_000,
        session=1,
        opened_us=START_US,
        manners=MANNERS[plan.like],
    )
