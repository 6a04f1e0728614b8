"""The calls to the venue: write ahead, look once more, send, and put on the tape what came of it.

The law of this module: no byte of an order leaves before its row is committed, none without a fresh permit, and
none twice. Whatever the venue says, or fails to say, becomes a report; the core decides what it means.
"""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import execution as metrics
from tollgate_chassis.telemetry.tracing import exemplar
from tollgate_contracts.approval import Approval
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_execution.asked import order_of
from tollgate_execution.calls import GuardedVenue, Purpose
from tollgate_execution.core import Cancel, Effect, ExecutionCore, Query, Settle, Submit
from tollgate_execution.core.placing import Placing
from tollgate_execution.holding import Holding
from tollgate_execution.lanes import Lanes, Track
from tollgate_execution.last_look import LastLook
from tollgate_execution.permits import PermitHolder
from tollgate_execution.reports import Reporter
from tollgate_execution.saying import Saying
from tollgate_execution.store import Journal, WriteAhead
from tollgate_execution.write_behind import WriteBehind
from tollgate_venues.adapter import OrderReference, VenueOrder
from tollgate_venues.evidence import Evidence, Failure

_US_PER_S = 1_000_000
# Of an order that only the journal knows, absence proves nothing: its row stays open and is asked about again.
_TELLS_NOTHING = frozenset({ReportStatus.NO_ANSWER, ReportStatus.ABSENT})
_ENDED = frozenset({ReportStatus.FILLED, ReportStatus.CANCELLED, ReportStatus.EXPIRED, ReportStatus.REJECTED})


# How a submit that the venue did not take, or did not answer, is called in the log.
_SUBMIT_EVENTS = {ReportStatus.REJECTED: "rejected", ReportStatus.NO_ANSWER: "unknown"}

# A commit takes a millisecond or two; a database that needs longer must not keep execution from reading on.
_WRITTEN_S = 0.05

# Sendings of one order that the venue refuses for speed alone, each after the pause that it asks for. More of them
# within an approval's few seconds would only be more of what it refuses.
_SENDINGS_MAX = 3
_RANKS = {reason: rank for rank, reason in enumerate(Reason)}

# The first permit is awaited for one second, the longest that any may live: four of them come in that time.
_PERMIT_LOOKS, _PERMIT_LOOK_S = 100, 0.01


class Sender:
    """Carries out the core's effects."""

    def __init__(
        self,
        core: ExecutionCore,
        runner: Runner,
        journal: Journal,
        venue: GuardedVenue,
        reporter: Reporter,
        permits: PermitHolder,
        look: LastLook,
        lanes: Lanes,
        write_behind: WriteBehind,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._core = core
        self._runner = runner
        self._journal = journal
        self._venue = venue
        self._reporter = reporter
        self._permits = permits
        self._look = look
        self._lanes = lanes
        self._write_behind = write_behind
        self._clock = clock
        self._asking: set[str] = set()
        self._unwritten: set[asyncio.Event] = set()
        self._saying = Saying(core, runner)
        self._journaled: dict[str, OrderReference] = {}
        self._cancels: dict[str, Cancel] = {}
        """The cancel that waits in each lane: however often it is asked for meanwhile, it is one."""
        self._holding = Holding(lambda submit: look.purpose(submit.approval, order_of(submit)) is Purpose.REDUCE)

    def carry_out(self, effect: Effect, message: Message) -> None:
        """Begin an effect of ``message``; effects on one order happen one after the other."""
        match effect:
            case Settle():
                self._write_behind.settle(effect.client_order_id, effect.state.value, message, is_over=effect.is_over)
            case Submit():
                self.submit(effect)
            case Cancel():
                self._take_back(effect)
            case Query():
                self.ask(effect.client_order_id)

    def submit(self, submit: Submit) -> None:
        """Begin the sending of an order, in the trace of the decision that asked for it, or hold it back."""
        if not self._holding.keeps(submit):
            self._begin(submit)

    def _begin(self, submit: Submit) -> None:
        tracing = self._runner.tracing
        parent = tracing.headers()
        written = asyncio.Event()
        self._unwritten.add(written)

        async def traced() -> None:
            try:
                with tracing.span("execution.submit", parent, client_order_id=submit.placing.venue_id):
                    await self._submit(submit, written)
            finally:
                self._tell_written(written)

        self._lanes.run(submit.placing.venue_id, traced, Track.SUBMIT)

    def release_exits(self) -> None:
        """Send what makes a position smaller, each after its last checks, and hold back no exit any more."""
        for submit in self._holding.open_to_exits():
            self._begin(submit)

    def release(self) -> None:
        """Send what was held back, each after its last checks, and hold nothing back any more."""
        for submit in self._holding.open_to_everything():
            self._begin(submit)

    def drop_expired(self) -> None:
        """Say of each held order whose time to be sent is over that it was not sent."""
        for submit in self._holding.take_expired(self._clock.wall_us()):
            venue_id = submit.placing.venue_id
            self._lanes.run(venue_id, partial(self.never_sent, venue_id))

    async def until_written(self) -> None:
        """Wait until every submit that was begun since the last call is in the journal, or ``_WRITTEN_S`` at most.

        The tape says SUBMITTING after the journal does, and their disks' syncs do not stand in each other's way. One
        that waits for its turn is not waited for again: the reader would stand still at each step for its sake.
        """
        begun, self._unwritten = self._unwritten, set()
        with suppress(TimeoutError):
            async with asyncio.timeout(_WRITTEN_S):
                for written in begun:
                    await written.wait()

    def _tell_written(self, written: asyncio.Event) -> None:
        self._unwritten.discard(written)
        written.set()

    def ask(self, client_order_id: str) -> None:
        """Look an order up at the venue; asking while a question waits already is one question."""
        if client_order_id in self._asking:
            return
        self._asking.add(client_order_id)
        self._lanes.run(client_order_id, partial(self.look_up, client_order_id))

    async def ask_and_wait(self, client_order_id: str) -> None:
        """Look an order up at the venue, after whatever is under way for it, and wait until that is done."""
        answered = asyncio.Event()

        async def note() -> None:
            answered.set()

        self.ask(client_order_id)
        self._lanes.run(client_order_id, note)
        await answered.wait()

    def know_journaled(self, references: Mapping[str, OrderReference]) -> None:
        """Take note of how orders that perhaps only the journal knows are found at the venue."""
        self._journaled = dict(references)

    async def observe(self, evidence: Evidence, asked_us: int | None = None) -> None:
        """Put evidence on the tape, unless it would change nothing."""
        await self._saying.say(self._reporter.report(evidence, asked_us))

    async def never_sent(self, client_order_id: str) -> None:
        """Say that the journal has no row of an order and that its approval is past: it never left."""
        await self._saying.say(
            self._reporter.not_sent(client_order_id, ReportSource.JOURNAL, (Reason.APPROVAL_EXPIRED,))
        )

    async def _submit(self, submit: Submit, on_disk: asyncio.Event) -> None:
        order = order_of(submit)
        await self._first_permit()
        if self._is_over(order.client_order_id):
            # It has waited for so long that its end was said meanwhile: a row now would never be closed.
            self._tell_written(on_disk)
            return
        if self._is_shown(order.client_order_id):
            self._tell_written(on_disk)
            self._ask_instead(order)
            return
        began = time.perf_counter()
        written = await self._write_ahead(submit)
        metrics.WRITE_AHEAD_SECONDS.observe(time.perf_counter() - began, exemplar())
        self._tell_written(on_disk)
        if written is WriteAhead.ALREADY_THERE:
            logger().warning("order.submit.already_journaled", **_words(order), outcome="asked")
            self.ask(order.client_order_id)
            return
        if written is WriteAhead.NOT_YET:
            await self._not_sent(order, (Reason.APPROVAL_REUSED,), None)
            return
        await self._send(submit, order)

    async def _write_ahead(self, submit: Submit) -> WriteAhead:
        if submit.resend:
            return await self._journal.prepare_resend(submit)
        if submit.placing.attempt > 1:
            # The journal takes another attempt only once it knows that the one before is over.
            await self._write_behind.flush()
        return await self._journal.prepare(submit)

    async def _send(self, submit: Submit, order: VenueOrder) -> None:
        """Send ``order``, and again while the venue says that it has not taken it because we are too fast."""
        approval = submit.approval
        evidence: Evidence | None = None
        for _ in range(_SENDINGS_MAX):
            purpose = self._look.purpose(approval, order)
            held = await self._venue.clearance(purpose, submit.placing.until_us)
            if self._is_shown(order.client_order_id):
                self._ask_instead(order)
                return
            # From this look to the first byte nothing is awaited.
            reasons = _in_order(self._look.reasons(approval, order), held, self._taken_back(submit.placing))
            if reasons:
                await self._not_sent(order, reasons, evidence)
                return
            # What made a position smaller before the wait may be an entry by now, and a breaker may hold it back.
            if evidence is None:
                self._tell_way(submit)
            evidence = await self._send_once(approval, order, self._look.purpose(approval, order))
            if not _came_too_fast(evidence):
                break
        if evidence is not None:
            await self.observe(evidence)

    def _tell_way(self, submit: Submit) -> None:
        """Show how long it took from the quote; what is placed later, as a stop is, follows from no quote."""
        if submit.placing == Placing.of(submit.approval) and not submit.resend:
            way_us = self._clock.wall_us() - submit.approval.issued_us
            metrics.TICK_TO_ORDER_SECONDS.observe(max(way_us, 0) / _US_PER_S, exemplar())

    async def _send_once(self, approval: Approval, order: VenueOrder, purpose: Purpose) -> Evidence:
        self._look.count(approval, order)
        self._write_behind.sent(order.client_order_id)
        began = time.perf_counter()
        evidence = await self._venue.submit(order, cleared=purpose)
        latency_s = time.perf_counter() - began
        metrics.SUBMITS.labels(evidence.status.value).inc()
        logger().info(
            f"order.submit.{_SUBMIT_EVENTS.get(evidence.status, 'success')}",
            **_words(order),
            outcome=evidence.status.value.lower(),
            latency_ms=round(latency_s * 1_000, 3),
        )
        return evidence

    async def _not_sent(self, order: VenueOrder, reasons: tuple[Reason, ...], before: Evidence | None) -> None:
        """Say that an order was not sent; where it was ``before``, the venue's own word stands, and why no more."""
        logger().warning("order.submit.not_sent", **_words(order), outcome=reasons[0].value)
        metrics.SUBMITS.labels("NOT_SENT").inc()
        if before is None:
            await self._saying.say(self._reporter.not_sent(order.client_order_id, ReportSource.SUBMIT, reasons))
            return
        words = ", ".join(reason.value for reason in reasons)
        await self.observe(replace(before, detail=f"{before.detail}; not sent again: {words}"))

    async def _first_permit(self) -> None:
        """Let a process that has just started hear of its first permit; one that has had any waits for nothing."""
        for _ in range(_PERMIT_LOOKS):
            if self._permits.age_us(self._clock.monotonic_us()) is not None:
                return
            await self._clock.sleep(_PERMIT_LOOK_S)

    def _taken_back(self, placing: Placing) -> Reason | None:
        """Return why an order that has waited to be sent is not wanted any more; none while it is."""
        found = self._core.orders.find(placing.venue_id)
        # Of one that is sent at ``until_us`` or later, whoever is told that the venue has none would believe it.
        if found is None or found[0].is_over or placing.until_us <= self._clock.wall_us():
            return Reason.APPROVAL_EXPIRED
        wish = found[0].cancel
        if wish is None or not wish.holds(self._clock.wall_us()):
            return None
        # A cancel that risk has approved ends the approval before it.
        return wish.why or Reason.APPROVAL_EXPIRED

    def _take_back(self, cancel: Cancel) -> None:
        """Begin a cancel; one that still waits is carried out for both, for as long as either may be asked for."""
        venue_id = cancel.client_order_id
        waiting = self._cancels.get(venue_id)
        if waiting is None:
            self._cancels[venue_id] = cancel
            self._lanes.run(venue_id, lambda: self._cancel(self._cancels.pop(venue_id)), Track.CANCEL)
        elif cancel.until_us is None or (waiting.until_us is not None and cancel.until_us > waiting.until_us):
            self._cancels[venue_id] = cancel

    async def _cancel(self, cancel: Cancel) -> None:
        venue_id, asked_us = cancel.client_order_id, self._clock.wall_us()
        if cancel.until_us is not None and cancel.until_us <= asked_us:
            await self._saying.say(self._reporter.not_sent(venue_id, ReportSource.CANCEL, (Reason.APPROVAL_EXPIRED,)))
            return
        reference = self._refer_to(venue_id)
        if reference is None:
            return
        if not self._look.may_cancel(reference.symbol):
            # Nothing is said of it either: the wish stands, and is carried out when the order is looked at next.
            logger().warning("order.cancel.not_sent", client_order_id=venue_id, outcome=Reason.VENUE_NOT_OPEN.value)
            return
        evidence = await self._venue.cancel(reference)
        await self.observe(evidence, asked_us)
        logger().info("order.cancel.answered", client_order_id=venue_id, outcome=evidence.status.value.lower())

    async def look_up(self, client_order_id: str) -> Evidence | None:
        """Ask the venue about an order now, put what it says on the tape and return it; none where it is forgotten."""
        # What is learned from here on is newer than whatever made us ask: the next wish to ask is a new one.
        self._asking.discard(client_order_id)
        reference = self._refer_to(client_order_id)
        if reference is None:
            # It is over and forgotten: nothing is to be learned of it any more.
            return None
        asked_us = self._clock.wall_us()
        evidence = await self._venue.query(reference)
        report = self._reporter.report(evidence, asked_us)
        await self._saying.say(report)
        if self._core.orders.find(client_order_id) is None and evidence.status not in _TELLS_NOTHING:
            is_over = evidence.status in _ENDED
            if is_over:
                self._journaled.pop(client_order_id, None)
            self._write_behind.settle(client_order_id, evidence.status.value, report, is_over=is_over)
        logger().info("order.query.answered", client_order_id=client_order_id, outcome=evidence.status.value.lower())
        return evidence

    def _is_shown(self, client_order_id: str) -> bool:
        """Say whether the venue has shown this very order: it is there, whatever our journal says of having sent it."""
        found = self._core.orders.find(client_order_id)
        return found is not None and found[0].acknowledged and found[1] == found[0].placing.attempt

    def _ask_instead(self, order: VenueOrder) -> None:
        logger().warning("order.submit.already_at_venue", **_words(order), outcome="asked")
        self.ask(order.client_order_id)

    def _is_over(self, client_order_id: str) -> bool:
        found = self._core.orders.find(client_order_id)
        return found is None or found[0].is_over

    def _refer_to(self, client_order_id: str) -> OrderReference | None:
        found = self._core.orders.find(client_order_id)
        if found is None:
            return self._journaled.get(client_order_id)
        record, attempt = found
        venue_order_id = record.venue_order_id if attempt == record.placing.attempt else None
        approval = record.approval
        return OrderReference(client_order_id, approval.symbol, venue_order_id, approval.issued_us)


def _in_order(seen: tuple[Reason, ...], *others: Reason | None) -> tuple[Reason, ...]:
    """Return all reasons in the order of the taxonomy, each once."""
    return tuple(sorted({*seen, *(reason for reason in others if reason is not None)}, key=_RANKS.__getitem__))


def _came_too_fast(evidence: Evidence) -> bool:
    return evidence.status is ReportStatus.REJECTED and evidence.failure is Failure.RATE_LIMITED


def _words(order: VenueOrder) -> dict[str, str]:
    return {"client_order_id": order.client_order_id, "symbol": order.symbol}
