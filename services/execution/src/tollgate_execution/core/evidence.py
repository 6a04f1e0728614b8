"""What a report does to an order: a pure function, so that the shell may ask beforehand whether it would change it.

Trades first, each once; then the venue's count; then the state. An end is not taken while the venue counts more
than the trades we have: risk lets go of its reservation at the end, so nothing may trade behind its back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from tollgate_contracts.execution import OrderState, Report, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_execution.core.orders import ENDS, TABLES, Move
from tollgate_execution.core.parameters import Watch
from tollgate_execution.core.record import CancelWish, OrderRecord
from tollgate_execution.core.safety import is_resolvable
from tollgate_execution.core.trades import Note, Taken, count, once, take

_SHOWS_THE_ORDER = frozenset({ReportStatus.OPEN, ReportStatus.FILLED, ReportStatus.CANCELLED, ReportStatus.EXPIRED})


@dataclass(frozen=True, slots=True)
class Hearing:
    """In what circumstances a report is heard."""

    watch: Watch
    now_us: int
    """On the tape's clock, the report's own time counted in."""
    attempt: int = 1
    """Which attempt of the order the report is about."""
    has_traded: bool = False
    """The report has brought a trade that was not known."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a report would do: the record after it, what to book and take back in order, what to say, and to ask."""

    record: OrderRecord
    trades: tuple[VenueTrade, ...] = ()
    busts: tuple[VenueTrade, ...] = ()
    notes: tuple[Note, ...] = ()
    ask: str | None = None
    cancel: Reason | None = None
    """Why the venue is to be asked to cancel the attempt that the report is about."""
    resend: bool = False
    """The same attempt is to be sent again under its id."""
    reason: Reason | None = None

    def changes(self, before: OrderRecord) -> bool:
        """Say whether anything at all would follow from the report."""
        says = self.trades or self.busts or self.notes or self.ask or self.cancel or self.resend
        return bool(says) or self.record != before


def assess(record: OrderRecord, report: Report, hearing: Hearing) -> Assessment:
    """Weigh ``report`` against ``record``."""
    if record.reopened and report.source is not ReportSource.FILLS:
        return Assessment(record)
    if hearing.attempt != record.placing.attempt:
        return _of_an_earlier_attempt(record, take(record, report, hearing.attempt), report, hearing)
    move = _move_of(record, report, hearing)
    taken = take(record, report, hearing.attempt)
    if move is not Move.IMPOSSIBLE:
        taken = count(taken, report)
    if taken.trades and record.is_over:
        late = f"{len(taken.trades)} trade(s) after the order was {record.state.value}"
        note = Note(record.client_order_id, Difference.LATE_FILL, late, Repair.BOOKED, "the state stays final")
        taken = replace(taken, notes=(*taken.notes, note))
    if move is Move.IMPOSSIBLE:
        taken = _say_impossible(taken, report, hearing)
    moved = _move(taken.record, move, report, replace(hearing, has_traded=bool(taken.trades)))
    ask = moved.ask or _missing(record, moved.record)
    return replace(moved, trades=taken.trades, busts=taken.busts, notes=(*taken.notes, *moved.notes), ask=ask)


def _move_of(record: OrderRecord, report: Report, hearing: Hearing) -> Move:
    move = TABLES[report.source][record.state][report.status]
    # An operator's word does not count while the venue is still being asked.
    return Move.IMPOSSIBLE if move is Move.RESOLVE and not is_resolvable(record, hearing.watch) else move


def _say_impossible(taken: Taken, report: Report, hearing: Hearing) -> Taken:
    state = taken.record.state.value
    said = f"{report.status.value} by {report.source.value}"
    attempt = "" if hearing.attempt == 1 else f" of attempt {hearing.attempt}"
    differed = f"{said}{attempt} cannot follow from {state}"
    note = Note(
        taken.record.client_order_id,
        Difference.STATE_DRIFT,
        differed,
        Repair.FLAGGED,
        "the state stays; an operator must look",
    )
    return once(taken, f"{hearing.attempt}:{state}:{said}", note)


def _of_an_earlier_attempt(before: OrderRecord, taken: Taken, report: Report, hearing: Hearing) -> Assessment:
    """Book what an attempt has traded that the venue had refused; one that it shows open is cancelled."""
    if taken.trades:
        late = f"{len(taken.trades)} trade(s) of attempt {hearing.attempt}, which the venue had refused"
        note = Note(before.client_order_id, Difference.LATE_FILL, late, Repair.BOOKED, "what still works is cancelled")
        taken = replace(taken, notes=(*taken.notes, note))
    record, is_open = taken.record, report.status is ReportStatus.OPEN
    if is_open:
        taken = _say_impossible(taken, report, hearing)
        record = taken.record
    if taken.trades and not record.is_over and record.cancel is None:
        # The approval is good for one order: what the refused attempt has filled, the one after it must not fill too.
        wish = CancelWish(Reason.VENUE_UNKNOWN_OUTCOME, None)
        record = replace(_follow_trades(record, replace(hearing, has_traded=True)), cancel=wish)
        if record.state is not OrderState.UNKNOWN:
            record = replace(record, before_cancel=record.state, state=OrderState.CANCELLING)
    cancel = Reason.VENUE_UNKNOWN_OUTCOME if is_open else None
    return Assessment(record, taken.trades, taken.busts, taken.notes, cancel=cancel)


def _missing(before: OrderRecord, after: OrderRecord) -> str | None:
    news = (before.said, before.claimed, before.booked) != (after.said, after.claimed, after.booked)
    return "trades are missing" if after.misses_trades and news else None


def _move(record: OrderRecord, move: Move, report: Report, hearing: Hearing) -> Assessment:
    if move is Move.SETTLE:
        is_settled = is_resolvable(record, hearing.watch)
        return Assessment(replace(record, said=record.booked, late=False) if is_settled else record)
    if record.is_over or record.state is OrderState.PLANNED:
        return _late(record, report, hearing) if move is Move.LATE or record.late else Assessment(record)
    shows = move is not Move.IMPOSSIBLE and report.status in _SHOWS_THE_ORDER
    if not record.acknowledged and (hearing.has_traded or shows):
        record = replace(record, acknowledged=True, shown_us=hearing.now_us)
    if record.booked == record.quantity and not record.carried:
        return _to(record, OrderState.FILLED, report)
    if move in ENDS:
        return _end(record, ENDS[move], report)
    if record.claimed is not None and record.claim_is_counted and record.said == record.booked:
        return _to(record, record.claimed, report)
    return _RULES[move](record, report, hearing)


def _stay(record: OrderRecord, _report: Report, hearing: Hearing) -> Assessment:
    return Assessment(_follow_trades(record, hearing))


def _follow_trades(record: OrderRecord, hearing: Hearing) -> OrderRecord:
    # A trade moves an order even where the report itself says nothing of its state, and so does its being taken back.
    # An older trade does not: it is no word on what has become of the order since.
    if hearing.has_traded and record.state in {OrderState.SUBMITTING, OrderState.ACKNOWLEDGED, OrderState.UNKNOWN}:
        return _at_work(record, hearing)
    if record.state is OrderState.PARTIALLY_FILLED and not record.booked:
        return replace(record, state=OrderState.ACKNOWLEDGED)
    return record


def _at_work(record: OrderRecord, hearing: Hearing) -> OrderRecord:
    state = record.working_state()
    if record.cancel is not None and record.cancel.holds(hearing.now_us):
        # Its cancel was asked for while its outcome was unknown, and is still wanted.
        return replace(record, before_cancel=state, state=OrderState.CANCELLING)
    return replace(record, state=state, cancel=None)


def _work(record: OrderRecord, report: Report, hearing: Hearing) -> Assessment:
    worked = _at_work(record, hearing)
    return _to(worked, worked.state, report)


def _doubt(record: OrderRecord, report: Report, hearing: Hearing) -> Assessment:
    if record.acknowledged:
        return _stay(record, report, hearing)
    return _to(replace(record, doubted_us=hearing.now_us), OrderState.UNKNOWN, report)


def _unsent(record: OrderRecord, report: Report, hearing: Hearing) -> Assessment:
    if record.acknowledged:
        stayed = _stay(record, report, hearing)
        if record.sends > 1:
            return stayed
        said = _say_impossible(Taken(stayed.record), report, hearing)
        return replace(stayed, record=said.record, notes=said.notes)
    if record.sends > 1:
        # The last send never left, and the one before it is as unknown as it was.
        return _to(record, OrderState.UNKNOWN, report)
    return _to(record, OrderState.REJECTED, report)


def _still_open(record: OrderRecord, report: Report, hearing: Hearing) -> Assessment:
    wish = record.cancel
    if report.source is not ReportSource.QUERY or wish is None:
        return _stay(record, report, hearing)
    gone_us = None if wish.until_us is None else wish.until_us + hearing.watch.receive_window_us
    if wish.refused or (gone_us is not None and _asked_us(report) >= gone_us):
        return _to(replace(record, cancel=None), record.working_state(), report)
    return _stay(record, report, hearing)


def _resume(record: OrderRecord, report: Report, _hearing: Hearing) -> Assessment:
    before = None if record.acknowledged else record.before_cancel
    return _to(replace(record, cancel=None), before or record.working_state(), report)


def _ask(record: OrderRecord, report: Report, hearing: Hearing) -> Assessment:
    refused = replace(record, cancel=record.cancel and replace(record.cancel, refused=True))
    return replace(_stay(refused, report, hearing), ask="the venue refused the cancel")


def _resolve(record: OrderRecord, report: Report, _hearing: Hearing) -> Assessment:
    # The operator answers for what the venue has counted and not listed; it is booked if it is ever listed.
    assessment = _to(replace(record, said=record.booked), OrderState(report.status.value), report)
    return replace(assessment, reason=Reason.ORDER_OPERATOR)


def _to(record: OrderRecord, state: OrderState, report: Report) -> Assessment:
    reason = report.reason
    if state is OrderState.REJECTED and record.booked:
        # An order that has traded was not refused, whoever says so of the rest.
        state = OrderState.CANCELLED
    if state is OrderState.CANCELLED and reason is None and record.cancel is not None:
        reason = record.cancel.why
    if state is OrderState.UNKNOWN and reason is None:
        reason = Reason.VENUE_UNKNOWN_OUTCOME
    if state is OrderState.REJECTED and reason is None:
        reason = Reason.VENUE_REJECTED
    moved = replace(record, state=state)
    return Assessment(replace(moved, claimed=None, cancel=None) if moved.is_over else moved, reason=reason)


def _end(record: OrderRecord, end: OrderState, report: Report) -> Assessment:
    if end is OrderState.REJECTED and record.said:
        # What has traded stands, so a venue that rejects the rest has cancelled it.
        end = OrderState.CANCELLED
    is_look_up = report.source is ReportSource.QUERY
    counted = report.cumulative_quantity is not None or end in {OrderState.FILLED, OrderState.REJECTED}
    if (counted or is_look_up) and _is_complete(record, is_look_up=is_look_up):
        return _to(record, end, report)
    state = record.state if record.state is OrderState.CANCELLING else record.working_state()
    return Assessment(replace(record, state=state, claimed=end, claim_is_counted=counted))


def _is_complete(record: OrderRecord, *, is_look_up: bool) -> bool:
    if record.busted and is_look_up:
        # A look-up names every trade that stands: what the venue counts above them, it has taken back.
        return record.said <= record.booked + record.busted_quantity
    return record.said == record.booked


def _absent(record: OrderRecord, report: Report, hearing: Hearing) -> Assessment:
    watch = hearing.watch
    if record.acknowledged:
        if _asked_us(report) < record.shown_us + watch.visibility_us:
            # What the venue has just taken its look-ups may not find yet.
            return Assessment(record)
        differed = "the venue does not know an order that it has shown before"
        detail = "held as UNKNOWN; an operator must look"
        note = Note(record.client_order_id, Difference.MISSING_ORDER, differed, Repair.HELD, detail)
        said = once(Taken(record), "absent", note)
        return replace(_to(said.record, OrderState.UNKNOWN, report), notes=said.notes)
    if _asked_us(report) >= record.placing.until_us + watch.proof_us:
        return _to(record, OrderState.EXPIRED, report)
    if _may_be_sent_again(record, report, hearing):
        again = replace(record, sends=record.sends + 1, doubted_us=0)
        return replace(_to(again, OrderState.SUBMITTING, report), resend=True)
    return Assessment(record)


def _may_be_sent_again(record: OrderRecord, report: Report, hearing: Hearing) -> bool:
    can_arrive_no_more = record.doubted_us and _asked_us(report) >= record.doubted_us + hearing.watch.proof_us
    return (
        record.state is OrderState.UNKNOWN
        and report.source is ReportSource.QUERY
        and bool(can_arrive_no_more)
        and record.cancel is None
        and record.sends <= hearing.watch.resends_max
        and hearing.now_us < record.placing.until_us
    )


def _late(record: OrderRecord, report: Report, hearing: Hearing) -> Assessment:
    """Weigh what is said of an order that is over: it may be news of one that we never saw at the venue."""
    is_open = report.status is ReportStatus.OPEN
    if record.late:
        ended = report.status in _SHOWS_THE_ORDER | {ReportStatus.REJECTED} and not is_open
        # The answer to a cancel that the venue would not carry out says nothing of an end.
        refused = report.source is ReportSource.CANCEL and report.status is ReportStatus.REJECTED
        return Assessment(replace(record, late=refused or not ended))
    asked = report.source is ReportSource.QUERY
    if record.acknowledged and not (
        is_open and asked and _asked_us(report) >= record.since_us + hearing.watch.proof_us
    ):
        return Assessment(record)
    differed = f"the venue shows {report.status.value} after the order was held {record.state.value} here"
    detail = "it is being cancelled; what it has traded is booked" if is_open else "what it has traded is booked"
    difference = Difference.STATE_DRIFT if record.acknowledged else Difference.FOREIGN_ORDER
    said = once(
        Taken(replace(record, acknowledged=True, late=is_open)),
        f"late:{report.status.value}",
        Note(record.client_order_id, difference, differed, Repair.ADOPTED, detail),
    )
    return Assessment(said.record, notes=said.notes, cancel=Reason.VENUE_UNKNOWN_OUTCOME if is_open else None)


def _asked_us(report: Report) -> int:
    """Return the earliest time at which the venue can have looked: the shell stamps a report when it asks.

    The venue's own time counts where it knows no order; of one that it shows, it is the time of its last change.
    """
    if report.venue_ts_us is None or report.status is not ReportStatus.ABSENT:
        return report.ts_us
    return min(report.ts_us, report.venue_ts_us)


_RULES: dict[Move, Callable[[OrderRecord, Report, Hearing], Assessment]] = {
    Move.STAY: _stay,
    Move.IMPOSSIBLE: _stay,
    Move.WORK: _work,
    Move.DOUBT: _doubt,
    Move.UNSENT: _unsent,
    Move.ABSENT: _absent,
    Move.STILL_OPEN: _still_open,
    Move.RESUME: _resume,
    Move.ASK: _ask,
    Move.RESOLVE: _resolve,
}
