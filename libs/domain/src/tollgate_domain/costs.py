"""What trading costs: the one model of fees, spread and slippage, for everybody who reckons with a cost.

The law of this module: a cost is in quote currency, above zero where we pay and below zero where we are paid, and it
is exact. The model never rounds; a venue does, each in its own way, and the model says how far that may lead.

What a trade costs against the mid of the market at its decision has three parts::

    fee         value x the rate of the tier, maker or taker
    spread      value x the half-spread, of what takes
    slippage    value x the slippage, of what takes

A venue lowers its fees in tiers, by what an account has traded in thirty days. Which tier applies follows from that
volume where it is known whole, as it is to the simulated exchange; elsewhere from the rates that the venue states for
the account: the cheapest tier that is below them in neither rate, so that nobody reckons with less than was stated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tollgate_contracts.config import canonical_json, config_hash
from tollgate_contracts.envelope import Identifier, Symbol
from tollgate_contracts.execution import Liquidity
from tollgate_contracts.money import EXACT, ZERO, Amount, NonNegative, is_multiple, plain

DAY_US = 86_400_000_000
VOLUME_DAYS = 30
"""Venues look back as far as this when they choose a tier."""
# Six places hold every rate that a venue has published, and keep any product with an amount within the exact context.
RATE_STEP_BPS = Decimal("0.000001")
_BPS = Decimal("0.0001")
# A fee of a tenth of the value is a misplaced point.
_RATE_BPS_MAX = 1_000


def _has_six_places(rate: Decimal) -> Decimal:
    if not is_multiple(rate, RATE_STEP_BPS):
        raise ValueError("at most six decimal places are expected")
    return rate


SignedRate = Annotated[Amount, Field(ge=-_RATE_BPS_MAX, le=_RATE_BPS_MAX), AfterValidator(_has_six_places)]
Rate = Annotated[NonNegative, Field(le=_RATE_BPS_MAX), AfterValidator(_has_six_places)]


class _Part(BaseModel):
    # Not strict, because the environment brings numbers as text.
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeeTier(_Part):
    """What a venue charges an account that has traded so much."""

    volume_from: NonNegative
    """The tier applies from this volume of the last 30 days on, in quote currency."""
    maker_bps: SignedRate
    """Of a trade's value; below zero is a rebate."""
    taker_bps: Rate
    """Of a trade's value."""

    def rate_bps(self, liquidity: Liquidity) -> Decimal:
        """Return the rate of a trade that has made or taken liquidity, in basis points of its value."""
        return self.maker_bps if liquidity is Liquidity.MAKER else self.taker_bps

    def fee(self, value: Decimal, liquidity: Liquidity) -> Decimal:
        """Return the fee on ``value``, exactly; below zero for a rebate."""
        return _part_of(value, self.rate_bps(liquidity))


def _rise_with_volume(tiers: tuple[FeeTier, ...]) -> tuple[FeeTier, ...]:
    if tiers[0].volume_from:
        raise ValueError("the first tier applies from a volume of 0 on")
    for tier in tiers:
        if tier.maker_bps > tier.taker_bps:
            raise ValueError(f"from {plain(tier.volume_from)} on, making costs more than taking")
    for before, after in pairwise(tiers):
        if after.volume_from <= before.volume_from:
            raise ValueError("volume_from must rise from one tier to the next")
        if after.maker_bps > before.maker_bps or after.taker_bps > before.taker_bps:
            raise ValueError(f"from {plain(after.volume_from)} on, a fee rises with the volume")
    return tiers


FeeTiers = Annotated[tuple[FeeTier, ...], Field(min_length=1, max_length=32), AfterValidator(_rise_with_volume)]
"""By volume, which rises; no fee does."""


class MarketTier(_Part):
    """Symbols that are alike in what it costs to take their liquidity."""

    name: Identifier
    """Stands in reports."""
    symbols: Annotated[tuple[Symbol, ...], Field(max_length=64)] = ()
    """Of the last tier none: it is that of all which no tier names."""
    half_spread_bps: Rate
    """From the mid to the best price, of the value."""
    slippage_bps: Rate
    """From the best price to the price paid, of the value."""


class CostModel(_Part):
    """What trading costs at the desk's venue."""

    fee_tiers: FeeTiers = (
        FeeTier(volume_from=Decimal(0), maker_bps=Decimal(10), taker_bps=Decimal(20)),
        FeeTier(volume_from=Decimal(10_000_000), maker_bps=Decimal(8), taker_bps=Decimal(16)),
        FeeTier(volume_from=Decimal(100_000_000), maker_bps=Decimal(2), taker_bps=Decimal(8)),
        FeeTier(volume_from=Decimal(1_000_000_000), maker_bps=Decimal("-0.5"), taker_bps=Decimal(4)),
    )
    """What the venue charges, by the volume of 30 days."""
    fee_dust: NonNegative = Decimal("0.0001")
    """By so much, in quote currency, a fee may differ from the model's, as by the venue's rounding."""
    fee_tolerance_bps: Rate = Decimal("0.1")
    """And by so much of the trade's value, as by the rate at which a fee in another currency is converted."""
    markets: Annotated[tuple[MarketTier, ...], Field(min_length=1, max_length=16)] = (
        MarketTier(name="all", half_spread_bps=Decimal("0.5"), slippage_bps=Decimal("0.5")),
    )
    """What taking costs besides the fee, by tier of symbols."""

    @model_validator(mode="after")
    def _every_symbol_has_one_tier(self) -> "CostModel":
        named = [symbol for tier in self.markets for symbol in tier.symbols]
        twice = sorted({symbol for symbol in named if named.count(symbol) > 1})
        if twice:
            raise ValueError(f"markets: {', '.join(twice)} must be in one tier only")
        *others, last = self.markets
        if last.symbols or not all(tier.symbols for tier in others):
            raise ValueError("markets: every tier but the last must name symbols, and the last none")
        return self

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the model's canonical JSON: the same for the same model, wherever it is made."""
        return _fingerprint(self)

    def tier_stated(self, maker_bps: Decimal, taker_bps: Decimal) -> FeeTier:
        """Return the cheapest tier that is not below what the venue states in either rate; the first where all are."""
        for tier in reversed(self.fee_tiers):
            if tier.maker_bps >= maker_bps and tier.taker_bps >= taker_bps:
                return tier
        return self.fee_tiers[0]

    def fee_bps_at_most(self, maker_bps: Decimal, taker_bps: Decimal) -> Decimal:
        """Return the most that a trade is charged, in basis points of the value: never less than the venue states."""
        tier = self.tier_stated(maker_bps, taker_bps)
        # No tier's maker pays more than its taker, but what a venue states may be otherwise.
        return max(tier.taker_bps, maker_bps, taker_bps)

    def market_of(self, symbol: str) -> MarketTier:
        """Return the tier of a symbol."""
        return next((tier for tier in self.markets if symbol in tier.symbols), self.markets[-1])

    def taking_bps(self, symbol: str) -> Decimal:
        """Return what taking costs against the mid besides the fee, in basis points of the value."""
        market = self.market_of(symbol)
        return market.half_spread_bps + market.slippage_bps

    def slippage(self, symbol: str, value: Decimal, liquidity: Liquidity) -> Decimal:
        """Return what a trade of ``value`` costs against the mid besides its fee: nothing where it makes liquidity."""
        return ZERO if liquidity is Liquidity.MAKER else _part_of(value, self.taking_bps(symbol))

    def tolerates(self, charged: Decimal, expected: Decimal, value: Decimal) -> bool:
        """Say whether a fee differs from the model's by no more than roundings do; all in quote currency."""
        return abs(charged - expected) <= self.fee_dust + _part_of(value, self.fee_tolerance_bps)


@lru_cache(maxsize=8)
def _fingerprint(model: CostModel) -> str:
    # Each statement of the books carries it, and the model changes with a restart at most.
    return config_hash(canonical_json(model.model_dump(mode="json")))


def _part_of(value: Decimal, rate_bps: Decimal) -> Decimal:
    return EXACT.multiply(EXACT.multiply(value, rate_bps), _BPS)


def tier_at(tiers: Sequence[FeeTier], volume: Decimal) -> FeeTier:
    """Return the tier of a volume in quote currency; ``tiers`` rise from 0."""
    return next((tier for tier in reversed(tiers) if tier.volume_from <= volume), tiers[0])


@dataclass(slots=True)
class TradedVolume:
    """What an account has traded by UTC day, in quote currency; days that no tier looks back to are forgotten."""

    by_day: dict[int, Decimal] = field(default_factory=dict)
    """By the number of the day since the Unix epoch."""

    def add(self, at_us: int, value: Decimal) -> None:
        """Count a trade of ``value``, or, below zero, take one back."""
        day = at_us // DAY_US
        self.by_day[day] = self.by_day.get(day, ZERO) + value
        oldest = max(self.by_day) - VOLUME_DAYS
        for old in [each for each in self.by_day if each < oldest]:
            del self.by_day[old]

    def before(self, now_us: int) -> Decimal:
        """Return the volume of the 30 whole days before today, so that a tier changes at midnight and only then."""
        today = now_us // DAY_US
        window = range(today - VOLUME_DAYS, today)
        return sum((value for day, value in self.by_day.items() if day in window), ZERO)
