"""The fault plan as it is written: in the file, and in the body of ``PUT /sim/v1/faults``."""

from decimal import Decimal
from typing import Annotated

from pydantic import Field, model_validator

from tollgate_contracts.envelope import Currency, Symbol
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import Amount, is_multiple, plain
from tollgate_simvenue.core.plan import (
    PER_MILLION,
    Accepts,
    CallKind,
    CancelAnswer,
    FaultPlan,
    FaultType,
    FillPart,
    FrameKind,
    Rule,
    Stream,
    problem,
)
from tollgate_simvenue.core.units import ATOM_PLACES
from tollgate_simvenue.section import Section

# More is not a plan that anyone can follow; each call looks at every rule.
RULES_MAX = 64
# A day: no drill is longer.
_SPAN_MS_MAX = 86_400_000
_ATOM = Decimal(1).scaleb(-ATOM_PLACES)
SpanMs = Annotated[int, Field(ge=0, le=_SPAN_MS_MAX)]
Count = Annotated[int, Field(ge=1)]


class FaultRule(Section):
    """One fault and when it happens; see docs/simulated-venue.md for which numbers each fault takes."""

    fault: FaultType
    """What goes wrong."""
    after_ms: SpanMs = 0
    """From when on, after the plan was put in force."""
    for_ms: Annotated[int, Field(ge=1, le=_SPAN_MS_MAX)] | None = None
    """How long; null is for ever."""
    calls: tuple[CallKind, ...] = ()
    """Which kinds of calls; empty for those that the fault usually concerns."""
    frames: tuple[FrameKind, ...] = ()
    """Which kinds of frames; empty for orders and trades of the account."""
    symbol: Symbol | None = None
    """Only this one; null for every symbol."""
    first: Count = 1
    """The first such call or frame that it happens to."""
    last: Count | None = None
    """The last one; null for no end."""
    per_million: Annotated[int, Field(ge=1, le=PER_MILLION)] | None = None
    """How likely it is from the first to the last; null is always."""
    retry_after_s: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """The header Retry-After; null sends none."""
    calls_max: Count | None = None
    """Of a storm: so many calls are answered with 429, and the next one is banned."""
    ban_ms: SpanMs | None = None
    """How long a ban lasts."""
    accepts: Accepts | None = None
    """Of a server error: which of the calls are carried out all the same."""
    late_ms: SpanMs | None = None
    """How late something is said or seen."""
    cancel_answer: CancelAnswer | None = None
    """What a cancel is answered with before its fill arrives."""
    fills: FillPart | None = None
    """How much of the order's rest that fill is."""
    stream: Stream | None = None
    """Which stream is silent; null is both."""
    skew_ms: Annotated[int, Field(ge=-_SPAN_MS_MAX, le=_SPAN_MS_MAX)] | None = None
    """How far the venue's clock is ahead; below zero it is behind."""
    status: InstrumentStatus | None = None
    """What may be done with the instruments meanwhile."""
    currency: Currency | None = None
    """Whose balance is misstated."""
    amount: Amount | None = None
    """By how much it is misstated, in its currency."""

    @model_validator(mode="after")
    def _numbers_fit_the_fault(self) -> "FaultRule":
        if self.amount is not None and not is_multiple(self.amount, _ATOM):
            raise ValueError(f"amount {plain(self.amount)}: at most {ATOM_PLACES} decimal places are expected")
        wrong = problem(self.rule())
        if wrong is not None:
            raise ValueError(wrong.replace("_us", "_ms"))
        return self

    def rule(self) -> Rule:
        """Return it in the core's units."""
        given = {name: getattr(self, name) for name in type(self).model_fields}
        milliseconds = {name: given.pop(name) for name in tuple(given) if name.endswith("_ms")}
        micros = {f"{name[:-2]}us": None if ms is None else ms * 1_000 for name, ms in milliseconds.items()}
        amount = None if self.amount is None else int(self.amount.scaleb(ATOM_PLACES))
        return Rule(**{**given, **micros, "amount": amount})


class FaultsSection(Section):
    """What goes wrong in the exchange; without rules, nothing does."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    """Of what is left to chance: the same plan and seed give the same calls the same faults."""
    rules: Annotated[tuple[FaultRule, ...], Field(max_length=RULES_MAX)] = ()
    """What goes wrong, and when; of several rules for one call or frame the first decides."""

    def plan(self) -> FaultPlan:
        """Return it in the core's units."""
        return FaultPlan(tuple(rule.rule() for rule in self.rules), self.seed)
