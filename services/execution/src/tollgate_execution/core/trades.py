"""What a report's trades, busts and counts do to an order: each trade booked once, and taken back at most once.

The law of this module: what is booked is what the venue has listed as a trade of the order, and never a count.
A count says only that trades are missing. Some venues list trades one by one and name no count, some name a count
and list trades elsewhere, some do both: all of it may come in any order and as often as it likes.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from tollgate_contracts.execution import Report, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import notional
from tollgate_execution.core.record import Booked, Busted, OrderRecord, trade_hash

# Twenty digits before the point is what a message can hold, rounding up to its last place counted in; a venue that
# names more is not to be believed.
QUOTE_LIMIT = Decimal(10) ** 20 - 1
# Of one order so many trades can be taken back; more than that, and the venue is not to be believed.
BUSTED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Note:
    """A difference with the venue and what was done about it; becomes a ``reconcile`` message."""

    subject: str
    difference: Difference
    differed: str
    repair: Repair
    detail: str
    evidence: str = ""
    """What the venue said; the report that brought it, where nothing is named."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a report has brought: the record after it, what to book and what to take back, in order, what to say."""

    record: OrderRecord
    trades: tuple[VenueTrade, ...] = ()
    busts: tuple[VenueTrade, ...] = ()
    notes: tuple[Note, ...] = ()


def take(record: OrderRecord, report: Report, attempt: int) -> Taken:
    """Take the busts and the trades of a report on an attempt."""
    taken = Taken(record)
    for trade_id in report.busted:
        taken = _take_bust(taken, trade_id)
    for trade in report.trades:
        taken = _take_trade(taken, trade, attempt)
    return taken


def once(taken: Taken, key: str, note: Note) -> Taken:
    """Add a note, unless it was said before."""
    if taken.record.has_said(key):
        return taken
    return replace(taken, record=taken.record.with_note(key), notes=(*taken.notes, note))


def _take_bust(taken: Taken, trade_id: str) -> Taken:
    record = taken.record
    if any(each.trade_id == trade_id for each in record.busted):
        return taken
    if len(record.busted) >= BUSTED_MAX:
        differed = f"the venue takes back more than {BUSTED_MAX} trades of {record.client_order_id}"
        note = Note(trade_id, Difference.BUSTED_FILL, differed, Repair.FLAGGED, "not undone; an operator must look")
        return once(taken, "busts", note)
    booked = next((each.trade for each in record.trades if each.trade.trade_id == trade_id), None)
    if booked is None and record.reopened:
        differed = f"the venue has taken back trade {trade_id} of {record.client_order_id}, which was forgotten"
        note = Note(trade_id, Difference.BUSTED_FILL, differed, Repair.FLAGGED, "not undone; an operator must look")
        return once(
            replace(taken, record=replace(record, busted=(*record.busted, Busted(trade_id, ZERO)))), trade_id, note
        )
    if booked is None:
        # Remembered, so that the trade is never booked when it comes at last.
        differed = f"trade {trade_id} of {record.client_order_id} was taken back before it was booked"
        note = Note(trade_id, Difference.BUSTED_FILL, differed, Repair.IGNORED, "it will not be booked")
        record = replace(record, busted=(*record.busted, Busted(trade_id, ZERO)))
        return replace(taken, record=record, notes=(*taken.notes, note))
    differed = (
        f"the venue has taken back trade {trade_id} of {record.client_order_id}: "
        f"{plain(booked.quantity)} at {plain(booked.price)}"
    )
    note = Note(trade_id, Difference.BUSTED_FILL, differed, Repair.UNDONE, "what was booked for it is undone")
    record = replace(
        record,
        booked=record.booked - booked.quantity,
        booked_quote=record.booked_quote - notional(booked.price, booked.quantity),
        trades=tuple(each for each in record.trades if each.trade.trade_id != trade_id),
        busted=(*record.busted, Busted(trade_id, booked.quantity)),
    )
    return replace(taken, record=record, busts=(*taken.busts, booked), notes=(*taken.notes, note))


def _take_trade(taken: Taken, trade: VenueTrade, attempt: int) -> Taken:
    record = taken.record
    if any(each.trade_id == trade.trade_id for each in record.busted):
        return replace(taken, record=_with_busted_quantity(record, trade))
    known = next((each.trade for each in record.trades if each.trade.trade_id == trade.trade_id), None)
    if known == trade:
        return taken
    problem = _unbookable(record, trade, known)
    if problem is None:
        record = replace(
            record,
            booked=record.booked + trade.quantity,
            booked_quote=record.booked_quote + notional(trade.price, trade.quantity),
            trades=(*record.trades, Booked(trade, attempt)),
        )
        taken = replace(taken, record=record, trades=(*taken.trades, trade))
        problem = _worse_than_its_limit(record, trade) if attempt == record.placing.attempt else None
        repair, detail = Repair.BOOKED, "the venue is to be asked"
    else:
        repair, detail = Repair.FLAGGED, "not booked; an operator must look"
    if problem is None:
        return taken
    note = Note(trade.trade_id, problem[0], problem[1], repair, detail)
    return once(taken, f"{trade.trade_id}:{trade_hash(trade)}", note)


def _with_busted_quantity(record: OrderRecord, trade: VenueTrade) -> OrderRecord:
    busted = tuple(
        Busted(trade.trade_id, trade.quantity) if each == Busted(trade.trade_id, ZERO) else each
        for each in record.busted
    )
    return replace(record, busted=busted)


def _unbookable(record: OrderRecord, trade: VenueTrade, known: VenueTrade | None) -> tuple[Difference, str] | None:
    if known is not None:
        return (
            Difference.DUPLICATE_FILL,
            f"trade {trade.trade_id} of {record.client_order_id} came again with other content",
        )
    if record.booked + trade.quantity > record.quantity:
        return Difference.QUANTITY_DRIFT, (
            f"trade {trade.trade_id} of {plain(trade.quantity)} would fill {record.client_order_id} beyond its "
            f"quantity {plain(record.quantity)}, filled {plain(record.booked)}"
        )
    if record.booked_quote + notional(trade.price, trade.quantity) >= QUOTE_LIMIT:
        differed = (
            f"trade {trade.trade_id} of {plain(trade.quantity)} at {plain(trade.price)} is larger than any amount"
        )
        return Difference.PRICE_DRIFT, differed
    return None


def _worse_than_its_limit(record: OrderRecord, trade: VenueTrade) -> tuple[Difference, str] | None:
    limit = record.placing.limit_price
    if limit is None:
        return None
    worse = trade.price > limit if record.placing.side is Side.BUY else trade.price < limit
    differed = f"trade {trade.trade_id} at {plain(trade.price)} is worse than the limit {plain(limit)}"
    return (Difference.PRICE_DRIFT, differed) if worse else None


def count(taken: Taken, report: Report) -> Taken:
    """Take the venue's count of the current attempt, once the trades of the report are taken."""
    record = taken.record
    quantity = record.quantity
    counted = report.cumulative_quantity is not None
    said = record.booked if report.cumulative_quantity is None else record.carried + report.cumulative_quantity
    if report.status is ReportStatus.FILLED and not (counted and record.busted):
        # Filled means in full, whatever count comes with it; a venue that takes trades back may count without them.
        said = max(said, quantity)
    if said > quantity:
        differed = f"the venue counts {plain(said)} filled of {plain(quantity)}"
        detail = "counted as filled in full; an operator must look"
        note = Note(record.client_order_id, Difference.QUANTITY_DRIFT, differed, Repair.FLAGGED, detail)
        taken, said = once(taken, "count", note), quantity
    # A count from before a bust may be higher than any that comes after it: then the look-up's is the one that stands.
    before = ZERO if record.busted and counted and report.source is ReportSource.QUERY else record.said
    venue_order_id = record.venue_order_id or report.venue_order_id
    record = replace(taken.record, said=max(before, said, record.booked), venue_order_id=venue_order_id)
    return replace(taken, record=record)
