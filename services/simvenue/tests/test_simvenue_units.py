"""Text to whole numbers and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate_simvenue.core.units import (
    NotPlainError,
    TooPreciseError,
    atoms_text,
    fee_atoms,
    fee_atoms_ceiling,
    parse_atoms,
    parse_units,
    units_text,
)


@given(st.integers(-(10**27), 10**27))
def test_units_and_atoms_survive_their_text(count: int) -> None:
    assert parse_units(units_text(count)) == count
    assert parse_atoms(atoms_text(count)) == count


@pytest.mark.parametrize(
    ("text", "units"), [("0", 0), ("1", 10**8), ("0.10", 10**7), ("61837.63", 6183763000000), ("-0.5", -5 * 10**7)]
)
def test_plain_decimals_are_read_exactly(text: str, units: int) -> None:
    assert parse_units(text) == units


@pytest.mark.parametrize(
    "text", ["", "NaN", "Infinity", "1e3", "1E+3", "+1", " 1", "1\n", "01", "1.", ".5", "1,5", "٣"]
)
def test_anything_but_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(NotPlainError):
        parse_units(text)


def test_more_places_than_are_counted_are_refused() -> None:
    assert parse_units("0.12345678000") == 12345678
    with pytest.raises(TooPreciseError):
        parse_units("0.123456781")


@given(st.lists(st.integers(1, 10**24), min_size=1, max_size=9), st.integers(-(10**8), 10**8))
def test_the_fees_of_the_parts_never_exceed_the_most_that_the_whole_can_cost(parts: list[int], rate: int) -> None:
    """What is locked for an order is therefore always enough."""
    assert sum(fee_atoms(part, rate) for part in parts) <= fee_atoms_ceiling(sum(parts), rate)
