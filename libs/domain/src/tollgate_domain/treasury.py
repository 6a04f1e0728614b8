"""The split of what trading brings between trading capital and the treasury.

The law of this module: a loss comes wholly out of trading capital and leaves a deficit. A profit first makes the
deficit good; of what is above, a share goes to the treasury and is never traded with again. So whatever the results
and their order, exactly::

    trading + treasury == opening + contributions + sum of all results

the treasury never falls, and it never holds more than its share of the highest sum that the results have reached.
No money from outside is ever assumed: a contribution is what the venue states, below zero where it has gone.

What nobody can explain is counted by its sum so far. As long as that is below zero, so much is lost; above zero it is
somebody's, and no profit of ours. So what is missing counts at once, what is there too much never does, and what is
found and lost again, or lost and found again, has come to nothing.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Self

from tollgate_contracts.money import EXACT, ZERO, Exact, round_down
from tollgate_contracts.reconciliation import MovementType

# Quote currencies are kept to eight places by every venue we know; what rounding leaves stays with trading.
TREASURY_STEP = Decimal("0.00000001")
_BPS = Decimal("0.0001")
_TRANSFERS = frozenset({MovementType.DEPOSIT, MovementType.WITHDRAWAL, MovementType.TRANSFER})


@dataclass(frozen=True, slots=True)
class Capital:
    """What the desk owns, in quote currency; open positions count at cost."""

    trading: Exact = ZERO
    """What may be traded with."""
    treasury: Exact = ZERO
    """What may not."""
    deficit: Exact = ZERO
    """What has been lost since the results were highest: to be made good before the treasury gets more."""
    unexplained: Exact = ZERO
    """Sum of what has moved and nobody can explain; above zero is there."""

    def contribute(self, value: Decimal) -> Self:
        """Return the capital with what the desk opened with besides, or what was transferred; neither is a result."""
        return replace(self, trading=self.trading + value)

    def move(
        self, kind: MovementType, value: Decimal, share_bps: Decimal, realized: Decimal = ZERO
    ) -> tuple[Self, Decimal]:
        """Return the capital after so much has moved without an order, and how much of it is neither won nor lost.

        ``realized`` is what a holding has brought by it over its cost, which is a result whatever moved.
        """
        result, transferred = _moved_parts(kind, self.unexplained, value)
        unexplained = self.unexplained + value if kind is MovementType.UNEXPLAINED else self.unexplained
        after = replace(self, unexplained=unexplained).book(realized + result, share_bps)
        return after.contribute(transferred), transferred

    def book(self, result: Decimal, share_bps: Decimal) -> Self:
        """Return the capital after a realized result, net of fees; ``share_bps`` is from 0 to 10,000."""
        if result < ZERO:
            return replace(self, trading=self.trading + result, deficit=self.deficit - result)
        made_good = min(self.deficit, result)
        share = treasury_share(result - made_good, share_bps)
        return replace(
            self,
            trading=self.trading + result - share,
            treasury=self.treasury + share,
            deficit=self.deficit - made_good,
        )


def _moved_parts(kind: MovementType, unexplained: Decimal, value: Decimal) -> tuple[Decimal, Decimal]:
    if kind is MovementType.UNEXPLAINED:
        return unexplained_parts(unexplained, value)
    return (ZERO, value) if kind in _TRANSFERS else (value, ZERO)


def unexplained_parts(before: Decimal, amount: Decimal) -> tuple[Decimal, Decimal]:
    """Split what nobody can explain into a result and a transfer; ``before`` is the sum of all that was so already."""
    after = before + amount
    return min(after, ZERO) - min(before, ZERO), max(after, ZERO) - max(before, ZERO)


def treasury_share(profit: Decimal, share_bps: Decimal) -> Decimal:
    """Return what of ``profit``, from zero up, goes to the treasury, rounded down to ``TREASURY_STEP``."""
    return round_down(EXACT.multiply(EXACT.multiply(profit, share_bps), _BPS), TREASURY_STEP)
