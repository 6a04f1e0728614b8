"""What a process that has just gone live must do about the orders that the one before it left open.

Pure: what the core holds and what the journal holds, in; what to do, out. The journal is what is believed about
sending: an order without a row was never sent, an order with one may have been. A journal that was restored from a
backup is believed in its rows only: what it does not have may have been sent after the backup was made.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tollgate_contracts.execution import OrderState
from tollgate_execution.core import Settle, Submit
from tollgate_execution.core.record import text_hash
from tollgate_execution.core.shelf import Shelf

_MAY_BE_UNSENT = frozenset({OrderState.SUBMITTING, OrderState.CANCELLING})


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, order by order."""

    submit: tuple[Submit, ...]
    """Never sent, and the approval holds: send now."""
    never_sent: tuple[str, ...]
    """Never sent, and too late: say so."""
    settle: tuple[Settle, ...]
    """The core knows what became of it and the journal does not: write it down."""
    ask: tuple[str, ...]
    """May have been sent, or its journal row is open: look it up."""


def plan(
    orders: Shelf, journaled: Collection[str], open_rows: Iterable[str], now_us: int, *, was_restored: bool
) -> Plan:
    """Say what to do; ``journaled`` are the ids that have a row, ``open_rows`` those that may be live by their row.

    All ids are those by which the venue knows the orders. With ``was_restored`` a missing row proves nothing.
    """
    submit: list[Submit] = []
    never_sent: list[str] = []
    ask: dict[str, None] = {}
    for record in orders.active():
        venue_id = record.placing.venue_id
        unsent = not was_restored and not record.acknowledged and venue_id not in journaled
        if record.state is OrderState.PLANNED:
            # It waits for another order's end; the core will ask for it to be sent.
            continue
        if not unsent or record.state not in _MAY_BE_UNSENT:
            # An order that is simply working may have traded while nobody listened.
            ask[venue_id] = None
        elif record.state is OrderState.SUBMITTING and now_us < record.placing.until_us:
            digest = text_hash(record.signed.text)
            submit.append(Submit(record.decision_id, record.approval, record.signed, digest, record.placing))
        else:
            never_sent.append(venue_id)
    settle: list[Settle] = []
    for venue_id in open_rows:
        known = settlement_of(orders, venue_id)
        if known is None:
            ask[venue_id] = None
        else:
            settle.append(known)
    return Plan(tuple(submit), tuple(never_sent), tuple(settle), tuple(ask))


def settlement_of(orders: Shelf, venue_id: str) -> Settle | None:
    """Return what the core knows of the order of a row; none where the venue must be asked."""
    found = orders.find(venue_id)
    if found is None:
        return None
    record, attempt = found
    if attempt < record.placing.attempt:
        # There is another attempt only because the venue had refused this one.
        return Settle(venue_id, OrderState.REJECTED, is_over=True)
    if not record.send_is_settled:
        return None
    return Settle(venue_id, record.state, is_over=record.is_over and not record.late)
