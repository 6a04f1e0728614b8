"""Whether a fee is what the model of costs says: noted beside the trade, and never a reason not to book it.

The venue's statement of its rates says which tier of the model applies. A model that is out of date, a discount that
nobody has written down and a venue that charges more than it publishes all look the same from here: the model and the
charge differ, and somebody has to look at both.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import Exact, round_to_places
from tollgate_contracts.reconciliation import Account
from tollgate_domain.costs import CostModel
from tollgate_domain.fees import AMOUNT_PLACES, charge_of
from tollgate_domain.instruments import notional


class FeeFinding(StrEnum):
    """How a fee differs from the model's by more than roundings do."""

    DEARER = "dearer"
    """More was charged, or less was paid back."""
    CHEAPER = "cheaper"
    UNPRICED = "unpriced"
    """It was charged in a currency of which no rate is known."""


class CheckedFee(NamedTuple):
    """What was expected; of a bust with its sign turned, as it is expected to come back."""

    expected: Decimal | None
    """In quote currency; null before the venue has stated its rates."""
    finding: FeeFinding | None
    """Null for what is as expected, and for a bust: what was found of its fill, was found then."""


@dataclass(slots=True)
class FeeCheck:
    """The rates that the venue has stated last."""

    stated: tuple[Exact, Exact] | None = None
    """Maker's and taker's, in basis points."""

    def take(self, account: Account) -> None:
        """Take the rates of a statement."""
        self.stated = (account.maker_fee_bps, account.taker_fee_bps)

    def check(self, message: Fill | Bust, costs: CostModel) -> CheckedFee:
        """Hold the fee of a booked trade against the model's."""
        if self.stated is None:
            return CheckedFee(None, None)
        trade = message.trade
        value = notional(trade.price, trade.quantity)
        exact = costs.tier_stated(*self.stated).fee(value, trade.liquidity)
        expected = round_to_places(exact, AMOUNT_PLACES)
        if isinstance(message, Bust):
            return CheckedFee(-expected, None)
        charged = _charged(message)
        if charged is None:
            return CheckedFee(expected, FeeFinding.UNPRICED)
        if costs.tolerates(charged, expected, value):
            return CheckedFee(expected, None)
        return CheckedFee(expected, FeeFinding.DEARER if charged > expected else FeeFinding.CHEAPER)


def _charged(fill: Fill) -> Decimal | None:
    """Return the fee in quote currency; none where no rate is known."""
    charge = charge_of(fill)
    return fill.trade.fee if charge is None else charge.value
