"""What a fee in another currency is worth: the rate that a fill bears, so that whoever books it books the same.

The rate is the mid of the last quote on the tape of the fee's currency against the trade's quote currency. A fee in
the currency that was traded always has one: without a quote, it is worth what that was traded at.
"""

from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import VenueTrade
from tollgate_contracts.money import divide
from tollgate_execution.core.market import Market

# As many places as a price on the wire has.
_PLACES = 18
_TWO = Decimal(2)


class FeeRate(NamedTuple):
    """Quote currency per unit of the fee's currency, and where that is from."""

    rate: Decimal
    source: str


def rate_of(market: Market, symbol: str, trade: VenueTrade) -> FeeRate | None:
    """Return what a unit of the fee's currency is worth; none where that is the quote currency, or nobody knows."""
    base, quote = symbol.split("-")
    if trade.fee_currency == quote:
        return None
    quoted = market.quoted(f"{trade.fee_currency}-{quote}")
    if quoted is not None:
        mid = divide(quoted.quote.bid + quoted.quote.ask, _TWO, _PLACES)
        return FeeRate(mid, f"quote:{quoted.sequence}")
    return FeeRate(trade.price, "trade") if trade.fee_currency == base else None
