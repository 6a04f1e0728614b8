"""When orders were approved, and how many: what the pace gates and the counts per cycle judge by."""

from dataclasses import dataclass, field
from decimal import Decimal

from tollgate_contracts.money import ZERO, Exact
from tollgate_risk.core.policy import Pace
from tollgate_risk.core.windows import RollingCount

_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
# Tokens are counted in millionths, so that a bucket fills by whole numbers with each microsecond.
_TOKEN = _SECOND_US
# Of orders that may be repeated by mistake only the last ones matter; the rates bound how many those can be.
_REMEMBERED_MAX = 256


@dataclass(slots=True)
class Pacing:
    """The approved orders' times and counts; what makes a position smaller is counted apart."""

    cycle_id: int = 0
    cycle_orders: int = 0
    cycle_reducing_orders: int = 0
    cycle_notional: Exact = ZERO
    """Of the cycle's orders that are not reducing, in quote currency."""
    last_entry_us: int | None = None
    """When the last order that was not reducing was approved."""
    last_order_us: dict[str, int] = field(default_factory=dict)
    """By symbol, of either kind."""
    last_same_us: dict[str, int] = field(default_factory=dict)
    """When an order of this fingerprint was approved last, in that order; the oldest are forgotten."""
    hour: RollingCount = field(default_factory=lambda: RollingCount(_MINUTE_US, 60))
    day: RollingCount = field(default_factory=lambda: RollingCount(30 * _MINUTE_US, 48))
    bucket: int | None = None
    """Millionths of a token at ``bucket_us``; none before the first order, when the bucket is full."""
    bucket_us: int = 0

    def begin_cycle(self, cycle_id: int) -> None:
        """Start counting the cycle's orders anew."""
        if cycle_id != self.cycle_id:
            self.cycle_id = cycle_id
            self.cycle_orders = 0
            self.cycle_reducing_orders = 0
            self.cycle_notional = ZERO

    def tokens(self, pace: Pace, now_us: int) -> int:
        """Return how many whole tokens the bucket holds now."""
        return self._fill(pace, now_us) // _TOKEN

    def settle(self, pace: Pace, now_us: int) -> None:
        """Take in what was gained under a policy's pace, before another policy comes into force."""
        if self.bucket is not None:
            self.bucket = self._fill(pace, now_us)
            self.bucket_us = now_us

    def _fill(self, pace: Pace, now_us: int) -> int:
        full = pace.burst * _TOKEN
        if self.bucket is None:
            return full
        return min(full, self.bucket + (now_us - self.bucket_us) * pace.rate_per_s)

    def count(self, symbol: str, fingerprint: str, value: Decimal, pace: Pace, now_us: int, *, reducing: bool) -> None:
        """Count an approved order that is worth ``value`` at worst, in quote currency."""
        self.last_order_us[symbol] = now_us
        self.last_same_us.pop(fingerprint, None)
        self.last_same_us[fingerprint] = now_us
        if len(self.last_same_us) > _REMEMBERED_MAX:
            del self.last_same_us[next(iter(self.last_same_us))]
        if reducing:
            self.cycle_reducing_orders += 1
            return
        self.cycle_orders += 1
        self.cycle_notional += value
        self.last_entry_us = now_us
        self.hour.add(now_us)
        self.day.add(now_us)
        self.bucket = max(self._fill(pace, now_us) - _TOKEN, 0)
        self.bucket_us = now_us
