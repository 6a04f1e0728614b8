"""What a booked fill leaves behind for its bust: what it has realized, and what a holding has borne of its fee.

Whoever books fills keeps one trace of each of the newest that have closed a part or paid in another currency. All of
them by this one rule, so that what one still knows no other has forgotten.
"""

from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import Exact, plain
from tollgate_domain.fees import Share, charge_of

# A bust comes soon or never.
REMEMBERED_MAX = 256


class Trace(NamedTuple):
    """Of one fill."""

    trade: str
    """Its symbol and the venue's id."""
    realized: Exact | None
    """Before fees; none of a fill that has closed nothing."""
    share: Share
    """Of its fee."""


def name_of(message: Fill | Bust) -> str:
    """Return the name under which a fill is remembered, by itself or by its bust."""
    return f"{message.symbol} {message.trade.trade_id}"


def keep_trace(traces: list[Trace], fill: Fill, closed: Decimal, realized: Decimal, share: Share) -> None:
    """Remember a fill that has closed so much, zero for nothing; the oldest makes room."""
    if closed or charge_of(fill) is not None:
        traces.append(Trace(name_of(fill), realized if closed else None, share))
        del traces[:-REMEMBERED_MAX]


def find_trace(traces: list[Trace], bust: Bust) -> Trace | None:
    """Return the trace of the fill that is taken back; none where it is not known any more."""
    name = name_of(bust)
    return next((trace for trace in traces if trace.trade == name), None)


def drop_trace(traces: list[Trace], bust: Bust) -> None:
    """Forget a fill that was taken back."""
    name = name_of(bust)
    traces[:] = [trace for trace in traces if trace.trade != name]


def traces_to_json(traces: list[Trace]) -> list[list[str | None]]:
    """Return the traces as plain strings."""
    return [
        [trace.trade, None if trace.realized is None else plain(trace.realized), *map(plain, trace.share)]
        for trace in traces
    ]


def traces_from_json(state: list[list[str]]) -> list[Trace]:
    """Take back what ``traces_to_json`` returned."""
    return [
        Trace(trade, None if realized is None else Decimal(realized), Share(*map(Decimal, share)))
        for trade, realized, *share in state
    ]
