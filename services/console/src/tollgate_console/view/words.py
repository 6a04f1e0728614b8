"""How times and numbers are written for people; nothing here is computed with."""

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

from tollgate_contracts.money import plain, round_to_places

_DECIMALS_SHOWN = 2
_US_PER_S = 1_000_000


def clock_time(ts_us: int) -> str:
    """Return the time of day, UTC, with milliseconds."""
    seconds, microseconds = divmod(ts_us, _US_PER_S)
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}.{microseconds // 1_000:03d}"


def money(amount: Decimal) -> str:
    """Return an amount with thousands parted and two decimals, signed when below zero."""
    whole, _, fraction = plain(round_to_places(amount, _DECIMALS_SHOWN, ROUND_HALF_EVEN)).partition(".")
    sign = "-" if whole.startswith("-") else ""
    return f"{sign}{int(whole.lstrip('-')):,}.{fraction.ljust(_DECIMALS_SHOWN, '0')}"


def signed_money(amount: Decimal) -> str:
    """Return the same with a plus before a gain."""
    return f"+{money(amount)}" if amount > 0 else money(amount)
