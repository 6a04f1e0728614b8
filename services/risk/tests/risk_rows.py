"""Rows of the gates' tables: arrange a desk, ask, and expect exactly these reasons.

A row may say which gate it is about and on which side of that gate's limit it stands. Such a row also checks what the
gate itself measured, and ``test_risk_gates_pipeline.py`` asks that no gate of the pipeline goes without its rows.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from risk_words import check_words

from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Outcome
from tollgate_risk.core.case import Gate, open_case
from tollgate_risk.core.gates import SUBMIT_GATES

ID = "tg" + "a" * 30
OTHER_ID = "tg" + "b" * 30

# Which layers of the taxonomy a module of gates speaks for, where its name is another.
_LAYERS = {
    "arming": ("gate",),
    "intents": ("intent",),
    "instruments": ("universe", "instrument"),
    "market": ("data", "price"),
    "limits": ("limit",),
}


class Edge(Enum):
    """Where a row stands to the gate's limit."""

    AT = "at"
    """What is seen is the limit itself."""
    UNDER = "under"
    """One step on the good side."""
    OVER = "over"
    """One step too far."""
    KEPT = "kept"
    """Of a gate without a scale: the rule is kept."""
    REFUSED = "refused"
    """Of a gate without a scale: it is not."""
    SILENT = "silent"
    """The gate has nothing to say of the case."""


@dataclass(frozen=True)
class Row:
    """Arrange a desk, ask, and expect exactly these reasons."""

    name: str
    expected: list[Reason]
    ask: dict[str, Any] = field(default_factory=dict)
    rules: dict[str, Any] = field(default_factory=dict)
    identity: dict[str, Any] = field(default_factory=dict)
    acts: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Calls of the desk's methods before the intent."""
    gate: Reason | None = None
    """The gate that the row is about, by its reason."""
    edge: Edge | None = None
    cash: str = "100000"


ROWS: list[Row] = []
"""Every row of every table that was imported."""


def act(name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    return name, arguments


def table(*rows: Row) -> Any:
    ROWS.extend(rows)
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def at(gate: Reason, name: str, *also: Reason, **arranged: Any) -> Row:
    """Return a row at the limit; ``also`` are all refusals, the gate's own among them where its limit is too much."""
    return Row(name, _in_order(*also), gate=gate, edge=Edge.AT, **arranged)


def under(gate: Reason, name: str, *also: Reason, **arranged: Any) -> Row:
    """Return a row one step on the good side of the limit."""
    return Row(name, _in_order(*also), gate=gate, edge=Edge.UNDER, **arranged)


def over(gate: Reason, name: str, *also: Reason, **arranged: Any) -> Row:
    """Return a row one step beyond the limit."""
    return Row(name, _in_order(gate, *also), gate=gate, edge=Edge.OVER, **arranged)


def kept(gate: Reason, name: str, *also: Reason, **arranged: Any) -> Row:
    """Return a row in which a rule without a scale is kept."""
    return Row(name, _in_order(*also), gate=gate, edge=Edge.KEPT, **arranged)


def refused(gate: Reason, name: str, *also: Reason, **arranged: Any) -> Row:
    """Return a row in which a rule without a scale is not kept."""
    return Row(name, _in_order(gate, *also), gate=gate, edge=Edge.REFUSED, **arranged)


def silent(gate: Reason, name: str, *also: Reason, **arranged: Any) -> Row:
    """Return a row of which the gate says nothing."""
    return Row(name, _in_order(*also), gate=gate, edge=Edge.SILENT, **arranged)


def _in_order(*reasons: Reason) -> list[Reason]:
    return [reason for reason in Reason if reason in reasons]


def reason_of(gate: Gate) -> Reason:
    """Return the reason for which a gate refuses: that of its own name, in its module's layer."""
    module = gate.__module__.rpartition(".")[2]
    layers = _LAYERS.get(module, (module,))
    (reason,) = [r for r in Reason if r.value.partition(".")[0] in layers and r.value.endswith(f".{gate.__name__}")]
    return reason


GATES = {reason_of(gate): gate for gate in SUBMIT_GATES}


def check(desk: Any, row: Row) -> None:
    desk.open(row.rules, cash=row.cash, **row.identity)
    for name, arguments in row.acts:
        getattr(desk, name)(**arguments)
    ask = dict(row.ask)
    if "expires_in_us" in ask:
        ask["expires_us"] = desk.now_us + ask.pop("expires_in_us")
    intent = desk.intent(**ask)
    if row.gate is not None:
        check_edge(desk, row, intent)
    decision = desk.decide(intent)
    assert [finding.code for finding in decision.findings] == row.expected
    assert (decision.outcome is Outcome.APPROVED) == (not row.expected)


def check_edge(desk: Any, row: Row, intent: Any) -> None:
    """Compare what the gate itself measures with where the row says that it stands."""
    state = desk.core.state
    state.now_us = max(state.now_us, intent.ts_us)
    measure = GATES[row.gate](open_case(intent, state, state.policy))
    check_words(name_of(row), measure)
    if row.edge is Edge.SILENT:
        assert measure is None
        return
    assert measure is not None
    assert measure.code is row.gate
    assert measure.is_kept == (row.gate not in row.expected)
    if row.edge in {Edge.AT, Edge.UNDER, Edge.OVER}:
        assert (measure.seen == measure.limit) == (row.edge is Edge.AT)


def name_of(row: Row) -> str:
    """Return the name under which the row's words are kept."""
    assert row.gate is not None
    assert row.edge is not None
    return f"{row.gate.value}, {row.edge.value}: {row.name}"


SELL_5 = {"side": "SELL", "quantity": "5"}
HOLD_5 = act("hold", quantity="5")
