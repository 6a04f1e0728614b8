"""The split of results between trading capital and the treasury."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_contracts.money import plain
from tollgate_contracts.reconciliation import MovementType
from tollgate_domain.treasury import TREASURY_STEP, Capital, treasury_share, unexplained_parts

RESULTS = st.decimals(min_value="-99999", max_value="99999", places=18, allow_nan=False)
SHARES = st.decimals(min_value=0, max_value=10_000, places=4, allow_nan=False)


def booked(*results: str, share_bps: str = "2000") -> tuple[str, str, str]:
    capital = Capital(trading=Decimal(1000))
    for result in results:
        capital = capital.book(Decimal(result), Decimal(share_bps))
    return plain(capital.trading), plain(capital.treasury), plain(capital.deficit)


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        pytest.param((), ("1000", "0", "0"), id="nothing has happened"),
        pytest.param(("0",), ("1000", "0", "0"), id="a result of zero"),
        pytest.param(("-30",), ("970", "0", "30"), id="a loss is all of trading's"),
        pytest.param(("-30", "20"), ("990", "0", "10"), id="a profit makes it good in part"),
        pytest.param(("-30", "30"), ("1000", "0", "0"), id="just makes it good"),
        pytest.param(("-30", "30.01"), ("1000.008", "0.002", "0"), id="a cent above is shared"),
        pytest.param(("100", "-100", "100"), ("1080", "20", "0"), id="what was shared once is not again"),
        pytest.param(("100", "-150", "200"), ("1120", "30", "0"), id="only what is above the highest"),
    ],
)
def test_losses_are_made_good_before_the_treasury_gets_its_fifth(results, expected):
    """Out of trading goes the whole loss; into the treasury only what is above the highest sum so far."""
    assert booked(*results) == expected


@pytest.mark.parametrize(
    ("profit", "share_bps", "expected"),
    [
        pytest.param("1", "0", "0", id="no share"),
        pytest.param("1", "10000", "1", id="all of it"),
        pytest.param("0.00000005", "2000", "0.00000001", id="the smallest amount"),
        pytest.param("0.000000049999999999", "2000", "0", id="a step less is too little"),
        pytest.param("0.000000050000000001", "2000", "0.00000001", id="a step more is rounded down"),
    ],
)
def test_the_share_is_rounded_down_to_eight_places(profit, share_bps, expected):
    """What rounding leaves stays with trading."""
    assert treasury_share(Decimal(profit), Decimal(share_bps)) == Decimal(expected)


@given(st.lists(st.tuples(RESULTS, SHARES), max_size=40), RESULTS)
def test_the_split_conserves_money_and_the_treasury_never_falls(steps, contributed):
    """Whatever the results, their order and the shares: not a digit is lost, made, or taken back."""
    capital, total, highest = Capital(trading=Decimal(1000)).contribute(contributed), Decimal(0), Decimal(0)
    for result, share_bps in steps:
        before = capital
        capital = capital.book(result, share_bps)
        total += result
        highest = max(highest, total)
        assert capital.trading + capital.treasury == 1000 + contributed + total
        assert capital.treasury >= before.treasury
        assert capital.deficit == highest - total
        assert result >= 0 or capital.treasury == before.treasury


@given(st.lists(RESULTS, max_size=40), SHARES)
def test_the_treasury_never_holds_more_than_its_share(results, share_bps):
    """Its share of the highest sum that the results have reached, and less by at most one step for each result."""
    capital, total, highest = Capital(), Decimal(0), Decimal(0)
    for result in results:
        capital = capital.book(result, share_bps)
        total += result
        highest = max(highest, total)
    whole = highest * share_bps / 10_000
    assert whole - TREASURY_STEP * len(results) <= capital.treasury <= whole


@pytest.mark.parametrize(
    ("before", "amount", "expected"),
    [
        pytest.param("0", "200", ("0", "200"), id="what is there too much is no profit"),
        pytest.param("200", "-200", ("0", "-200"), id="and gone again it is no loss"),
        pytest.param("200", "-300", ("-100", "-200"), id="but what goes beyond it is"),
        pytest.param("0", "-200", ("-200", "0"), id="what is missing is a loss"),
        pytest.param("-200", "200", ("200", "0"), id="and found again makes it good"),
        pytest.param("-200", "300", ("200", "100"), id="and no more than good"),
    ],
)
def test_what_nobody_can_explain_is_counted_by_its_sum_so_far(before, amount, expected):
    result, transferred = unexplained_parts(Decimal(before), Decimal(amount))
    assert (plain(result), plain(transferred)) == expected


@pytest.mark.parametrize(
    ("kind", "amount", "expected", "transferred"),
    [
        (MovementType.DEPOSIT, "50", ("1050", "0", "0"), "50"),
        (MovementType.WITHDRAWAL, "-50", ("950", "0", "0"), "-50"),
        (MovementType.TRANSFER, "-50", ("950", "0", "0"), "-50"),
        (MovementType.FUNDING, "50", ("1040", "10", "0"), "0"),
        (MovementType.FUNDING, "-50", ("950", "0", "50"), "0"),
        (MovementType.DUST, "-50", ("950", "0", "50"), "0"),
        (MovementType.FEE, "-50", ("950", "0", "50"), "0"),
        (MovementType.REBATE, "50", ("1040", "10", "0"), "0"),
        (MovementType.UNEXPLAINED, "50", ("1050", "0", "0"), "50"),
        (MovementType.UNEXPLAINED, "-50", ("950", "0", "50"), "0"),
    ],
)
def test_what_moves_is_a_result_or_a_transfer_by_its_type(kind, amount, expected, transferred):
    capital, moved = Capital(trading=Decimal(1000)).move(kind, Decimal(amount), Decimal(2000))
    assert (plain(capital.trading), plain(capital.treasury), plain(capital.deficit)) == expected
    assert plain(moved) == transferred


CENTS = st.decimals(min_value="-999", max_value="999", places=2, allow_nan=False)


@given(st.lists(st.tuples(st.booleans(), CENTS), max_size=40))
def test_the_treasury_gets_nothing_of_what_nobody_can_explain(steps):
    """Whatever comes and goes unexplained between the results, it never holds more than it would without."""
    capital = without = Capital(trading=Decimal(1000))
    total, share_bps = Decimal(1000), Decimal(2500)
    for is_result, amount in steps:
        total += amount
        if is_result:
            capital, without = capital.book(amount, share_bps), without.book(amount, share_bps)
        else:
            before = capital
            capital, _ = capital.move(MovementType.UNEXPLAINED, amount, share_bps)
            assert capital.treasury == before.treasury or before.unexplained < 0 < amount, "a loss was made good"
        assert capital.treasury <= without.treasury
        assert capital.trading + capital.treasury == total
