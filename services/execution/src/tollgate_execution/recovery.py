"""What a process that has just gone live must do about the orders that the one before it left open.

Pure: what the core holds and what the journal holds, in; what to do, out. The journal is what is believed about
sending: an order without a row was never sent, an order with one may have been.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tollgate_contracts.execution import OrderState
from tollgate_execution.core import Submit
from tollgate_execution.core.record import OrderRecord, text_hash
from tollgate_execution.core.shelf import Shelf

_MAY_BE_UNSENT = frozenset({OrderState.SUBMITTING, OrderState.CANCELLING})


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, order by order."""

    submit: tuple[Submit, ...]
    """Never sent, and the approval holds: send now."""
    never_sent: tuple[str, ...]
    """Never sent, and too late: say so."""
    settle: tuple[OrderRecord, ...]
    """The core knows what became of it and the journal does not: write it down."""
    ask: tuple[str, ...]
    """May have been sent, or its journal row is open: look it up."""


def plan(orders: Shelf, journaled: Collection[str], open_rows: Iterable[str], now_us: int) -> Plan:
    """Say what to do; ``journaled`` are the ids that have a row, ``open_rows`` those whose row is not settled."""
    submit: list[Submit] = []
    never_sent: list[str] = []
    settle: list[OrderRecord] = []
    ask: dict[str, None] = {}
    for record in orders.active():
        unsent = not record.acknowledged and record.client_order_id not in journaled
        if not unsent or record.state not in _MAY_BE_UNSENT:
            # An order that is simply working may have traded while nobody listened.
            ask[record.client_order_id] = None
        elif record.state is OrderState.SUBMITTING and now_us < record.approval.expires_us:
            submit.append(Submit(record.decision_id, record.approval, record.signed, text_hash(record.signed.text)))
        else:
            never_sent.append(record.client_order_id)
    for client_order_id in open_rows:
        known = orders.get(client_order_id)
        if known is not None and known.send_is_settled:
            settle.append(known)
        else:
            ask[client_order_id] = None
    return Plan(tuple(submit), tuple(never_sent), tuple(settle), tuple(ask))
