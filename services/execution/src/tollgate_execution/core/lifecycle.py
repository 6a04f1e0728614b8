"""The life of orders within the core: placed, moved by evidence, looked at by the clock, and told on the tape.

Everything that changes a record goes through ``put``, which tells the state, and everything that a change leads to
is asked of the shell here: whoever wants an order placed or ended calls ``place`` or ``end``.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

from tollgate_contracts.execution import OrderState, Report, VenueTrade
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_domain.fees import lacks_rate
from tollgate_execution.core.approvals import Presented
from tollgate_execution.core.attempts import first_price, repriced
from tollgate_execution.core.effects import Cancel, Query, Settle, Submit
from tollgate_execution.core.evidence import Assessment, Hearing, assess
from tollgate_execution.core.fee_rates import FeeRate, rate_of
from tollgate_execution.core.placing import Placing
from tollgate_execution.core.probes import probe, reschedule, wish_cancel
from tollgate_execution.core.record import CancelWish, OrderRecord, text_hash
from tollgate_execution.core.replacing import known_since, released
from tollgate_execution.core.shelf import NEVER_US
from tollgate_execution.core.trades import Note
from tollgate_execution.core.writing import Writing

if TYPE_CHECKING:
    from tollgate_execution.core.core import ExecutionCore


class Lifecycle:
    """Moves the orders of one core."""

    def __init__(self, core: "ExecutionCore") -> None:
        self._core = core

    def would_change(self, report: Report, pending: Sequence[Report] = ()) -> bool:
        """Say whether ``report`` after ``pending`` ones of the same order would change or say anything."""
        found = self._core.orders.find(report.client_order_id)
        if found is None:
            return not pending and self._core.reconciling.of_stranger(report) is not None
        order, attempt = found
        for earlier in pending:
            order = assess(order, self._heard(order, earlier), self._hearing(earlier, attempt)).record
        return assess(order, self._heard(order, report), self._hearing(report, attempt)).changes(order)

    def plan(self, writing: Writing, presented: Presented) -> None:
        """Take an approved order: it is placed at once, or once the order that it replaces is over."""
        now_us, approval = self._core.now_us, presented.approval
        planned = OrderRecord(
            decision_id=presented.decision.id,
            signed=presented.signed,
            approval=approval,
            placing=Placing.of(approval),
            state=OrderState.PLANNED,
            since_us=now_us,
            look_us=NEVER_US,
            placed_us=now_us,
        )
        old = presented.replaced
        if old is None:
            self._place_when_free(writing, planned)
            return
        planned = replace(planned, replaces_since=known_since(presented.decision))
        if old.is_gone:
            self._place_instead(writing, planned, old)
            return
        # An order that waits itself was never at the venue: what it waits for may be there still, and trade.
        ahead = old.waits_for or old.client_order_id
        self.put(writing, planned, replace(planned, waits_for=ahead), None, "")
        self.end(writing, old, Reason.ORDER_REPLACED)

    def place(self, writing: Writing, planned: OrderRecord) -> None:
        """Place a planned order at the venue, or end it where its price cannot be judged or its time is over."""
        parameters, good_until_us = self._core.parameters, planned.approval.good_until_us
        if planned.protects is None and good_until_us is not None and good_until_us <= self._core.now_us:
            late = replace(planned, state=OrderState.EXPIRED, waits_for=None)
            self.put(writing, planned, late, Reason.ORDER_GOOD_UNTIL, "its time was over before it was sent")
            return
        price: Decimal | Reason | None = planned.placing.limit_price
        if planned.protects is None and parameters is not None:
            price = first_price(planned.approval, self._core.market, parameters, self._core.now_us)
        if isinstance(price, Reason):
            unpriced = replace(planned, state=OrderState.REJECTED, waits_for=None)
            self.put(writing, planned, unpriced, price, "no fresh quote to price it by")
            return
        placing = replace(planned.placing, limit_price=price)
        placed = replace(planned, placing=placing, state=OrderState.SUBMITTING, placed_us=self._core.now_us)
        self.put(writing, planned, placed, None, "")
        self._submit(writing, placed)

    def _place_when_free(self, writing: Writing, planned: OrderRecord) -> None:
        """Place a planned order, once the stops that hold what it is to sell are taken back."""
        stops = self._core.protecting.in_the_way(planned)
        if not stops:
            self.place(writing, planned)
            return
        self.put(writing, planned, replace(planned, waits_for=stops[0].client_order_id), None, "")
        for stop in stops:
            self.end(writing, stop, Reason.ORDER_PROTECTION)

    def _submit(self, writing: Writing, record: OrderRecord) -> None:
        digest, resend = text_hash(record.signed.text), record.sends - 1
        writing.ask(Submit(record.decision_id, record.approval, record.signed, digest, record.placing, resend))

    def cancel(self, writing: Writing, order: OrderRecord, until_us: int) -> None:
        """Carry out an approved cancel; nothing is asked of the venue at or after ``until_us``."""
        if order.state is OrderState.PLANNED:
            gone = replace(order, state=OrderState.CANCELLED, waits_for=None)
            self.put(writing, order, gone, None, "a cancel was approved before it was sent")
            return
        wish = order.cancel
        if wish is None or wish.until_us is not None:
            # What execution wants itself is wanted for longer than any approval.
            longest_us = until_us if wish is None or wish.until_us is None else max(until_us, wish.until_us)
            wish = CancelWish(None, longest_us)
        self.put(writing, order, wish_cancel(order, replace(wish, refused=False)), None, "a cancel was approved")
        writing.ask(Cancel(order.placing.venue_id, None, until_us))

    def end(self, writing: Writing, order: OrderRecord, why: Reason) -> None:
        """Ask for a cancel of our own accord; needs no approval, because it makes risk smaller."""
        if order.is_over or (order.cancel is not None and order.cancel.until_us is None):
            return
        if order.state is OrderState.PLANNED:
            self.put(writing, order, replace(order, state=OrderState.CANCELLED, waits_for=None), why, "")
            return
        self.put(writing, order, wish_cancel(order, CancelWish(why, None)), why, "")
        writing.ask(Cancel(order.placing.venue_id, why, None))

    def on_report(self, writing: Writing, report: Report) -> None:
        """Take a report that stands on the tape."""
        found = self._core.orders.find(report.client_order_id)
        if found is None:
            self._core.reconciling.on_stranger(writing, report)
            return
        order, attempt = found
        assessment = assess(order, self._heard(order, report), self._hearing(report, attempt))
        after = assessment.record
        for trade in assessment.trades:
            fee_rate = rate_of(self._core.market, order.approval.symbol, trade, self._core.now_us)
            after = after.with_fee_rate(trade.trade_id, fee_rate)
            self._book(writing, order, trade, fee_rate)
        assessment = replace(assessment, record=after)
        for trade in assessment.busts:
            self._undo(writing, order, trade)
        if not self._try_again(writing, order, assessment, report):
            self.put(writing, order, assessment.record, assessment.reason, report.detail)
            self._act(writing, order, assessment, report)
        for note in assessment.notes:
            writing.note(note)

    def _hearing(self, report: Report, attempt: int) -> Hearing:
        return Hearing(self._core.watch, max(self._core.now_us, report.ts_us), attempt)

    def _heard(self, order: OrderRecord, report: Report) -> Report:
        """Return what is heard of a report: of an order that was forgotten, no trade that may be booked already."""
        if not order.reopened:
            return report
        symbol, reconciling = order.approval.symbol, self._core.reconciling
        trades = tuple(trade for trade in report.trades if not reconciling.is_accounted(symbol, trade))
        return report.model_copy(update={"trades": trades})

    def _try_again(self, writing: Writing, order: OrderRecord, assessment: Assessment, report: Report) -> bool:
        core = self._core
        if core.parameters is None:
            return False
        again = repriced(order, assessment, core.market, core.parameters, core.now_us)
        if again is None:
            return False
        self.put(writing, order, again, assessment.reason, report.detail)
        writing.ask(Settle(order.placing.venue_id, OrderState.REJECTED, is_over=True))
        self._submit(writing, again)
        return True

    def _act(self, writing: Writing, before: OrderRecord, assessment: Assessment, report: Report) -> None:
        after = assessment.record
        if assessment.cancel is not None:
            writing.ask(Cancel(report.client_order_id, assessment.cancel, None))
        if after.cancel is not None and before.cancel is None:
            writing.ask(Cancel(after.placing.venue_id, after.cancel.why, after.cancel.until_us))
        if assessment.resend:
            self._submit(writing, after)
        if assessment.ask is not None:
            writing.ask(Query(after.placing.venue_id, assessment.ask))
        is_news = after.send_is_settled and not before.send_is_settled
        if is_news or (_is_ended(after) and not _is_ended(before)):
            writing.ask(Settle(after.placing.venue_id, after.state, is_over=_is_ended(after)))

    def _book(self, writing: Writing, order: OrderRecord, trade: VenueTrade, fee_rate: FeeRate | None) -> None:
        fill = writing.fill(order, trade, fee_rate)
        self._core.fills += 1
        if lacks_rate(fill):
            differed = f"trade {trade.trade_id} has a fee in {trade.fee_currency}, which nobody has quoted"
            detail = "the fill stands; what its fee is worth is not in any sum"
            writing.note(Note(trade.trade_id, Difference.FEE_DRIFT, differed, Repair.BOOKED, detail))
        portfolio = self._core.portfolio
        if portfolio is None:
            return
        try:
            portfolio.apply(fill, perpetual=portfolio.holding(fill.symbol).perpetual)
        except ValueError:
            # The words are ours: those of the error may print equal decimals differently after a restart.
            differed = "the fill sells more than is held, or for another currency"
            detail = "the fill stands; positions as execution shows them are off"
            writing.note(Note(trade.trade_id, Difference.QUANTITY_DRIFT, differed, Repair.FLAGGED, detail))

    def _undo(self, writing: Writing, order: OrderRecord, trade: VenueTrade) -> None:
        bust = writing.bust(order, trade)
        portfolio = self._core.portfolio
        if portfolio is None:
            return
        try:
            portfolio.undo(bust, perpetual=portfolio.holding(bust.symbol).perpetual)
        except ValueError:
            differed = "what the trade had bought has been sold since, or it was for another currency"
            detail = "the bust stands; positions as execution shows them are off"
            writing.note(Note(trade.trade_id, Difference.QUANTITY_DRIFT, differed, Repair.FLAGGED, detail))

    def put(
        self, writing: Writing, before: OrderRecord, after: OrderRecord, reason: Reason | None, detail: str
    ) -> None:
        """Keep a record in place of the one before it, tell its state, and place what has waited for its end."""
        core = self._core
        after = reschedule(core.orders.get(after.client_order_id), after, core.now_us, core.watch)
        self._keep(writing, before, after, reason, detail)

    def keep_silently(self, record: OrderRecord) -> None:
        """Keep a record of which nothing is to be said: its end was told before it was forgotten."""
        core = self._core
        core.orders.put(reschedule(None, record, core.now_us, core.watch), core.watch.finished_orders_max)

    def _keep(
        self, writing: Writing, before: OrderRecord, after: OrderRecord, reason: Reason | None, detail: str
    ) -> None:
        orders = self._core.orders
        orders.put(after, self._core.watch.finished_orders_max)
        if after.state is not before.state or after.placing.attempt != before.placing.attempt:
            writing.order(before.state, after, reason, detail)
        if after.is_gone and not before.is_gone:
            for waiting in orders.waiting_for(after.client_order_id):
                self._place_instead(writing, waiting, after)

    def _place_instead(self, writing: Writing, waiting: OrderRecord, old: OrderRecord) -> None:
        if old.protects is None:
            ready = released(waiting, old, self._core.now_us)
        else:
            ready = self._core.protecting.released(waiting)
        if ready.is_over:
            detail = "what it was to replace has filled instead, or was over too late"
            self.put(writing, waiting, ready, Reason.ORDER_REPLACED, detail)
            return
        self._place_when_free(writing, ready)

    def look(self, writing: Writing) -> None:
        """Look at every order that is due."""
        core = self._core
        for due in core.orders.due(core.now_us, core.agreement.began_us):
            # Whatever came before it in this step may have moved it already.
            record = core.orders.get(due.client_order_id)
            if record is None or record.look_us > core.now_us:
                continue
            look = probe(record, core.now_us, core.watch, core.safety)
            after = look.record
            if after.state is not record.state:
                after = reschedule(record, after, core.now_us, core.watch)
            self._keep(writing, record, after, look.reason, "")
            for effect in look.effects:
                writing.ask(effect)
            if look.note is not None:
                writing.note(look.note)


def _is_ended(record: OrderRecord) -> bool:
    return record.is_over and not record.late
