"""Exact decimals on the wire and in memory.

The law of this module: a money value is a ``Decimal`` that was read from a plain string, never from a float,
and every rounding is a call that names its direction. Elsewhere the process-wide context traps ``Inexact``,
so an operation that would round silently raises instead.
"""

import decimal
import re
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, PlainSerializer
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

# Twenty digits before the point and eighteen after it hold every amount of the venues we know (wei included).
PLAIN_PATTERN = r"^-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,18})?$"
# A product of two such numbers has at most 76 digits: exact results always fit.
EXACT = decimal.Context(
    prec=100,
    traps=[decimal.Inexact, decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow, decimal.FloatOperation],
)
_ROUNDING = decimal.Context(prec=100, traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow])

ZERO = Decimal(0)
_PLAIN = re.compile(PLAIN_PATTERN)


def install_exact_context() -> None:
    """Make silent rounding raise ``decimal.Inexact`` in this thread and in every thread started later."""
    decimal.DefaultContext.prec = EXACT.prec
    for signal, trapped in EXACT.traps.items():
        decimal.DefaultContext.traps[signal] = trapped
    decimal.setcontext(EXACT.copy())


def plain(value: Decimal) -> str:
    """Return the one canonical text of ``value``: no exponent, no trailing zeros, no negative zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def round_down(value: Decimal, step: Decimal) -> Decimal:
    """Return the multiple of ``step`` (positive) next to ``value`` towards zero."""
    return _to_multiple(value, step, ROUND_DOWN)


def round_floor(value: Decimal, step: Decimal) -> Decimal:
    """Return the largest multiple of ``step`` (positive) that is not above ``value``."""
    return _to_multiple(value, step, ROUND_FLOOR)


def round_ceiling(value: Decimal, step: Decimal) -> Decimal:
    """Return the smallest multiple of ``step`` (positive) that is not below ``value``."""
    return _to_multiple(value, step, ROUND_CEILING)


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Say whether ``value`` is a whole number of ``step`` (positive)."""
    return _ROUNDING.remainder(value, step) == 0


def _to_multiple(value: Decimal, step: Decimal, rounding: str) -> Decimal:
    return EXACT.multiply(_ROUNDING.divide(value, step).to_integral_value(rounding, _ROUNDING), step)


def round_to_places(value: Decimal, places: int, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Return ``value`` with at most ``places`` digits after the point."""
    return value.quantize(Decimal(1).scaleb(-places), rounding, _ROUNDING)


def divide(dividend: Decimal, divisor: Decimal, places: int, rounding: str = ROUND_HALF_EVEN) -> Decimal:
    """Return ``dividend / divisor`` rounded to ``places`` digits; raises ``DivisionByZero`` for a zero divisor."""
    return round_to_places(_ROUNDING.divide(dividend, divisor), places, rounding)


def _exact(value: Any) -> Decimal:
    """Take a finite ``Decimal``, or the plain text of one, from our own code and from settings."""
    if isinstance(value, Decimal) and value.is_finite() and _PLAIN.fullmatch(plain(value)):
        return value
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        return Decimal(value)
    raise PydanticCustomError("exact_decimal", 'an exact decimal is expected, written as a quoted string such as "0.5"')


class _PlainDecimal:
    """Pydantic schema of a decimal that travels as a plain string and is a ``Decimal`` in memory."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        text = core_schema.no_info_after_validator_function(
            Decimal, core_schema.str_schema(pattern=PLAIN_PATTERN, strict=True)
        )
        return core_schema.json_or_python_schema(
            json_schema=text,
            python_schema=core_schema.no_info_plain_validator_function(_exact),
            serialization=core_schema.plain_serializer_function_ser_schema(
                plain, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: Any) -> dict[str, Any]:
        return {"type": "string", "pattern": PLAIN_PATTERN}


Amount = Annotated[Decimal, _PlainDecimal]
"""Any money amount, positive or negative, in the currency that its field names."""
Price = Annotated[Decimal, _PlainDecimal, Field(gt=0)]
"""Quote currency per unit of base currency; above zero."""
Quantity = Annotated[Decimal, _PlainDecimal, Field(gt=0)]
"""Units of base currency; above zero."""
NonNegative = Annotated[Decimal, _PlainDecimal, Field(ge=0)]
"""A quantity or amount that may be zero, such as a cumulative fill or an empty book side."""
Exact = Annotated[Decimal, PlainSerializer(plain, return_type=str)]
"""A decimal of a snapshot or a report, of whatever size: its text is the same however it came about."""
