"""The calls to the venue: write ahead, look once more, send, and put on the tape what came of it.

The law of this module: no byte of an order leaves before its row is committed, none without a fresh permit, and
none twice. Whatever the venue says, or fails to say, becomes a report; the core decides what it means.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal

from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry import metrics
from tollgate_chassis.telemetry.logs import logger
from tollgate_contracts.approval import Approval
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Report, ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_execution.core import Cancel, Effect, ExecutionCore, Query, Settle, Submit
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.lanes import Lanes
from tollgate_execution.last_checks import Moment, Pace, reasons_not_to_send
from tollgate_execution.permits import PermitHolder
from tollgate_execution.reports import Reporter
from tollgate_execution.store import Journal, WriteAhead
from tollgate_execution.venue import SimulatedVenue, VenueOrder
from tollgate_execution.write_behind import WriteBehind, wall_us
from tollgate_venues.evidence import Evidence

# Of an order that only the journal knows, absence proves nothing: its row stays open and is asked about again.
_TELLS_NOTHING = frozenset({ReportStatus.NO_ANSWER, ReportStatus.ABSENT})


# How a submit that the venue did not take, or did not answer, is called in the log.
_SUBMIT_EVENTS = {ReportStatus.REJECTED: "rejected", ReportStatus.NO_ANSWER: "unknown"}

# A commit takes a millisecond or two; a database that needs longer must not keep execution from reading on.
_WRITTEN_S = 0.05

# The first permit is awaited for one second, the longest that any may live: four of them come in that time.
_PERMIT_LOOKS, _PERMIT_LOOK_S = 100, 0.01


@dataclass(slots=True)
class _Appending:
    """A report on its way to the tape; the core has it once it has read up to its sequence."""

    report: Report
    sequence: int | None = None


class Sender:
    """Carries out the core's effects."""

    def __init__(
        self,
        core: ExecutionCore,
        runner: Runner,
        journal: Journal,
        venue: SimulatedVenue,
        reporter: Reporter,
        permits: PermitHolder,
        door: KillDoor,
        lanes: Lanes,
        order_notional_max: Decimal,
        orders_per_s_max: int,
        write_behind: WriteBehind,
    ) -> None:
        self._core = core
        self._runner = runner
        self._journal = journal
        self._venue = venue
        self._reporter = reporter
        self._permits = permits
        self._door = door
        self._lanes = lanes
        self._order_notional_max = order_notional_max
        self._pace = Pace(orders_per_s_max)
        self._write_behind = write_behind
        self._asking: set[str] = set()
        self._unwritten: set[asyncio.Event] = set()
        self._under_way: dict[str, list[_Appending]] = {}

    def carry_out(self, effect: Effect, message: Message) -> None:
        """Begin an effect of ``message``; effects on one order happen one after the other."""
        match effect:
            case Settle():
                self._write_behind.settle(effect.client_order_id, effect.state.value, message)
            case Submit():
                self.submit(effect)
            case Cancel():
                self._lanes.run(effect.approval.client_order_id, lambda: self._cancel(effect))
            case Query():
                self.ask(effect.client_order_id)

    def submit(self, submit: Submit) -> None:
        """Begin the sending of an order, in the trace of the decision that asked for it."""
        tracing = self._runner.tracing
        parent = tracing.headers()
        written = asyncio.Event()
        self._unwritten.add(written)

        async def traced() -> None:
            try:
                with tracing.span("execution.submit", parent, client_order_id=submit.approval.client_order_id):
                    await self._submit(submit, written)
            finally:
                self._tell_written(written)

        self._lanes.run(submit.approval.client_order_id, traced)

    async def until_written(self) -> None:
        """Wait until every submit that was begun is in the journal, or for ``_WRITTEN_S`` at most.

        The tape says SUBMITTING after the journal does, and their disks' syncs do not stand in each other's way.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_WRITTEN_S):
                for written in list(self._unwritten):
                    await written.wait()

    def _tell_written(self, written: asyncio.Event) -> None:
        self._unwritten.discard(written)
        written.set()

    def ask(self, client_order_id: str) -> None:
        """Look an order up at the venue; asking while a question waits already is one question."""
        if client_order_id in self._asking:
            return
        self._asking.add(client_order_id)
        self._lanes.run(client_order_id, lambda: self._query(client_order_id))

    async def observe(self, evidence: Evidence, asked_us: int | None = None) -> None:
        """Put evidence on the tape, unless it would change nothing."""
        await self._report(self._reporter.report(evidence, asked_us))

    async def never_sent(self, client_order_id: str) -> None:
        """Say that the journal has no row of an order and that its approval is past: it never left."""
        await self._report(self._reporter.not_sent(client_order_id, ReportSource.JOURNAL, (Reason.APPROVAL_EXPIRED,)))

    async def _report(self, report: Report) -> None:
        # A stream frame and the answer to a call often say the same within a millisecond: the tape needs one of them.
        under_way = self._under_way.pop(report.client_order_id, [])
        under_way = [each for each in under_way if each.sequence is None or each.sequence > self._runner.position]
        changes = self._core.would_change(report, [each.report for each in under_way])
        appending = _Appending(report)
        if changes:
            under_way.append(appending)
        if under_way:
            self._under_way[report.client_order_id] = under_way
        if changes:
            appending.sequence = await self._runner.observe(report)

    async def _submit(self, submit: Submit, on_disk: asyncio.Event) -> None:
        approval = submit.approval
        await self._first_permit()
        began = time.perf_counter()
        written = await self._journal.prepare(submit)
        metrics.WRITE_AHEAD_SECONDS.observe(time.perf_counter() - began)
        self._tell_written(on_disk)
        if written is WriteAhead.ALREADY_THERE:
            logger().warning("order.submit.already_journaled", **_words(approval), outcome="asked")
            self.ask(approval.client_order_id)
            return
        reasons = reasons_not_to_send(approval, self._moment(approval))
        if reasons:
            logger().warning("order.submit.not_sent", **_words(approval), outcome=reasons[0].value)
            metrics.SUBMITS.labels("NOT_SENT").inc()
            await self._report(self._reporter.not_sent(approval.client_order_id, ReportSource.SUBMIT, reasons))
            return
        self._pace.count(_monotonic_us())
        self._write_behind.sent(approval.client_order_id)
        began = time.perf_counter()
        evidence = await self._venue.submit(_order_of(approval))
        latency_s = time.perf_counter() - began
        metrics.VENUE_SECONDS.labels("submit").observe(latency_s)
        metrics.SUBMITS.labels(evidence.status.value).inc()
        await self.observe(evidence)
        logger().info(
            f"order.submit.{_SUBMIT_EVENTS.get(evidence.status, 'success')}",
            **_words(approval),
            outcome=evidence.status.value.lower(),
            latency_ms=round(latency_s * 1_000, 3),
        )

    async def _first_permit(self) -> None:
        """Let a process that has just started hear of its first permit; one that has had any waits for nothing."""
        for _ in range(_PERMIT_LOOKS):
            if self._permits.age_us(_monotonic_us()) is not None:
                return
            await asyncio.sleep(_PERMIT_LOOK_S)

    def _moment(self, approval: Approval) -> Moment:
        monotonic_us = _monotonic_us()
        now_us = wall_us()
        return Moment(
            wall_us=now_us,
            door_is_shut=self._door.is_shut,
            kill=self._core.kill,
            permit=self._permits.fresh(now_us, monotonic_us) if self._runner.vouches(monotonic_us) else None,
            reducible=self._core.reducible(approval),
            pace_is_used_up=self._pace.is_used_up(monotonic_us),
            order_notional_max=self._order_notional_max,
        )

    async def _cancel(self, cancel: Cancel) -> None:
        approval = cancel.approval
        asked_us = wall_us()
        if approval.expires_us <= asked_us:
            reasons = (Reason.APPROVAL_EXPIRED,)
            await self._report(self._reporter.not_sent(approval.client_order_id, ReportSource.CANCEL, reasons))
            return
        began = time.perf_counter()
        evidence = await self._venue.cancel(approval.client_order_id)
        metrics.VENUE_SECONDS.labels("cancel").observe(time.perf_counter() - began)
        await self.observe(evidence, asked_us)
        logger().info("order.cancel.answered", **_words(approval), outcome=evidence.status.value.lower())

    async def _query(self, client_order_id: str) -> None:
        # What is learned from here on is newer than whatever made us ask: the next wish to ask is a new one.
        self._asking.discard(client_order_id)
        asked_us = wall_us()
        began = time.perf_counter()
        evidence = await self._venue.query(client_order_id)
        metrics.VENUE_SECONDS.labels("query").observe(time.perf_counter() - began)
        report = self._reporter.report(evidence, asked_us)
        await self._report(report)
        if self._core.orders.get(client_order_id) is None and evidence.status not in _TELLS_NOTHING:
            self._write_behind.settle(client_order_id, evidence.status.value, report)
        logger().info("order.query.answered", client_order_id=client_order_id, outcome=evidence.status.value.lower())


def _order_of(approval: Approval) -> VenueOrder:
    return VenueOrder(
        client_order_id=approval.client_order_id,
        symbol=approval.symbol,
        side=approval.side,
        order_type=approval.order_type,
        quantity=approval.quantity,
        limit_price=approval.limit_price,
        time_in_force=approval.time_in_force,
        post_only=approval.post_only,
    )


def _words(approval: Approval) -> dict[str, str]:
    return {"client_order_id": approval.client_order_id, "symbol": approval.symbol}


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1_000
