"""Two exponential averages of the mid, decayed by tape time.

An average moves towards each new mid by the weight ``elapsed / (constant + elapsed)``: the exponential decay of a
first-order lag, discretised implicitly, so that it is stable for any gap between quotes and rational in its inputs.
It is computed with 28 significant digits, half-even, in a context of its own: the same quotes give the same digits
on every machine. These are signals and not money; nothing here is booked.
"""

import decimal
from dataclasses import dataclass
from decimal import Decimal

_SIGNAL = decimal.Context(
    prec=28,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.FloatOperation],
)
_BPS = Decimal(10_000)


@dataclass(slots=True)
class Averages:
    """The fast and the slow average of one symbol's mid, in quote currency."""

    fast: Decimal
    slow: Decimal
    since_us: int
    last_us: int

    @classmethod
    def start(cls, mid: Decimal, now_us: int) -> "Averages":
        """Begin with both averages at the first mid."""
        return cls(mid, mid, now_us, now_us)

    def update(self, mid: Decimal, now_us: int, fast_us: int, slow_us: int) -> None:
        """Move both averages towards ``mid``; time that does not advance moves nothing."""
        elapsed_us = now_us - self.last_us
        if elapsed_us <= 0:
            return
        self.last_us = now_us
        self.fast = _toward(self.fast, mid, elapsed_us, fast_us)
        self.slow = _toward(self.slow, mid, elapsed_us, slow_us)

    @property
    def spread_bps(self) -> Decimal:
        """How far the fast average is above the slow one, in basis points of the slow one."""
        return _SIGNAL.divide(_SIGNAL.multiply(_SIGNAL.subtract(self.fast, self.slow), _BPS), self.slow)


def _toward(average: Decimal, mid: Decimal, elapsed_us: int, constant_us: int) -> Decimal:
    moved = _SIGNAL.multiply(_SIGNAL.subtract(mid, average), elapsed_us)
    return _SIGNAL.add(average, _SIGNAL.divide(moved, constant_us + elapsed_us))
