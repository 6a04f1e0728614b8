"""Whole numbers for money: the exchange counts, it does not calculate with fractions.

Prices and quantities are counted in *units* of 1e-8; their products, and therefore balances and fees of every
currency, in *atoms* of 1e-16. Both hold every amount of the instruments table exactly, and sums of integers do
not round. Text becomes units and back in this module only.
"""

import re
from decimal import Decimal

from tollgate_contracts.money import EXACT, PLAIN_PATTERN

UNIT_PLACES = 8
ATOM_PLACES = 16
UNITS: int = 10**UNIT_PLACES
ATOMS_PER_UNIT: int = 10 ** (ATOM_PLACES - UNIT_PLACES)
# Fee rates are counted in millionths of a basis point, so that every rate a venue has published is whole.
FEE_RATE_PER_BPS = 10**6
_FEE_RATE_ONE = 10_000 * FEE_RATE_PER_BPS

_PLAIN = re.compile(PLAIN_PATTERN)


class NotPlainError(ValueError):
    """The text is not a plain decimal number."""


class TooPreciseError(ValueError):
    """The number has more places than are counted here."""


def parse_units(text: str) -> int:
    """Return the units in a plain decimal text; raises ``NotPlainError`` or ``TooPreciseError``."""
    return _parse(text, UNIT_PLACES)


def parse_atoms(text: str) -> int:
    """Return the atoms in a plain decimal text; raises ``NotPlainError`` or ``TooPreciseError``."""
    return _parse(text, ATOM_PLACES)


def _parse(text: str, places: int) -> int:
    if not _PLAIN.match(text) or text.endswith("\n"):
        raise NotPlainError(text[:80])
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > places:
        raise TooPreciseError(text)
    return int(whole + fraction.ljust(places, "0"))


def units_text(units: int) -> str:
    """Return units as the one plain decimal text."""
    return _text(units, UNITS, UNIT_PLACES)


def atoms_text(atoms: int) -> str:
    """Return atoms as the one plain decimal text."""
    return _text(atoms, 10**ATOM_PLACES, ATOM_PLACES)


def _text(count: int, one: int, places: int) -> str:
    if count < 0:
        return "-" + _text(-count, one, places)
    whole, fraction = divmod(count, one)
    return f"{whole}.{fraction:0{places}d}".rstrip("0") if fraction else str(whole)


def notional_value(atoms: int) -> Decimal:
    """Return atoms as the decimal amount that the cost model reckons with."""
    return EXACT.scaleb(atoms, -ATOM_PLACES)


def fee_atoms(notional_atoms: int, fee_rate: int) -> int:
    """Return the fee on a notional, in atoms, rounded towards zero to whole units.

    Rounded towards zero, the fees of an order's parts never exceed the fee of the whole: what was locked for an
    order is always enough. A negative rate is a rebate.
    """
    sign = -1 if fee_rate < 0 else 1
    exact = notional_atoms * abs(fee_rate) // _FEE_RATE_ONE
    return sign * (exact // ATOMS_PER_UNIT) * ATOMS_PER_UNIT


def fee_atoms_ceiling(notional_atoms: int, fee_rate: int) -> int:
    """Return the most that the fee on a notional can come to, in atoms; nothing for a rebate."""
    return -(-notional_atoms * max(fee_rate, 0) // _FEE_RATE_ONE)
