"""Write the diagram and the tables of ``docs/orders.md`` from the order state machine's own tables.

Run it with ``uv run python -m tests.docs.generate_orders``.
"""

import ast
import inspect
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tollgate_contracts.execution import TERMINAL_STATES, OrderState, ReportSource, ReportStatus
from tollgate_execution.core.orders import TABLES, Effect, Move, effect_of

PAGE = Path(__file__).parents[2] / "docs" / "orders.md"
SOURCES = {
    ReportSource.SUBMIT: "The answer to a submit",
    ReportSource.CANCEL: "The answer to a cancel",
    ReportSource.QUERY: "A look-up, by id or in a list of orders",
    ReportSource.STREAM: "A frame of the user stream, and the list of fills",
    ReportSource.JOURNAL: "Our own journal",
    ReportSource.OPERATOR: "An operator",
}
# Where a move may lead, for the diagram.
_LEADS = {
    Move.WORK: (OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED),
    Move.FILL: (OrderState.FILLED,),
    Move.CANCEL: (OrderState.CANCELLED,),
    Move.EXPIRE: (OrderState.EXPIRED,),
    Move.REJECT: (OrderState.REJECTED, OrderState.CANCELLED),
    Move.UNSENT: (OrderState.REJECTED,),
    Move.DOUBT: (OrderState.UNKNOWN,),
    Move.STILL_OPEN: (OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED),
    Move.RESUME: (OrderState.SUBMITTING, OrderState.ACKNOWLEDGED, OrderState.PARTIALLY_FILLED),
    Move.RESOLVE: (OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED),
}
# What has traded stands: a venue that rejects the rest has cancelled it.
_NEVER = (OrderState.PARTIALLY_FILLED, OrderState.REJECTED)
# What no report does: approvals, the clock, and the proof of absence.
_OURS = (
    "[*] --> PLANNED: approved",
    "PLANNED --> SUBMITTING: at once, or once what it waits for is gone",
    "PLANNED --> CANCELLED: nothing left, or a cancel",
    "PLANNED --> EXPIRED: waited too long",
    "PLANNED --> REJECTED: no fresh quote",
    "SUBMITTING --> SUBMITTING: post-only crossed, next attempt",
    "SUBMITTING --> CANCELLING: a cancel, or its time is over",
    "ACKNOWLEDGED --> CANCELLING: a cancel, or its time is over",
    "PARTIALLY_FILLED --> CANCELLING: a cancel, or its time is over",
    "UNKNOWN --> SUBMITTING: shown absent, same id",
    "SUBMITTING --> EXPIRED: shown absent, too late",
    "UNKNOWN --> EXPIRED: shown absent, too late",
    "ACKNOWLEDGED --> UNKNOWN: denied by the venue",
    "PARTIALLY_FILLED --> UNKNOWN: denied by the venue",
    "CANCELLING --> UNKNOWN: denied by the venue",
    "PARTIALLY_FILLED --> ACKNOWLEDGED: its trades were taken back",
)


def diagram() -> str:
    """Return the states and what leads from one to another, as Mermaid draws it."""
    arrows: dict[tuple[OrderState, OrderState], None] = {}
    for table in TABLES.values():
        for state, row in table.items():
            for move in row.values():
                leads = [after for after in _LEADS.get(move, ()) if after is not state]
                arrows.update({(state, after): None for after in leads if (state, after) != _NEVER})
    order = list(OrderState)
    lines = [f"    {line}" for line in _OURS]
    for before, after in sorted(arrows, key=lambda pair: (order.index(pair[0]), order.index(pair[1]))):
        lines.append(f"    {before.value} --> {after.value}")
    lines += [f"    {state.value} --> [*]" for state in order if state in TERMINAL_STATES]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def moves() -> str:
    """Return what each move is."""
    meanings = _docstrings()
    words = {Effect.APPLY: "applied", Effect.IGNORE: "ignored", Effect.IMPOSSIBLE: "impossible"}
    lines = ["| move | | what it does |", "|---|---|---|"]
    lines += [f"| {move.value} | {words[effect_of(move)]} | {' '.join(meanings[move.name].split())} |" for move in Move]
    return "\n".join(lines)


def _docstrings() -> dict[str, str]:
    """Return the string below each member of ``Move``, by the member's name."""
    (body,) = (node.body for node in ast.walk(ast.parse(inspect.getsource(Move))) if isinstance(node, ast.ClassDef))
    found: dict[str, str] = {}
    for member, below in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[ast.unparse(member.targets[0])] = str(below.value.value)
    return found


def cells() -> str:
    """Return one table for each way in which we hear of an order: a row a state, a column a status."""
    assert TABLES[ReportSource.STREAM] is TABLES[ReportSource.FILLS]
    parts = []
    for source, title in SOURCES.items():
        lines = [
            f"**{title}**\n",
            "| | " + " | ".join(status.value for status in ReportStatus) + " |",
            "|---|" + "---|" * len(ReportStatus),
        ]
        for state in OrderState:
            row = TABLES[source][state]
            lines.append(f"| {state.value} | " + " | ".join(_cell(row[status]) for status in ReportStatus) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(move: Move) -> str:
    return {Move.STAY: "·", Move.IMPOSSIBLE: "✗"}.get(move, move.value)


PARTS: dict[str, Callable[[], str]] = {"diagram": diagram, "moves": moves, "cells": cells}


def filled(page: str) -> str:
    """Return the page with each part in its place."""
    for name, part in PARTS.items():
        place = re.compile(rf"(<!-- {name}: generated[^\n]*-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        page = place.sub(lambda found, part=part: f"{found[1]}\n{part()}\n\n{found[2]}", page)
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text()))
