"""In which currency the exchange charges a trade, and that the taking back of one gives that back."""

import pytest
from pydantic import ValidationError
from simvenue_samples import ATOM, ONE, balances, exchange, place

from tollgate_contracts.strategy import Side
from tollgate_simvenue.core.model import Bust, Fill
from tollgate_simvenue.core.units import atoms_text
from tollgate_simvenue.settings import SimvenueSection

BUYS = {"side": Side.BUY, "limit_price": 101 * ONE}
SELLS = {"side": Side.SELL, "limit_price": 100 * ONE}


@pytest.mark.parametrize(
    ("fee_currency", "order", "charged", "left"),
    [
        pytest.param("quote", BUYS, ("USDT", "0.202"), ("898.798", "3", "1"), id="quote"),
        pytest.param("base", BUYS, ("BTC", "0.002"), ("899", "2.998", "1"), id="base: of what was bought"),
        pytest.param("base", SELLS, ("USDT", "0.2"), ("1099.8", "1", "1"), id="base: a sale pays in quote"),
        pytest.param("BNB", BUYS, ("BNB", "0.00404"), ("899", "3", "0.99596"), id="another, at the mid of 50"),
        pytest.param("BNB", SELLS, ("BNB", "0.004"), ("1100", "1", "0.996"), id="another, of a sale"),
        pytest.param("BTC", SELLS, ("BTC", "0.00199004"), ("1100", "0.99800996", "1"), id="the base by its name"),
        pytest.param("USDT", BUYS, ("USDT", "0.202"), ("898.798", "3", "1"), id="the quote by its name"),
    ],
)
def test_a_trade_is_charged_in_the_currency_that_is_set(fee_currency, order, charged, left):
    """A taker pays 20 bps; once the trade is taken back, everything is as it was."""
    venue = exchange(btc=2, bnb_atoms=ATOM, fee_currency=fee_currency)
    before = balances(venue)
    placed = place(venue, **order)
    (fill,) = placed.fills
    assert isinstance(fill, Fill)
    assert (fill.fee_currency, atoms_text(fill.fee)) == charged
    assert tuple(balances(venue)[name][0] for name in ("USDT", "BTC", "BNB")) == left
    bust, _ = venue.bust(placed, fill.trade_id, 20)
    assert isinstance(bust, Bust)
    assert balances(venue) == before


def test_a_currency_of_which_too_little_is_there_is_not_charged_in():
    venue = exchange(bnb_atoms=ATOM // 1_000, fee_currency="BNB")
    (fill,) = place(venue, **BUYS).fills
    assert fill.fee_currency == "USDT"


def test_a_currency_without_a_price_is_refused_at_the_start():
    with pytest.raises(ValidationError, match="fee_currency: BNB is not traded here"):
        SimvenueSection(fee_currency="BNB")
    assert SimvenueSection(fee_currency="ETH").fee_currency == "ETH"
