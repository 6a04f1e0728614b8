"""When to enter and when to leave: pure judgements on one symbol."""

from decimal import Decimal
from enum import StrEnum

from tollgate_domain.holdings import Holding
from tollgate_domain.instruments import notional
from tollgate_strategy.core.parameters import Knobs, Tier

_BPS = Decimal(10_000)
_MS = 1_000


class Signal(StrEnum):
    """Why an intent was written."""

    MOMENTUM = "momentum"
    """The fast average is far enough above the slow one."""
    STOP_LOSS = "stop_loss"
    TAKE_PROFIT = "take_profit"
    MAX_HOLD = "max_hold"
    REVERSAL = "reversal"
    """The fast average has fallen below the slow one."""


def entry_tier(knobs: Knobs, spread_bps: Decimal) -> Tier | None:
    """Return the strongest tier that the signal reaches, none below the entry threshold."""
    above = spread_bps - knobs.entry_bps
    reached = [tier for tier in knobs.tiers if above >= tier.above_entry_bps]
    return reached[-1] if reached else None


def exit_signal(knobs: Knobs, holding: Holding, bid: Decimal, spread_bps: Decimal, held_us: int) -> Signal | None:
    """Return the first reason to leave: what protects comes before what is hoped for."""
    gain = (notional(bid, holding.quantity) - holding.cost) * _BPS
    if gain <= -knobs.stop_loss_bps * holding.cost:
        return Signal.STOP_LOSS
    if gain >= knobs.take_profit_bps * holding.cost:
        return Signal.TAKE_PROFIT
    if held_us >= knobs.max_hold_ms * _MS:
        return Signal.MAX_HOLD
    if spread_bps <= -knobs.exit_bps:
        return Signal.REVERSAL
    return None
