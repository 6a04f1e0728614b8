"""Spans as people and machines write them."""

from datetime import date

import pytest

from tollgate_contracts.envelope import TIME_US_MAX
from tollgate_research.report.span import DAY_US, BadSpan, Span, day_us, read_span

FIRST_US = day_us(date(2026, 11, 20))


@pytest.mark.parametrize(
    ("since", "until", "from_us", "until_us"),
    [
        (None, None, 0, TIME_US_MAX),
        ("2026-11-20", None, FIRST_US, TIME_US_MAX),
        ("2026-11-20", "2026-11-20", FIRST_US, FIRST_US + DAY_US),
        ("2026-11-20", "2026-11-21", FIRST_US, FIRST_US + 2 * DAY_US),
        (str(FIRST_US + 5), str(FIRST_US + 6), FIRST_US + 5, FIRST_US + 6),
        ("0", str(TIME_US_MAX), 0, TIME_US_MAX),
    ],
)
def test_a_date_at_the_end_is_in_the_span_and_a_microsecond_is_not(since, until, from_us, until_us):
    assert read_span(since, until) == Span(from_us, until_us)


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01", "2026-02-30", "2026-W47-5", "-5", "1.5", "1e9", "2201-01-01",
     "0001-01-01", "9999-12-31", str(TIME_US_MAX + 1), "9" * 40, "١٢"],
)  # fmt: skip
def test_what_is_no_moment_is_refused_by_the_name_of_its_option(text: str):
    with pytest.raises(BadSpan, match=r"^--from takes a UTC date"):
        read_span(text, None)
    with pytest.raises(BadSpan, match=r"^--to takes a UTC date"):
        read_span(None, text)


@pytest.mark.parametrize(("since", "until"), [("2026-11-21", "2026-11-20"), ("5", "5"), ("6", "5")])
def test_a_span_must_have_a_length(since: str, until: str):
    with pytest.raises(BadSpan, match="--to must be after --from"):
        read_span(since, until)


@pytest.mark.parametrize(
    ("span", "first", "after"),
    [
        (Span(FIRST_US, FIRST_US + DAY_US), date(2026, 11, 20), date(2026, 11, 21)),
        (Span(FIRST_US + 1, FIRST_US + 2 * DAY_US), date(2026, 11, 21), date(2026, 11, 22)),
        (Span(FIRST_US + 1, FIRST_US + 2 * DAY_US - 1), date(2026, 11, 21), date(2026, 11, 21)),
        (Span(FIRST_US + 1, FIRST_US + 2), date(2026, 11, 21), date(2026, 11, 21)),
    ],
)
def test_a_day_that_is_cut_is_no_whole_day(span: Span, first: date, after: date):
    assert span.whole_days == (first, after)
