"""One run: the world around execution, its processes one after the other, and what became of everything."""

import asyncio
import contextvars
import traceback
from decimal import Decimal
from random import Random
from typing import Any

from tests.simulation import desk
from tests.simulation.database import Database
from tests.simulation.desk import START_US
from tests.simulation.floor import Floor
from tests.simulation.loop import PROCESS, SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.plan import Plan, Request, Switch
from tests.simulation.presence import Line
from tests.simulation.process import Process
from tests.simulation.tape import BrokersTape
from tollgate_chassis.exits import Exit, ProcessEnd
from tollgate_contracts.approval import Approval, Scope, SignedText
from tollgate_contracts.execution import ReportStatus
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.risk import KillLevel
from tollgate_contracts.strategy import Side
from tollgate_domain.costs import FeeTier
from tollgate_execution.core.placing import Leg, Placing
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.fees import FeeSchedule
from tollgate_simvenue.core.flavours import MANNERS
from tollgate_simvenue.core.market import MarketEvent
from tollgate_simvenue.core.model import Instrument, OrderStatus
from tollgate_simvenue.core.units import ATOMS_PER_UNIT, UNITS
from tollgate_venues.adapter import VenueOrder

_PERMIT_EVERY_US = 250_000
_CLOCK_EVERY_US = 100_000
_QUIET_CLOCK_EVERY_US = 250_000
CASH = 100_000
_FEES = (FeeTier(volume_from=Decimal(0), maker_bps=Decimal(5), taker_bps=Decimal(10)),)
# What an operator may say of an order that the venue says nothing of.
_WORDS = (ReportStatus.CANCELLED, ReportStatus.REJECTED, ReportStatus.EXPIRED)


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
        self.kill_level = KillLevel.HALT
        self.door: str | None = None
        """What the kill door's file holds."""
        self.live: dict[int, Process] = {}
        """Every process that runs or stands still, by its number."""
        self.processes = 0
        self.kills = 0
        self.line = Line(self)
        self.snapshots: dict[int, str] = {}
        self.high_water: dict[int, int] = {}
        """By host, as the snapshots."""
        self._kills = list(plan.kills)
        self._permits = 0
        self._quotes = 0
        self.loop.before_step = self._before_step if self._kills or plan.still else None

    @property
    def process(self) -> Process | None:
        """The one that is active, or the newest while none is."""
        return max(self.live.values(), key=lambda each: (each.is_live, each.runner.tenure, each.number), default=None)

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
        for at_us, for_us in self.plan.pauses:
            self.loop.after(at_us, self._pause_process, for_us)
        for at_us in self.plan.words:
            self.loop.after(at_us, self._hear_operator)
        if self.plan.door is not None:
            shut_us, open_us = self.plan.door
            self.loop.after(shut_us, self._shut_door)
            self.loop.after(open_us, self._open_door)
        self.loop.after(self.plan.trading_us, self._calm)
        self._tick(1)
        self._permit()
        self._start_process(0)

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
        scope = Scope.TRADE
        if self.kill_engaged_at is not None:
            if self.kill_level is not KillLevel.FLATTEN:
                return
            scope = Scope.FLATTEN
        self._permits += 1
        body = desk.signed_permit(self._permits, self.wall_us(), self.kill_epoch, scope.value)
        for process in self.live.values():
            self.loop.after(self.network.delay_us(self.plan.tape), process.broker.deliver, body)

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
        if request.action == "CLOSE" and self.kill_engaged_at is None:
            return
        if request.action == "AGAIN":
            approval, signed = self.approvals[client_order_id]
        else:
            if request.action == "CANCEL":
                fields = {**self._request_of(number).fields}
            approval, signed = desk.approve(
                action="CANCEL" if request.action == "CANCEL" else "SUBMIT",
                client_order_id=client_order_id,
                intent_id=f"strategy:{cause}:0",
                issued_us=now_us,
                expires_us=now_us + request.life_us,
                kill_epoch=self.kill_epoch,
                **_as_approved(fields, now_us, is_new=request.action == "SUBMIT"),
            )
        if request.action in {"SUBMIT", "CLOSE"}:
            self.approvals[client_order_id] = (approval, signed)
        self.say(f"risk approves {request.action} {number}: {fields}")
        self._write(desk.decision(approval, signed, cause, now_us))

    def _request_of(self, number: int) -> Request:
        return next(each for each in self.plan.requests if each.number == number and each.action == "SUBMIT")

    def _switch(self, switch: Switch, engaged: bool) -> None:
        self.kill_epoch += engaged
        self.kill_level = KillLevel(switch.level)
        self.say(f"kill switch {switch.level} {'engaged' if engaged else 'released'}")
        self._write(desk.kill_switch(self.kill_epoch, self.wall_us(), engaged=engaged, level=switch.level))
        self.kill_engaged_at = self.tape.tip if engaged else None

    # What processes do.

    def _start_process(self, host: int) -> None:
        if any(process.host == host for process in self.live.values()):
            return
        self.processes += 1
        number = self.processes
        self.network.alive[number] = None
        self.say(f"process {number} starts on host {host}")
        process = self.live[number] = Process(self, number, host)
        process.task = self.loop.start_process(number, process.live())
        process.task.add_done_callback(lambda task: self._ended(process, task), context=contextvars.Context())

    def _pause_process(self, for_us: int) -> None:
        """Let the active process stand still for a while, and another be started beside it."""
        process = self.process
        if process is not None and process.is_live:
            self._pause(process, for_us)

    def _pause(self, process: Process, for_us: int) -> None:
        self.say(f"process {process.number} stands still")
        self.loop.pause(process.number)
        self.loop.after(for_us, self._resume_process, process.number)
        self.loop.after(self.plan.restart_us, self._start_process, 1 - process.host)

    def _resume_process(self, number: int) -> None:
        self.say(f"process {number} goes on")
        self.loop.resume(number)

    def _stop_process(self) -> None:
        if self.process is not None:
            self.say(f"process {self.process.number} is told to stop")
            self.process.stop()

    def _hear_operator(self) -> None:
        if self.process is not None:
            self.process.hear_operator(self.chance.choice(_WORDS))

    def _shut_door(self) -> None:
        if self.process is not None:
            self.say("the kill door is shut")
            self.process.door.shut("ann", "drill", self.wall_us())

    def _open_door(self) -> None:
        self.say("the kill door is opened")
        self.door = None
        if self.process is not None:
            self.process.door.open("ann", "drill")

    def _ended(self, process: Process, task: "asyncio.Task[None]") -> None:
        if process.number not in self.live:
            return
        error = None if task.cancelled() else task.exception()
        self.say(f"process {process.number} ended: {error!r}")
        if error is not None and not (isinstance(error, ProcessEnd) and error.code is Exit.RESTART):
            self.violate(f"process {process.number} ended by {type(error).__name__}: {error}")
            self.say("".join(traceback.format_exception(error)))
        self._gone(process)

    def _before_step(self, number: int, process: int) -> bool:
        if self.plan.still is not None and number == self.plan.still[0]:
            self._pause(self.live[process], self.plan.still[1])
        if not self._kills or number < self._kills[0]:
            return False
        self._kills.pop(0)
        if process not in self.live:
            return False
        self.say(f"kill -9 of process {process} before step {number}")
        self.kills += 1
        self._gone(self.live[process])
        return True

    def _gone(self, process: Process) -> None:
        number = process.number
        self.loop.kill(number)
        del self.live[number], self.network.alive[number]
        self.line.drop(number)
        self.tape.followers.pop(number, None)
        self.floor.connections.pop(number, None)
        self.loop.after(self.plan.restart_us, self._start_process, process.host)

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
        self._check_leave(approval, row.submit.placing, now_us)
        self._check_size(approval, order, leg)

    def _check_leave(self, approval: Approval, placing: Placing, now_us: int) -> None:
        client_order_id, process = placing.venue_id, self.live.get(PROCESS.get())
        # A stop was approved for as long as what it protects is held; its own time is that of its placing.
        until_us = min(approval.expires_us, placing.until_us) if placing.leg is Leg.ORDER else placing.until_us
        if until_us <= now_us:
            self.violate(f"{client_order_id} is sent {now_us - until_us} us after its approval expired")
        if process is None or not process.broker.permits(approval, now_us):
            self.violate(f"{client_order_id} is sent without a permit")
        if process is None:
            return
        if any(each.runner.tenure > process.runner.tenure for each in self.live.values()):
            self.violate(f"{client_order_id} is sent by a process in whose place another is active")
        if process.door.is_shut:
            self.violate(f"{client_order_id} is sent though the kill door is shut")
        closes = approval.scope is Scope.FLATTEN and self.kill_level is KillLevel.FLATTEN
        if self.kill_engaged_at and process.runner.position >= self.kill_engaged_at and not closes:
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
        Account({quote: CASH * UNITS * ATOMS_PER_UNIT, base: plan.held * UNITS * ATOMS_PER_UNIT}),
        FeeSchedule(_FEES, currency=plan.fee_currency),
        candle_interval_us=60_000_000,
        session=1,
        opened_us=START_US,
        manners=MANNERS[plan.like],
    )
