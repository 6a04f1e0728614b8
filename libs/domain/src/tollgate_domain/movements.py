"""Movements of money without an order: what they are worth, and what of them is of a position.

The law of this module: what comes in of a spot symbol's base is bought at the rate that the movement bears, and what
goes out of a holding is sold at it, each with money that has moved for that and never was in cash; so exactly::

    realized by the movement == its value - the cost of what went

which is nothing of what comes in. Without a rate it is worth what it has cost, and what comes in lies beside the
holdings, because nobody can say what that has cost. What lies there goes first, and what is more than is held goes from
there as well. Whether the value is a result or was transferred is said by the movement's type, and not here.
"""

from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.money import ZERO, divide, round_to_places
from tollgate_contracts.reconciliation import Movement
from tollgate_domain.fees import AMOUNT_PLACES
from tollgate_domain.instruments import notional


class Carried(NamedTuple):
    """What a movement has changed: above zero where it came in, below zero where it went."""

    value: Decimal
    """In quote currency; zero of what lies beside the holdings."""
    symbol: str = ""
    """Whose holding it has changed; empty where none."""
    quantity: Decimal = ZERO
    """By how much it has changed that, in base currency."""
    cost: Decimal = ZERO
    """By how much it has changed the holding's cost."""

    @property
    def realized(self) -> Decimal:
        """Return what it has brought: of what went out of a holding, its value over its cost."""
        return self.cost - self.value if self.symbol else ZERO


NOTHING_CARRIED = Carried(ZERO)


def carry_in(symbol: str, movement: Movement) -> Carried:
    """Return what comes in of a symbol's base, at its value; without a rate, that none of it does."""
    if movement.rate is None or not movement.amount:
        return NOTHING_CARRIED
    value = _worth(movement.rate, movement.amount)
    return Carried(value, symbol, movement.amount, value)


def carry_out(symbol: str, movement: Movement, lies: Decimal, held: Decimal, cost: Decimal) -> Carried:
    """Return what goes out of a holding of ``held`` that has cost ``cost``, where so much ``lies`` beside it."""
    quantity = min(max(-movement.amount - max(lies, ZERO), ZERO), held)
    if not quantity:
        return NOTHING_CARRIED
    gone = part_of_cost(held, cost, quantity)
    value = gone if movement.rate is None else _worth(movement.rate, quantity)
    return Carried(-value, symbol, -quantity, -gone)


def part_of_cost(held: Decimal, cost: Decimal, quantity: Decimal) -> Decimal:
    """Return what ``quantity``, at most all that is held, has cost on average."""
    return cost if quantity == held else divide(cost * quantity, held, AMOUNT_PLACES)


def _worth(rate: Decimal, quantity: Decimal) -> Decimal:
    return round_to_places(notional(rate, quantity), AMOUNT_PLACES)
