"""Fees in another currency than the one that is traded in: what they are worth, and what they are taken out of.

The law of this module: a fee is paid out of what is held of its currency, as if that much had been sold at the rate
that its fill bears, and the proceeds paid. What came out of a spot holding has its average cost, what lies beside the
holdings has none; so whatever was held, exactly::

    realized by the fee == its value - the cost of what was taken

and a rebate is bought at the rate and not sold. A fee without a rate has no value: it is taken from beside, and
nothing is realized by it. A bust gives back what its fill took, at the cost at which it went. That is remembered for
the newest fills; an older one's comes back to what is held now, at its average cost.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, Exact, divide, round_to_places
from tollgate_domain.instruments import notional

# Amounts are kept to as many places as the books' database columns hold.
AMOUNT_PLACES = 18
# Of how many fills it is remembered what their fees were taken out of: a bust comes soon or never.
SHARES_MAX = 128


class Share(NamedTuple):
    """What a holding bears of a fee: how much of its quantity leaves it, and with what cost; below zero it comes."""

    quantity: Decimal
    cost: Decimal


NO_SHARE = Share(ZERO, ZERO)

RememberedShare = tuple[str, Exact, Exact]
"""Of one fill its symbol and trade, and what a holding bore of its fee: quantity and cost."""


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
    if charge.quantity < ZERO:
        return Share(charge.quantity, charge.value)
    if charge.quantity >= held:
        return Share(held, cost)
    return Share(charge.quantity, divide(cost * charge.quantity, held, AMOUNT_PLACES))


def given_back(held: Decimal, cost: Decimal, charge: Charge, known: Share | None) -> Share:
    """Return what a spot holding bears when a fee is taken back; ``known`` is what it had borne, where remembered."""
    if charge.value is None or (held <= ZERO and known is None):
        return NO_SHARE
    borne = charge.quantity if known is None else known.quantity
    if borne > ZERO:
        return Share(-borne, -(divide(cost * borne, held, AMOUNT_PLACES) if known is None else known.cost))
    # A rebate goes again, as far as it is still there; what has been traded since has mixed the costs.
    back = min(-borne, max(held, ZERO))
    if back == held:
        return Share(back, cost)
    if known is None or back < -borne or cost + known.cost < ZERO:
        return Share(back, divide(cost * back, held, AMOUNT_PLACES))
    return Share(back, -known.cost)


def keep_share(remembered: list[RememberedShare], fill: Fill, share: Share) -> None:
    """Remember what a holding has borne of a fill's fee; the oldest makes room."""
    remembered.append((_name(fill), *share))
    del remembered[:-SHARES_MAX]


def find_share(remembered: list[RememberedShare], bust: Bust) -> Share | None:
    """Return what a holding has borne of the fee that is taken back; none where that is not known any more."""
    name = _name(bust)
    return next((Share(quantity, cost) for kept, quantity, cost in remembered if kept == name), None)


def drop_share(remembered: list[RememberedShare], bust: Bust) -> None:
    """Forget what a holding has borne of a fee that was taken back."""
    name = _name(bust)
    remembered[:] = [each for each in remembered if each[0] != name]


def _name(message: Fill | Bust) -> str:
    return f"{message.symbol} {message.trade.trade_id}"
