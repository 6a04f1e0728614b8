"""Which fees are in force: those of the tier that the account has reached by what it has traded.

A day's trades count from the next midnight on, so a tier changes then and at no other time.
"""

from tollgate_domain.costs import DAY_US, FeeTier, FeeTiers, TradedVolume, tier_at
from tollgate_simvenue.core.model import Fees
from tollgate_simvenue.core.units import FEE_RATE_PER_BPS, notional_value

_NO_DAY = -1
IN_QUOTE = "quote"
IN_BASE = "base"
"""A buy pays in what it has bought, a sale in what it is sold for."""


class FeeSchedule:
    """The tiers, and the account's way through them; ``traded`` is what it traded before this start."""

    def __init__(self, tiers: FeeTiers, traded: TradedVolume | None = None, currency: str = IN_QUOTE) -> None:
        self.currency = currency
        """In which a trade is charged: ``IN_QUOTE``, ``IN_BASE``, or a currency by its name."""
        self._tiers = tiers
        self._traded = traded or TradedVolume()
        self._in_force = _whole(tiers[0])
        self._of_day = _NO_DAY
        self.dearest_rate = self._in_force.taker_rate
        """The most that any trade can cost, whatever the tier is by then: no fee rises with the volume."""

    def at(self, now_us: int) -> Fees:
        """Return the fees in force."""
        day = now_us // DAY_US
        if day != self._of_day:
            self._in_force = _whole(tier_at(self._tiers, self._traded.before(now_us)))
            self._of_day = day
        return self._in_force

    def note_trade(self, at_us: int, notional_atoms: int) -> None:
        """Count a trade; below zero is one that is taken back."""
        self._traded.add(at_us, notional_value(notional_atoms))
        if at_us // DAY_US != self._of_day:
            self._of_day = _NO_DAY


def _whole(tier: FeeTier) -> Fees:
    return Fees(int(tier.maker_bps * FEE_RATE_PER_BPS), int(tier.taker_bps * FEE_RATE_PER_BPS))
