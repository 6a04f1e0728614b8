"""How near a perpetual is to liquidation, and what its funding costs.

Theory. On cross margin the whole account answers for every position, and the venue liquidates when the account's
margin balance no longer covers the maintenance margin of all positions. Let a position of ``Q`` units have the mark
``P`` and the maintenance rate ``m``, and let ``X`` be what the margin balance has above all maintenance margins at
``P``. If the mark moves against it by ``D`` and nothing else moves, the balance falls by ``|Q| D``; the position's own
maintenance margin falls by ``m |Q| D`` for a long and rises by as much for a short. So the account is at its
maintenance margin where::

    D = X / (|Q| (1 - m))  below the mark for a long,    D = X / (|Q| (1 + m))  above it for a short

This is the liquidation price that Binance publishes ("How to calculate liquidation price of USD-margined futures
contracts", cross margin, one-way mode) with one maintenance rate, thus without its tiers' maintenance amounts:
``(WB - TMM + UPNL + cum - side Q EP) / (Q m - side Q)``.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from tollgate_contracts.money import ZERO, divide, round_to_places
from tollgate_domain.portfolio import COST_PLACES

BPS = Decimal(10_000)
_ONE = Decimal(1)
_BPS_PLACES = 4


def liquidation_distance_bps(
    quantity: Decimal, mark: Decimal, maintenance_rate: Decimal, excess: Decimal
) -> Decimal | None:
    """Return how far the mark may move against a position until it is liquidated, in basis points of the mark.

    ``quantity`` is below zero for a short; ``excess`` is the margin balance less the maintenance margin of every
    position, this one at ``mark`` included. Rounded down to four places; zero when there is no excess, none where it
    would take the whole mark: a long is then never liquidated, and a short not before its mark has doubled.
    """
    if excess <= ZERO:
        return ZERO
    lost_per_unit = _ONE - maintenance_rate if quantity > ZERO else _ONE + maintenance_rate
    reach = abs(quantity) * lost_per_unit * mark
    if excess >= reach:
        return None
    return divide(excess * BPS, reach, _BPS_PLACES, ROUND_FLOOR)


def funding_payment(high: Decimal, low: Decimal, rate: Decimal) -> Decimal:
    """Return what a funding payment costs at most, for a position of a value between the two, below zero for a short.

    Longs pay shorts where ``rate`` is above zero; what would be received is no cost and counts as zero. The value is
    rounded up to eighteen places, so that the product with any rate fits the exact context.
    """
    paying = high if rate > ZERO else -low
    return round_to_places(paying, COST_PLACES, ROUND_CEILING) * abs(rate) if paying > ZERO else ZERO
