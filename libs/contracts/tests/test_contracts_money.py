"""Exact money: one text per value, and no rounding that nobody asked for."""

import decimal
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_contracts import money

AMOUNTS = st.decimals(min_value=-(10**19), max_value=10**19, places=18, allow_nan=False)
STEPS = st.sampled_from([Decimal(text) for text in ("0.00000001", "0.001", "0.5", "1", "10", "0.25")])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E+3", "1000"),
        ("1.500", "1.5"),
        ("-0.0", "0"),
        ("0", "0"),
        ("-2.50", "-2.5"),
        ("1e-18", "0.000000000000000001"),
    ],
)
def test_a_value_has_one_text(value: str, text: str):
    assert money.plain(Decimal(value)) == text


@given(AMOUNTS)
def test_the_text_gives_the_value_back(value: Decimal):
    assert Decimal(money.plain(value)) == value


@given(AMOUNTS, STEPS)
def test_rounding_goes_the_way_its_name_says(value: Decimal, step: Decimal):
    down, floor, ceiling = (f(value, step) for f in (money.round_down, money.round_floor, money.round_ceiling))
    assert floor <= value <= ceiling
    assert abs(down) <= abs(value)
    assert ceiling - floor in {Decimal(0), step}
    assert all(money.is_multiple(rounded, step) for rounded in (down, floor, ceiling))


def test_an_operation_that_would_round_silently_raises():
    with pytest.raises(decimal.Inexact):
        Decimal(1) / Decimal(3)
    assert money.divide(Decimal(1), Decimal(3), 4) == Decimal("0.3333")
    assert money.divide(Decimal(2), Decimal(3), 2, ROUND_HALF_UP) == Decimal("0.67")


def test_a_float_cannot_enter():
    with pytest.raises(decimal.FloatOperation):
        Decimal(0.5)  # noqa: RUF032 - the float is the point
    with pytest.raises(TypeError):
        Decimal(1) + 0.5  # type: ignore[operator]
