"""What the strategy is tuned by; the core takes it from its own ``config`` message and from nowhere else."""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tollgate_contracts.envelope import Currency, Desk, Identifier, Symbol
from tollgate_contracts.money import NonNegative, Quantity

_DAY_MS = 86_400_000
PositiveMs = Annotated[int, Field(ge=1, le=_DAY_MS)]
Ms = Annotated[int, Field(ge=0, le=_DAY_MS)]
# A signal of ten thousand basis points is a price that has doubled within the averages' memory.
Bps = Annotated[NonNegative, Field(le=10_000)]


class _Frozen(BaseModel):
    # Not strict, because the environment brings numbers as text; the core reads its message strictly.
    model_config = ConfigDict(frozen=True, extra="forbid")


class Tier(_Frozen):
    """How much is bought at which strength of the signal."""

    name: Identifier
    """Stands in the intent's rationale."""
    above_entry_bps: Bps
    """The tier applies from this far above the entry threshold."""
    multiple: Annotated[Quantity, Field(le=100)]
    """Of the target notional."""


class Knobs(_Frozen):
    """What an operator tunes; times in milliseconds of tape time, notionals in quote currency."""

    name: Identifier = "momentum"
    """Stands in every intent, and in every client order id."""
    fast_ms: PositiveMs = 1_000
    """Time constant of the fast average."""
    slow_ms: PositiveMs = 5_000
    """Time constant of the slow average."""
    warmup_ms: Ms = 1_500
    """No entry until the averages are this old."""
    entry_bps: Bps = Decimal(2)
    """Enter when the fast average is this far above the slow one."""
    exit_bps: Bps = Decimal(1)
    """Leave when the fast average is this far below the slow one."""
    stop_loss_bps: Bps = Decimal(30)
    """Leave when the bid is this far below the average cost."""
    take_profit_bps: Bps = Decimal(60)
    """Leave when the bid is this far above the average cost."""
    max_hold_ms: PositiveMs = 30_000
    """Leave when the position is this old."""
    cooldown_ms: Ms = 2_000
    """After a position is closed, before the next entry in the symbol."""
    rejection_backoff_ms: PositiveMs = 1_000
    """After a rejection or refusal, before the next intent in the symbol."""
    intent_life_ms: PositiveMs = 2_000
    """How long risk and execution may act upon an intent."""
    slippage_bps: Annotated[NonNegative, Field(le=1_000)] = Decimal(10)
    """How far beyond the touch an order may trade."""
    protective_stop_bps: Annotated[Quantity, Field(le=5_000)] | None = None
    """What an entry fills is protected by a stop at the venue this far below the entry's price; null for none."""
    protective_limit_bps: Annotated[NonNegative, Field(le=1_000)] = Decimal(50)
    """How far below its trigger the stop may sell."""
    target_notional: Quantity = Decimal(1_000)
    """What an entry buys before its tier's multiple."""
    order_notional_max: Quantity = Decimal(4_000)
    """A larger position is sold in slices of this size; keep it at or below risk's cap for one order."""
    cash_share_max: Annotated[Quantity, Field(le=1)] = Decimal("0.2")
    """Of the cash not promised to open buys, the most that one entry takes."""
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=8)] = (
        Tier(name="probe", above_entry_bps=Decimal(0), multiple=Decimal("0.5")),
        Tier(name="full", above_entry_bps=Decimal(2), multiple=Decimal(1)),
        Tier(name="strong", above_entry_bps=Decimal(6), multiple=Decimal(2)),
    )
    """In rising order of strength; the first begins at the entry threshold."""

    @model_validator(mode="after")
    def _averages_differ(self) -> Self:
        if self.fast_ms >= self.slow_ms:
            raise ValueError(f"fast_ms is {self.fast_ms}, expected less than slow_ms, which is {self.slow_ms}")
        return self

    @model_validator(mode="after")
    def _tiers_rise_from_the_threshold(self) -> Self:
        starts = [tier.above_entry_bps for tier in self.tiers]
        if starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError("tiers must begin with above_entry_bps 0 and rise from one to the next")
        return self

    @model_validator(mode="after")
    def _leaves_before_it_would_enter(self) -> Self:
        if self.entry_bps + self.exit_bps == 0:
            raise ValueError("entry_bps and exit_bps are both 0, expected one above 0: it would leave as it enters")
        return self


class Parameters(_Frozen):
    """The text of the strategy's ``config`` message: whom it trades for, and its knobs."""

    desk: Desk
    venue: Identifier
    account: Identifier
    quote_currency: Currency
    symbols: Annotated[tuple[Symbol, ...], Field(min_length=1, max_length=64)]
    """Where it may enter; what is held elsewhere it only leaves."""
    knobs: Knobs
