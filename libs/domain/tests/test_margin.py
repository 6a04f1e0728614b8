"""How near liquidation is, and what funding costs."""

from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tollgate_contracts.money import divide
from tollgate_domain.margin import BPS, funding_payment, liquidation_distance_bps

QUANTITIES = st.decimals(min_value="-999", max_value="999", places=4, allow_nan=False).filter(bool)
PRICES = st.decimals(min_value="0.01", max_value="99999", places=2, allow_nan=False)
RATES = st.decimals(min_value="0.001", max_value="0.5", places=4, allow_nan=False)
AMOUNTS = st.decimals(min_value="0.01", max_value="999999", places=2, allow_nan=False)


def binance_liquidation_price(
    wallet: Decimal, quantity: Decimal, entry: Decimal, rate: Decimal, others_margin: Decimal
) -> Decimal:
    """Return the published formula's price, for one tier and thus no maintenance amount."""
    side, size = (1 if quantity > 0 else -1), abs(quantity)
    return divide(wallet - others_margin - side * size * entry, size * rate - side * size, 12)


@pytest.mark.parametrize(
    ("quantity", "excess", "expected"),
    [
        pytest.param("10", "95", "1000", id="a long, whose own margin falls with the mark"),
        pytest.param("-10", "105", "1000", id="a short, whose own margin rises with it"),
        pytest.param("10", "0", "0", id="nothing above the margins"),
        pytest.param("10", "-1", "0", id="less than nothing"),
        pytest.param("10", "0.001", "0.0105", id="rounded down"),
        pytest.param("10", "949.99", "9999.8947", id="a long just before it needs no more"),
        pytest.param("10", "950", None, id="a long that is paid in full"),
        pytest.param("-10", "1050", None, id="a short whose mark would have to double"),
    ],
)
def test_the_distance_at_a_mark_of_100_and_a_rate_of_5_percent(quantity, excess, expected):
    """The mark moves against the position until the excess is gone."""
    distance = liquidation_distance_bps(Decimal(quantity), Decimal(100), Decimal("0.05"), Decimal(excess))
    assert distance == (None if expected is None else Decimal(expected))


def test_a_position_that_must_be_backed_in_full_is_liquidated_at_once_or_never():
    """A long whose maintenance margin is its whole value loses margin as fast as it loses value."""
    terms = (Decimal(1), Decimal(100), Decimal(1))
    assert liquidation_distance_bps(*terms, Decimal(1)) is None
    assert liquidation_distance_bps(*terms, Decimal(0)) == 0


@given(QUANTITIES, PRICES, PRICES, RATES, AMOUNTS, AMOUNTS)
def test_the_distance_is_that_of_the_published_formula(quantity, entry, mark, rate, wallet, others_margin):
    """Our excess at the mark and the venue's wallet balance at entry lead to the same price."""
    result = quantity * (mark - entry)
    excess = wallet + result - others_margin - abs(quantity) * mark * rate
    assume(excess > 0)
    distance = liquidation_distance_bps(quantity, mark, rate, excess)
    with_rounding = binance_liquidation_price(wallet, quantity, entry, rate, others_margin)
    against = mark - with_rounding if quantity > 0 else with_rounding - mark
    if distance is None:
        assert against >= mark * Decimal("0.9999999")
    else:
        assert abs(distance * mark / BPS - against) <= mark * Decimal("0.0000001")


@given(QUANTITIES, PRICES, RATES, AMOUNTS)
def test_at_the_distance_the_balance_is_the_maintenance_margin(quantity, mark, rate, excess):
    """Just before it the account still has a little more, and a step beyond it has less."""
    distance = liquidation_distance_bps(quantity, mark, rate, excess)
    assume(distance is not None)
    step, against = Decimal("0.0001"), (-1 if quantity > 0 else 1)

    def left(moved_bps: Decimal) -> Decimal:
        move = against * mark * moved_bps / BPS
        return excess + quantity * move - abs(quantity) * move * rate

    assert left(distance) >= 0
    assert left(distance + step) < 0


@pytest.mark.parametrize(
    ("high", "low", "rate", "expected"),
    [
        pytest.param("1000", "1000", "0.001", "1", id="a long pays where the rate is above zero"),
        pytest.param("1000", "1000", "-0.001", "0", id="and receives below it, which is no cost"),
        pytest.param("-1000", "-1000", "-0.001", "1", id="a short pays where it is below"),
        pytest.param("-1000", "-1000", "0.001", "0", id="and receives above it"),
        pytest.param("2000", "-500", "0.001", "2", id="of what it may become, the largest long"),
        pytest.param("2000", "-500", "-0.001", "0.5", id="or the largest short"),
        pytest.param("0.5", "0.5", "0.002", "0.001", id="of less than one unit"),
        pytest.param("0.0000000000000000001", "0", "1", "0.000000000000000001", id="rounded up"),
        pytest.param("1000", "-1000", "0", "0", id="no rate, no payment"),
    ],
)
def test_who_pays_funding(high, low, rate, expected):
    """Longs pay shorts where the rate is above zero."""
    assert funding_payment(Decimal(high), Decimal(low), Decimal(rate)) == Decimal(expected)
