"""When an order is looked at again: an open outcome soon and then ever later, a working order seldom.

All on tape time: the schedule is part of the state, so a replay asks the same questions.
"""

from dataclasses import replace

from tollgate_contracts.execution import OrderState
from tollgate_execution.core.effects import Query
from tollgate_execution.core.evidence import Note
from tollgate_execution.core.parameters import Watch
from tollgate_execution.core.record import OrderRecord


def reschedule(before: OrderRecord | None, after: OrderRecord, now_us: int, watch: Watch) -> OrderRecord:
    """Set the next look at an order that has changed; counting starts again when its state has."""
    if before is not None and before.state is after.state and before.is_unsettled is after.is_unsettled:
        return after
    since_us = after.since_us if before is not None and before.state is after.state else now_us
    fresh = replace(after, since_us=since_us, probes=0)
    return replace(fresh, look_us=_next_look_us(fresh, now_us, watch))


def probe(record: OrderRecord, now_us: int, watch: Watch) -> tuple[OrderRecord, Query | None, Note | None]:
    """Look at a record that is due; returns it with its next look, what to ask, and whether an operator is called."""
    probes = record.probes + 1 if record.is_unsettled else 0
    looked = replace(record, probes=probes)
    looked = replace(looked, look_us=_next_look_us(looked, now_us, watch))
    query = Query(record.client_order_id, _why(record))
    if probes != watch.probes_max:
        return looked, query, None
    differed = f"{_why(record)}: unknown outcome after {probes} probes"
    return looked, query, Note(record.client_order_id, differed, "asking on, slowly; an operator must look")


def _why(record: OrderRecord) -> str:
    if record.misses_trades:
        return "trades are missing"
    return f"{record.state.value} at the time of looking"


def _next_look_us(record: OrderRecord, now_us: int, watch: Watch) -> int:
    if not record.is_unsettled:
        return now_us + (watch.forget_after_us if record.is_over else watch.working_us)
    if record.probes >= watch.probes_max:
        return now_us + watch.slow_us
    is_silent = record.state in {OrderState.SUBMITTING, OrderState.CANCELLING} and not record.misses_trades
    first_us = watch.silent_us if is_silent else watch.unknown_us
    look_us = now_us + min(first_us << record.probes, watch.delay_us_max)
    # From this moment on, absence is proof; before it, it is none.
    proof_us = record.approval.expires_us + watch.receive_window_us
    if not record.acknowledged and now_us < proof_us < look_us:
        return proof_us
    return look_us
