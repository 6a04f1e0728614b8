"""One holding, at average cost: what a trade makes of it, and what is left of it without one that is taken back.

The law of this module: whatever rounding takes from the cost of a part that is closed it gives to the realized result,
so that cost and realized together are what was paid and received, exactly.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from tollgate_contracts.money import ZERO, divide
from tollgate_contracts.strategy import Side
from tollgate_domain.fees import AMOUNT_PLACES, Share
from tollgate_domain.instruments import notional


@dataclass(frozen=True, slots=True)
class Holding:
    """What is held of one symbol: quantity in base currency, its whole cost in quote currency, fees excluded.

    Both are below zero for a short, which only a perpetual can be.
    """

    quantity: Decimal
    cost: Decimal
    perpetual: bool = False


EMPTY = Holding(ZERO, ZERO)


def signed(side: Side, quantity: Decimal) -> Decimal:
    """Return ``quantity`` as it changes a position: above zero for a buy, below for a sale."""
    return quantity if side is Side.BUY else -quantity


def closed(before: Holding, quantity: Decimal) -> Decimal:
    """Return how much of a position a trade of signed ``quantity`` closes; zero where it opens or enlarges it."""
    return min(abs(before.quantity), abs(quantity)) if before.quantity * quantity < ZERO else ZERO


def trade(before: Holding, quantity: Decimal, price: Decimal) -> tuple[Holding, Decimal]:
    """Return the holding after a trade of signed ``quantity``, and what was realized, before fees.

    A trade may open, enlarge, reduce, close, or close and open the other way.
    """
    held = before.quantity
    if held * quantity >= ZERO:
        return Holding(held + quantity, before.cost + notional(price, quantity), before.perpetual), ZERO
    size = closed(before, quantity)
    # The part of the position that ends, with its own sign, and what is left of the trade to open anew.
    ended = size if held > ZERO else -size
    cost = before.cost if size == abs(held) else divide(before.cost * size, abs(held), AMOUNT_PLACES)
    after = Holding(held + quantity, before.cost - cost + notional(price, quantity + ended), before.perpetual)
    return after, notional(price, ended) - cost


def untrade(before: Holding, quantity: Decimal, price: Decimal, realized: Decimal | None) -> tuple[Holding, Decimal]:
    """Return the holding without a trade of signed ``quantity``, and how much more is then realized, before fees.

    ``realized`` is what the trade itself had brought, none where that is not known any more.
    """
    left, value = before.quantity - quantity, notional(price, quantity)
    had_closed = left * quantity < ZERO
    if not left:
        cost = ZERO
    elif had_closed and realized is None:
        cost = _at_average(before, left, price)
    else:
        cost = before.cost - value - (realized or ZERO)
        # What was traded since has mixed the costs: what is left never has one of the other sign.
        cost = _at_average(before, left, price) if cost * left < ZERO else cost
    return replace(before, quantity=left, cost=cost), cost - before.cost + value


def _at_average(before: Holding, left: Decimal, price: Decimal) -> Decimal:
    if before.quantity * left <= ZERO:
        return notional(price, left)
    return divide(before.cost * left, before.quantity, AMOUNT_PLACES)


def without(before: Holding, share: Share) -> Holding:
    """Return the holding after it has borne its share of a fee."""
    return replace(before, quantity=before.quantity - share.quantity, cost=before.cost - share.cost)
