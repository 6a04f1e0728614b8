"""What `tollgate explain` answers, as values: the text shows them, and JSON is them."""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from tollgate_contracts.money import Exact
from tollgate_contracts.reasons import Finding
from tollgate_contracts.strategy import Side
from tollgate_research.explain_result import Result, Trade


@dataclass(frozen=True, slots=True)
class Shape:
    """How the order was approved, or else wished for."""

    side: Side
    order_type: str
    quantity: Exact
    price_bound: Exact | None
    """No buy pays more, no sell takes less; null for a market order that was not approved."""
    time_in_force: str
    post_only: bool
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class What:
    """The order itself."""

    client_order_id: str
    symbol: str
    venue_order_id: str | None
    shape: Shape | None
    """Null where the tape does not say."""
    scope: str | None
    """Of the approval: TRADE, or FLATTEN where the kill switch closes a position."""
    state: str
    """The order's last state, or what became of it without one."""


@dataclass(frozen=True, slots=True)
class Sizing:
    """One step from the wish to the size."""

    step: str
    quantity: Exact


@dataclass(frozen=True, slots=True)
class Why:
    """Who wanted the order, and why."""

    kind: str
    """intent, kill_switch, or unknown."""
    id: str | None
    strategy: str | None = None
    purpose: str | None = None
    signal: str | None = None
    regime: str | None = None
    strength_bps: Exact | None = None
    confidence: Exact | None = None
    tier: str | None = None
    expires_us: int | None = None
    sizing: tuple[Sizing, ...] = ()
    actor: str | None = None
    reason: str | None = None
    level: str | None = None
    epoch: int | None = None
    engaged_us: int | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """The market when the order was judged, and where its price stood; distances are in the order's disfavour."""

    bid: Exact
    ask: Exact
    mark: Exact
    age_us: int
    collar_bps: Exact | None
    collar_low: Exact | None
    collar_high: Exact | None
    bound_from_mark_bps: Exact | None
    bound_from_touch_bps: Exact | None
    """Touch: the best price on the other side."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The policy in force; the later fields are null for one that could not be read."""

    hash: str
    sequence: int
    text: str | None
    """Only where it was asked for."""
    revision: int | None = None
    tightens: str | None = None
    environment: str | None = None
    venue: str | None = None
    account: str | None = None
    quote_currency: str | None = None


@dataclass(frozen=True, slots=True)
class GateLine:
    """What one gate saw."""

    code: str
    limit: str
    seen: str
    unit: str
    kept: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What else was in force."""

    mode: str | None
    mode_why: str
    """In the words of the last change of mode."""
    kill_engaged: bool
    kill_level: str
    kill_epoch: int
    kill_actor: str
    kill_reason: str
    kill_since_us: int
    """Zero before the switch was ever touched."""
    feed: str | None
    fault: str | None
    held: Exact
    """Of the symbol, before the order."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What risk was asked, what its gates saw, and what it answered."""

    asked_sequence: int
    asked_us: int
    gates: tuple[GateLine, ...]
    decision_id: str | None = None
    """Null where there is no decision."""
    outcome: str | None = None
    findings: tuple[Finding, ...] = ()
    approval_expires_us: int | None = None
    decided_after_us: int | None = None
    """Null where the tape ends before the decision."""
    as_computed: bool = True
    """Whether the gate, run again over the tape, answers the same."""


@dataclass(frozen=True, slots=True)
class Line:
    """One later record; ``after_us`` is since risk was asked, by the broker's clock."""

    sequence: int
    after_us: int
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Answer:
    """All that the tape tells of one order."""

    desk: str
    records: int
    what: What
    why: Why
    price: Price | None
    rules: Rules | None
    standing: Standing
    verdict: Verdict
    cancels: tuple[tuple[Why, Verdict], ...]
    execution: tuple[Line, ...]
    venue: tuple[Line, ...]
    trades: tuple[Trade, ...]
    result: Result
    dropped: int
    """Further records about the order that are not shown."""


_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return the answer as JSON-ready values; decimals are plain text."""
    content: dict[str, Any] = _ANSWER.dump_python(answer, mode="json")
    return content
