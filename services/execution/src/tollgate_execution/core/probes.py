"""When an order is looked at again: an open outcome soon and then ever later, a working order seldom.

All on tape time: the schedule is part of the state, so a replay asks the same questions. A look is also when an
order's own time is found to be over, and when a cancel that was not answered is asked for again.
"""

from dataclasses import dataclass, replace

from tollgate_contracts.execution import OrderState
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_execution.core.effects import Cancel, Query
from tollgate_execution.core.orders import WORKING_STATES
from tollgate_execution.core.parameters import Watch
from tollgate_execution.core.placing import Leg
from tollgate_execution.core.record import CancelWish, OrderRecord
from tollgate_execution.core.safety import Safety, is_unprotected
from tollgate_execution.core.trades import Note

_MAY_BE_ENDED = WORKING_STATES | {OrderState.SUBMITTING, OrderState.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at an order leads to: the record after it, what to ask of the venue, and what to say."""

    record: OrderRecord
    effects: tuple[Cancel | Query, ...] = ()
    note: Note | None = None
    """That an operator is called."""
    reason: Reason | None = None
    """Why the state has changed, where it has."""


def reschedule(before: OrderRecord | None, after: OrderRecord, now_us: int, watch: Watch) -> OrderRecord:
    """Set the next look at an order that has changed; counting starts again when its state has, or it is sent anew."""
    stays = before is not None and before.state is after.state and _sending(before) == _sending(after)
    if before is not None and stays and before.is_unsettled is after.is_unsettled:
        return after
    fresh = replace(after, since_us=after.since_us if stays else now_us, probes=0)
    return replace(fresh, look_us=_next_look_us(fresh, now_us, watch))


def _sending(record: OrderRecord) -> tuple[int, int, bool]:
    return record.placing.attempt, record.sends, record.late


def probe(record: OrderRecord, now_us: int, watch: Watch, safety: Safety) -> Look:
    """Look at a record that is due."""
    if record.state is OrderState.PLANNED:
        # It has waited for the end of another for as long as its approval holds.
        return Look(replace(record, state=OrderState.EXPIRED, waits_for=None), reason=Reason.ORDER_REPLACED)
    is_wished = record.cancel is not None and record.cancel.holds(now_us)
    why = None if is_wished else _why_to_end(record, now_us, watch, safety)
    if why is not None:
        ending = wish_cancel(record, CancelWish(why, None))
        ending = replace(ending, look_us=_next_look_us(ending, now_us, watch))
        return Look(ending, (Cancel(record.placing.venue_id, why, None),), reason=why)
    probes = record.probes + 1 if record.is_unsettled else 0
    looked = replace(record, probes=probes)
    looked = replace(looked, look_us=_next_look_us(looked, now_us, watch))
    effects: tuple[Cancel | Query, ...] = (*_cancel_again(record, now_us), Query(record.placing.venue_id, _why(record)))
    if probes != watch.probes_max:
        return Look(looked, effects)
    differed = f"{_why(record)}: unknown outcome after {probes} probes"
    detail = "asking on, slowly; an operator must look"
    note = Note(record.client_order_id, Difference.UNKNOWN_OUTCOME, differed, Repair.HELD, detail)
    return Look(looked, effects, note)


def wish_cancel(record: OrderRecord, wish: CancelWish) -> OrderRecord:
    """Return the record once its cancel is asked for."""
    wished = replace(record, cancel=wish)
    # An order of unknown outcome stays so: only the venue's word leads out of that.
    if record.state in {OrderState.UNKNOWN, OrderState.CANCELLING}:
        return wished
    return replace(wished, state=OrderState.CANCELLING, before_cancel=record.state)


def _why_to_end(record: OrderRecord, now_us: int, watch: Watch, safety: Safety) -> Reason | None:
    # What the venue would not cancel when safe mode came, and what was taken back since, is not left to rest either.
    if safety.engaged and is_unprotected(record) and record.state in _MAY_BE_ENDED:
        return Reason.GATE_SAFE_MODE
    for reason, due_us in _own_times(record, watch):
        if due_us <= now_us:
            return reason
    return None


def _own_times(record: OrderRecord, watch: Watch) -> tuple[tuple[Reason, int], ...]:
    """Return when the order is to be cancelled for its own sake, and why."""
    approval = record.approval
    if record.placing.leg is not Leg.ORDER or record.state not in _MAY_BE_ENDED:
        return ()
    times = []
    if approval.good_until_us is not None:
        times.append((Reason.ORDER_GOOD_UNTIL, approval.good_until_us))
    # To take an exit back makes risk larger, however long it has rested.
    if watch.stale_after_us is not None and record.state in WORKING_STATES and not approval.reduce_only:
        times.append((Reason.ORDER_STALE, record.placed_us + watch.stale_after_us))
    return tuple(times)


def _cancel_again(record: OrderRecord, now_us: int) -> tuple[Cancel, ...]:
    if record.late:
        return (Cancel(record.placing.venue_id, Reason.VENUE_UNKNOWN_OUTCOME, None),)
    wish = record.cancel
    if wish is None or not wish.holds(now_us):
        return ()
    return (Cancel(record.placing.venue_id, wish.why, wish.until_us),)


def _why(record: OrderRecord) -> str:
    if record.misses_trades:
        return "trades are missing"
    return f"{record.state.value} at the time of looking"


def _next_look_us(record: OrderRecord, now_us: int, watch: Watch) -> int:
    if record.state is OrderState.PLANNED:
        return record.placing.until_us
    moments = [_next_probe_us(record, now_us, watch)]
    if record.cancel is None:
        moments += [due_us for _, due_us in _own_times(record, watch)]
    if record.is_unsettled and not record.acknowledged:
        # From these moments on, absence is proof; before them, it is none.
        moments.append(record.placing.until_us + watch.proof_us)
        if record.doubted_us and record.sends <= watch.resends_max:
            moments.append(record.doubted_us + watch.proof_us)
    return min(moment for moment in moments if moment > now_us)


def _next_probe_us(record: OrderRecord, now_us: int, watch: Watch) -> int:
    if not record.is_unsettled:
        return now_us + (watch.forget_after_us if record.is_over else watch.working_us)
    if record.probes >= watch.probes_max:
        return now_us + watch.slow_us
    is_silent = record.state in {OrderState.SUBMITTING, OrderState.CANCELLING} and not record.misses_trades
    first_us = watch.silent_us if is_silent else watch.unknown_us
    return now_us + min(first_us << record.probes, watch.delay_us_max)
