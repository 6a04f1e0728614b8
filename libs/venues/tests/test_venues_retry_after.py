"""How long a venue asks us to wait."""

import pytest

from tollgate_venues.retry_after import RETRY_AFTER_US_MAX, retry_after_us

NOW_US = 1_700_000_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT

HEADERS = [
    (None, None),
    ("", None),
    ("soon", None),
    ("1.5", None),
    ("-1", None),
    ("٣", None),
    ("0", 0),
    (" 30 ", 30_000_000),
    ("99999999", RETRY_AFTER_US_MAX),
    ("9" * 10_000, RETRY_AFTER_US_MAX),
    ("Tue, 14 Nov 2023 22:13:50 GMT", 30_000_000),
    ("Tue, 14 Nov 2023 22:13:20 GMT", 0),
    ("Mon, 13 Nov 2023 22:13:20 GMT", 0),
    ("Tue, 14 Nov 2033 22:13:20 GMT", RETRY_AFTER_US_MAX),
    ("Tue, 99 Nov 2023 22:13:20 GMT", None),
]


@pytest.mark.parametrize(("header", "expected"), HEADERS)
def test_seconds_and_dates_are_read_within_bounds_and_nothing_else_is_guessed(
    header: str | None, expected: int | None
) -> None:
    assert retry_after_us(header, NOW_US) == expected
