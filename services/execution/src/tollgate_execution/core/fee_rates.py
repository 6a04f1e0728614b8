"""What a fee in another currency is worth: the rate that a fill bears, so that whoever books it books the same.

A fee in the currency that was traded is worth what that was traded at: it is the venue's own rate, and of the very
moment. Of any other the rate is the mid of the last quote on the tape against the trade's quote currency, unless that
has grown old: then nobody knows it.
"""

from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.execution import VenueTrade
from tollgate_contracts.money import divide
from tollgate_execution.core.market import Market

# As many places as a price on the wire has.
_PLACES = 18
_TWO = Decimal(2)
# On the tape's clock. A fee is a thousandth of what is traded: what a rate is off by after so long is less than a cent
# of a thousand. Of an older one nobody knows any more what has happened since.
_QUOTE_AGE_US_MAX = 600_000_000


class FeeRate(NamedTuple):
    """Quote currency per unit of the fee's currency, and where that is from."""

    rate: Decimal
    source: str


def rate_of(market: Market, symbol: str, trade: VenueTrade, now_us: int) -> FeeRate | None:
    """Return what a unit of the fee's currency is worth; none where that is the quote currency, or nobody knows."""
    base, quote = symbol.split("-")
    if trade.fee_currency == quote:
        return None
    if trade.fee_currency == base:
        return FeeRate(trade.price, "trade")
    quoted = market.quoted(f"{trade.fee_currency}-{quote}")
    if quoted is None or now_us - quoted.ts_us > _QUOTE_AGE_US_MAX:
        return None
    return mid_of(market, trade.fee_currency, quote)


def mid_of(market: Market, currency: str, quote: str) -> FeeRate | None:
    """Return the mid of the last quote of a currency, however old, as the books mark it; none where there is none."""
    quoted = market.quoted(f"{currency}-{quote}")
    if quoted is None:
        return None
    return FeeRate(divide(quoted.quote.bid + quoted.quote.ask, _TWO, _PLACES), f"quote:{quoted.sequence}")
