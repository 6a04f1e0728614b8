"""By which order a position is closed under the kill switch, and what stands in the way where there is none.

The law of this module: a closing order takes off at most what is held, so it can neither enlarge nor flip a position.
"""

from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum
from typing import TYPE_CHECKING

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import ZERO, Exact, divide
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import InstrumentRules
from tollgate_risk.core.policy import PolicyRules

if TYPE_CHECKING:
    from tollgate_risk.core.state import RiskState

_BPS = Decimal(10_000)
# As many as a quantity can have on the wire.
_QUANTITY_PLACES = 18


class Unclosable(StrEnum):
    """Why no order can close what is held."""

    NO_INSTRUMENT = "the venue has not said how it is traded"
    DUST = "less than the venue takes as an order"
    NO_QUOTE = "it was never quoted"
    NOT_OPEN = "the venue takes no orders in it now"
    CAPPED = "limits.order_notional is less than the venue's smallest order"


@dataclass(frozen=True, slots=True)
class Terms:
    """One closing order: base currency, and the worst price that it may trade at."""

    side: Side
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class Attempt:
    """The last closing order of a symbol."""

    left: Exact
    """What is held once it has traded in full: then the next one follows at once."""
    due_us: int
    """When the next one follows in any case."""


@dataclass(slots=True)
class Closing:
    """What one engagement of the switch has asked for so far; a new epoch begins anew."""

    epoch: int = 0
    cancel_due_us: dict[str, int] = field(default_factory=dict)
    """By client order id of an open order, when a cancel of it is due again."""
    attempts: dict[str, Attempt] = field(default_factory=dict)
    """By symbol."""


def terms(state: "RiskState", rules: PolicyRules, symbol: str, held: Decimal) -> Terms | Unclosable:
    """Return the next order that makes a holding of ``held`` (below zero for a short) smaller, or why there is none."""
    instrument, quote = state.instruments.get(symbol), state.quotes.get(symbol)
    if instrument is None:
        return Unclosable.NO_INSTRUMENT
    whole = instrument.quantize_quantity(abs(held))
    if whole < instrument.min_quantity:
        return Unclosable.DUST
    if quote is None:
        return Unclosable.NO_QUOTE
    side = Side.SELL if held > ZERO else Side.BUY
    reach = rules.kill.flatten_collar_bps if side is Side.BUY else -rules.kill.flatten_collar_bps
    price = instrument.quantize_price(quote.mark * (_BPS + reach) / _BPS, side)
    if not _is_taken(instrument, whole, price):
        return Unclosable.DUST
    if instrument.status is not InstrumentStatus.OPEN:
        return Unclosable.NOT_OPEN
    cap = divide(rules.limits.order_notional, max(price, quote.mark), _QUANTITY_PLACES, ROUND_FLOOR)
    quantity = _slice(instrument, whole, price, cap)
    return Terms(side, quantity, price) if _is_taken(instrument, quantity, price) else Unclosable.CAPPED


def _slice(instrument: InstrumentRules, whole: Decimal, price: Decimal, cap: Decimal) -> Decimal:
    """Return as much of ``whole`` as one order may carry, and leave nothing behind that is too small to follow."""
    quantity = min(whole, instrument.quantize_quantity(cap))
    rest = whole - quantity
    half = instrument.quantize_quantity(whole / 2)
    if rest and not _is_taken(instrument, rest, price) and _is_taken(instrument, half, price):
        return min(quantity, half)
    return quantity


def _is_taken(instrument: InstrumentRules, quantity: Decimal, price: Decimal) -> bool:
    return quantity >= instrument.min_quantity and quantity * price >= instrument.min_notional
