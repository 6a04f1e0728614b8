"""Rows of the gates' tables: arrange a desk, ask, and expect exactly these reasons."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Outcome

ID = "tg" + "a" * 30
OTHER_ID = "tg" + "b" * 30


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


def act(name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    return name, arguments


def table(*rows: Row) -> Any:
    return pytest.mark.parametrize("row", rows, ids=[row.name for row in rows])


def check(desk: Any, row: Row) -> None:
    desk.open(row.rules, **row.identity)
    for name, arguments in row.acts:
        getattr(desk, name)(**arguments)
    ask = dict(row.ask)
    if "expires_in_us" in ask:
        ask["expires_us"] = desk.now_us + ask.pop("expires_in_us")
    decision = desk.ask(**ask)
    assert [finding.code for finding in decision.findings] == row.expected
    assert (decision.outcome is Outcome.APPROVED) == (not row.expected)


SELL_5 = {"side": "SELL", "quantity": "5"}
HOLD_5 = act("hold", quantity="5")
