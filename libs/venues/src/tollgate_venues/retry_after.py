"""How long a venue asks us to wait, from its ``Retry-After`` header."""

from email.utils import parsedate_to_datetime

# The longest ban that a venue is known to give is three days; a number beyond it is a mistake of somebody's.
RETRY_AFTER_US_MAX = 3 * 86_400 * 1_000_000
# More digits than any wait within the bound has: they are not even read.
_DIGITS_MAX = 12


def retry_after_us(header: str | None, now_us: int) -> int | None:
    """Return the wait in microseconds, from 0 to ``RETRY_AFTER_US_MAX``; null where nothing readable is asked for.

    ``header`` is a whole number of seconds or an HTTP date; a date in the past is no wait.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        wait_us = int(text) * 1_000_000 if len(text) <= _DIGITS_MAX else RETRY_AFTER_US_MAX
        return min(wait_us, RETRY_AFTER_US_MAX)
    try:
        until = parsedate_to_datetime(text)
        wait_us = int(until.timestamp()) * 1_000_000 - now_us
    except (ValueError, OverflowError):
        return None
    return min(max(wait_us, 0), RETRY_AFTER_US_MAX)
