"""What a report does to an order: a pure function, so that the shell may ask beforehand whether it would change it.

Trades first, each once; then the venue's count; then the state. An end is not taken while the venue counts more
than the trades we have: risk lets go of its reservation at the end, so nothing may trade behind its back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from tollgate_contracts.execution import OrderState, Report, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.money import plain
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import notional
from tollgate_execution.core.orders import CANCEL_ANSWERS, ENDS, EVIDENCE, Move
from tollgate_execution.core.record import OrderRecord, trade_hash

# Twenty digits before the point is what a message can hold; a venue that names more is not to be believed.
QUOTE_LIMIT = Decimal(10) ** 20
_SHOWS_THE_ORDER = frozenset({ReportStatus.OPEN, ReportStatus.FILLED, ReportStatus.CANCELLED, ReportStatus.EXPIRED})


@dataclass(frozen=True, slots=True)
class Note:
    """A difference with the venue and what was done about it; becomes a ``reconcile`` message."""

    subject: str
    differed: str
    done: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a report would do: the record after it, the trades to book in order, what to say, and what to ask."""

    record: OrderRecord
    trades: tuple[VenueTrade, ...] = ()
    notes: tuple[Note, ...] = ()
    ask: str | None = None
    reason: Reason | None = None

    def changes(self, before: OrderRecord) -> bool:
        """Say whether anything at all would follow from the report."""
        return bool(self.trades or self.notes or self.ask) or self.record != before


def assess(record: OrderRecord, report: Report, window_us: int) -> Assessment:
    """Weigh ``report`` against ``record``; ``window_us`` is how long after its expiry a submit could still arrive."""
    counted, trades, notes = _take_trades(record, report)
    counted, count_notes = _take_count(counted, report)
    if trades and record.is_over:
        late = f"{len(trades)} trade(s) after the order was {record.state.value}"
        notes = (*notes, Note(record.client_order_id, late, "booked; the state stays final"))
    if record.is_over:
        ask = _missing(record, counted)
        return Assessment(counted, trades, (*notes, *count_notes), ask)
    moved = _move(replace(counted, acknowledged=_is_shown(counted, report, trades)), report, window_us)
    ask = moved.ask or _missing(record, moved.record)
    return replace(moved, trades=trades, notes=(*notes, *count_notes, *moved.notes), ask=ask)


def _is_shown(record: OrderRecord, report: Report, trades: tuple[VenueTrade, ...]) -> bool:
    return record.acknowledged or bool(trades) or report.status in _SHOWS_THE_ORDER


def _missing(before: OrderRecord, after: OrderRecord) -> str | None:
    news = (before.said, before.claimed, before.booked) != (after.said, after.claimed, after.booked)
    return "trades are missing" if after.misses_trades and news else None


def _take_trades(record: OrderRecord, report: Report) -> tuple[OrderRecord, tuple[VenueTrade, ...], tuple[Note, ...]]:
    booked: list[VenueTrade] = []
    notes: list[Note] = []
    for trade in report.trades:
        known = dict(record.trades).get(trade.trade_id)
        content = trade_hash(trade)
        if known == content:
            continue
        problem = _unbookable(record, trade, known)
        if problem is None:
            booked.append(trade)
            value = notional(trade.price, trade.quantity)
            record = replace(
                record,
                booked=record.booked + trade.quantity,
                booked_quote=record.booked_quote + value,
                trades=(*record.trades, (trade.trade_id, content)),
            )
            problem = _worse_than_its_limit(record, trade)
            done = "booked; the venue is to be asked"
        else:
            done = "not booked; an operator must look"
        key = f"{trade.trade_id}:{content}"
        if problem is not None and key not in record.noted:
            record = record.with_note(key)
            notes.append(Note(trade.trade_id, problem, done))
    return record, tuple(booked), tuple(notes)


def _unbookable(record: OrderRecord, trade: VenueTrade, known: str | None) -> str | None:
    if known is not None:
        return f"trade {trade.trade_id} of {record.client_order_id} came again with other content"
    if record.booked + trade.quantity > record.approval.quantity:
        return (
            f"trade {trade.trade_id} of {plain(trade.quantity)} would fill {record.client_order_id} beyond its "
            f"quantity {plain(record.approval.quantity)}, filled {plain(record.booked)}"
        )
    if record.booked_quote + notional(trade.price, trade.quantity) >= QUOTE_LIMIT:
        return f"trade {trade.trade_id} of {plain(trade.quantity)} at {plain(trade.price)} is larger than any amount"
    return None


def _worse_than_its_limit(record: OrderRecord, trade: VenueTrade) -> str | None:
    limit = record.approval.limit_price
    if limit is None:
        return None
    worse = trade.price > limit if record.approval.side is Side.BUY else trade.price < limit
    return f"trade {trade.trade_id} at {plain(trade.price)} is worse than the limit {plain(limit)}" if worse else None


def _take_count(record: OrderRecord, report: Report) -> tuple[OrderRecord, tuple[Note, ...]]:
    quantity = record.approval.quantity
    said = record.booked if report.cumulative_quantity is None else report.cumulative_quantity
    if report.status is ReportStatus.FILLED:
        # Filled means in full, whatever count comes with it.
        said = max(said, quantity)
    notes: tuple[Note, ...] = ()
    if said > quantity:
        if "count" not in record.noted:
            record = record.with_note("count")
            differed = f"the venue counts {plain(said)} filled of {plain(quantity)}"
            notes = (Note(record.client_order_id, differed, "counted as filled in full; an operator must look"),)
        said = quantity
    venue_order_id = record.venue_order_id or report.venue_order_id
    return replace(record, said=max(record.said, said, record.booked), venue_order_id=venue_order_id), notes


def _move(record: OrderRecord, report: Report, window_us: int) -> Assessment:
    table = CANCEL_ANSWERS if report.source is ReportSource.CANCEL else EVIDENCE
    move = table[record.state][report.status]
    if record.booked == record.approval.quantity:
        return _to(record, OrderState.FILLED, report)
    if move in ENDS:
        return _end(record, ENDS[move], report)
    if record.claimed is not None and record.claim_is_counted and record.said == record.booked:
        return _to(record, record.claimed, report)
    return _RULES[move](record, report, window_us)


def _stay(record: OrderRecord, _report: Report, _window_us: int) -> Assessment:
    # A trade moves an order even where the report itself says nothing of its state.
    traded = record.booked and record.state in {OrderState.SUBMITTING, OrderState.ACKNOWLEDGED, OrderState.UNKNOWN}
    return Assessment(replace(record, state=OrderState.PARTIALLY_FILLED) if traded else record)


def _work(record: OrderRecord, report: Report, _window_us: int) -> Assessment:
    return _to(record, record.working_state(), report)


def _doubt(record: OrderRecord, report: Report, window_us: int) -> Assessment:
    if report.source is not ReportSource.SUBMIT:
        return _stay(record, report, window_us)
    return _to(record, OrderState.UNKNOWN, report)


def _unsent(record: OrderRecord, report: Report, window_us: int) -> Assessment:
    if record.acknowledged:
        return _stay(record, report, window_us)
    return _to(record, OrderState.REJECTED, report)


def _still_open(record: OrderRecord, report: Report, window_us: int) -> Assessment:
    asked = report.source is ReportSource.QUERY
    too_late_to_cancel = _asked_us(report) >= record.cancel_expires_us + window_us
    if asked and (record.cancel_refused or too_late_to_cancel):
        return _to(record, record.working_state(), report)
    return _stay(record, report, window_us)


def _resume(record: OrderRecord, report: Report, _window_us: int) -> Assessment:
    before = None if record.acknowledged else record.before_cancel
    return _to(record, before or record.working_state(), report)


def _ask(record: OrderRecord, report: Report, window_us: int) -> Assessment:
    stayed = _stay(record, report, window_us)
    return replace(stayed, record=replace(stayed.record, cancel_refused=True), ask="the venue refused the cancel")


def _to(record: OrderRecord, state: OrderState, report: Report) -> Assessment:
    reason = report.reason
    if state is OrderState.UNKNOWN and reason is None:
        reason = Reason.VENUE_UNKNOWN_OUTCOME
    if state is OrderState.REJECTED and reason is None:
        reason = Reason.VENUE_REJECTED
    moved = replace(record, state=state)
    return Assessment(replace(moved, claimed=None) if moved.is_over else moved, reason=reason)


def _end(record: OrderRecord, end: OrderState, report: Report) -> Assessment:
    if end is OrderState.REJECTED and record.said:
        # What has traded stands, so a venue that rejects the rest has cancelled it.
        end = OrderState.CANCELLED
    counted = report.cumulative_quantity is not None or end in {OrderState.FILLED, OrderState.REJECTED}
    complete = end is not OrderState.FILLED and record.said == record.booked
    if complete and (counted or report.source is ReportSource.QUERY):
        return _to(record, end, report)
    state = record.state if record.state is OrderState.CANCELLING else record.working_state()
    return Assessment(replace(record, state=state, claimed=end, claim_is_counted=counted))


def _absent(record: OrderRecord, report: Report, window_us: int) -> Assessment:
    if record.acknowledged:
        differed = "the venue does not know an order that it has shown before"
        note = Note(record.client_order_id, differed, "held as UNKNOWN; an operator must look")
        if "absent" in record.noted:
            return Assessment(record)
        return replace(_to(record.with_note("absent"), OrderState.UNKNOWN, report), notes=(note,))
    if _asked_us(report) >= record.approval.expires_us + window_us:
        return _to(record, OrderState.EXPIRED, report)
    return Assessment(record)


def _asked_us(report: Report) -> int:
    """Return the earliest time at which the venue can have looked: the shell stamps a report when it asks."""
    return report.ts_us if report.venue_ts_us is None else min(report.ts_us, report.venue_ts_us)


_RULES: dict[Move, Callable[[OrderRecord, Report, int], Assessment]] = {
    Move.STAY: _stay,
    Move.WORK: _work,
    Move.DOUBT: _doubt,
    Move.UNSENT: _unsent,
    Move.ABSENT: _absent,
    Move.STILL_OPEN: _still_open,
    Move.RESUME: _resume,
    Move.ASK: _ask,
}
