"""Fees in another currency than the one that is traded in: what they are worth, and what they are taken out of.

The law of this module: a fee is paid out of what is held of its currency, as if that much had been sold at the rate
that its fill bears, and the proceeds paid. What a spot holding bears of it, its share, has the holding's average cost;
the rest comes from beside the holdings, which nobody values: so much has been brought in for it. Exactly::

    value of the fee      == value of the share + what was brought in
    realized by the fee   == value of the share - cost of the share

and a rebate is bought at the rate and not sold. A fee without a rate has no value: it is taken from beside, nothing is
realized by it and nothing brought in. A bust gives back what its fill took, at the cost at which it went. That is
remembered for the newest fills; an older one's comes back to what is held now, at its average cost.

How much a holding bears is for the portfolio to say, and for it alone. Whoever keeps the same holding at a cost of his
own, such as a round trip, takes the share from there and says but what it has cost him.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, Exact, divide, round_to_places
from tollgate_domain.instruments import notional

# Amounts are kept to as many places as the books' database columns hold.
AMOUNT_PLACES = 18


class Share(NamedTuple):
    """What a holding bears of a fee: how much of its quantity leaves it, and with what cost; below zero it comes."""

    quantity: Exact
    cost: Exact
    value: Exact
    """At the rate of the fee, in quote currency as the cost."""

    @property
    def realized(self) -> Decimal:
        """Return what the holding has won by it."""
        return self.value - self.cost


NO_SHARE = Share(ZERO, ZERO, ZERO)


@dataclass(frozen=True, slots=True)
class Charge:
    """A fee in another currency, as it was charged; quantity and value are below zero for a rebate."""

    currency: str
    symbol: str
    """Whose holding bears it, where that is held as spot."""
    quantity: Decimal
    value: Decimal | None
    """In quote currency, at the rate of the fill; none where no rate is known."""


def charge_of(message: Fill | Bust) -> Charge | None:
    """Return the fee of a fill, or of a bust's fill; none where it is in the quote currency."""
    made, quote = message.trade, message.symbol.split("-")[1]
    if made.fee_currency == quote:
        return None
    value: Decimal | None = None
    if message.fee_rate is not None:
        value = round_to_places(notional(message.fee_rate, made.fee), AMOUNT_PLACES)
    elif not made.fee:
        value = ZERO
    return Charge(made.fee_currency, f"{made.fee_currency}-{quote}", made.fee, value)


def lacks_rate(message: Fill | Bust) -> bool:
    """Say whether a fee was charged of which nobody knows what it is worth."""
    charge = charge_of(message)
    return charge is not None and charge.value is None


def taken(held: Decimal, cost: Decimal, charge: Charge) -> Share:
    """Return what a spot holding bears of a fee: all of it where it has as much, and nothing where it has none."""
    if charge.value is None or held <= ZERO:
        return NO_SHARE
    quantity = min(charge.quantity, held)
    return at_own_cost(held, cost, Share(quantity, ZERO, _value_of(quantity, charge.quantity, charge.value)))


def at_own_cost(held: Decimal, cost: Decimal, share: Share) -> Share:
    """Return a share that is taken as one of a holding of ``held``, at most all of it, that has cost ``cost``."""
    if share.quantity < ZERO:
        return share._replace(cost=share.value)
    return share._replace(cost=_part_of(cost, share.quantity, held))


def given_back(held: Decimal, cost: Decimal, charge: Charge, known: Share | None) -> Share:
    """Return what a spot holding bears when a fee is taken back; ``known`` is what it had borne, where remembered."""
    if charge.value is None or (held <= ZERO and known is None):
        return NO_SHARE
    borne = known or Share(charge.quantity, ZERO, charge.value)
    # A rebate goes again, as far as it is still there.
    quantity = -borne.quantity if borne.quantity > ZERO else min(-borne.quantity, max(held, ZERO))
    value = _value_of(quantity, borne.quantity, borne.value)
    return back_at_own_cost(held, cost, Share(quantity, ZERO, value), known)


def back_at_own_cost(held: Decimal, cost: Decimal, share: Share, known: Share | None) -> Share:
    """Return a share that is given back as one of a holding of ``held``; ``known`` is what that had borne."""
    if known is not None and known.quantity == -share.quantity:
        # What has been traded since has mixed the costs: of a rebate that goes not more can go than there is.
        if share.quantity < ZERO or (share.quantity < held and cost + known.cost >= ZERO):
            return share._replace(cost=-known.cost)
    elif share.quantity < ZERO and held <= ZERO:
        return share._replace(cost=share.value)
    return share._replace(cost=_part_of(cost, share.quantity, held))


def _part_of(cost: Decimal, quantity: Decimal, held: Decimal) -> Decimal:
    return cost if quantity == held else divide(cost * quantity, held, AMOUNT_PLACES)


def _value_of(quantity: Decimal, of: Decimal, value: Decimal) -> Decimal:
    """Return what a part of what is worth ``value`` is worth, with the sign of the part."""
    return value if quantity == of else -value if quantity == -of else divide(value * quantity, of, AMOUNT_PLACES)
