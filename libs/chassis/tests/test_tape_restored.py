"""When a record that was put back from the archive counts as stored."""

import pytest

from tollgate_chassis.tape.restored import (
    METADATA,
    STORED_US_HEADER,
    first_stored_us,
    restored_spans,
    restored_text,
)

CASES = [
    ("in a span that was put back", "1-5", 5, {STORED_US_HEADER: "17"}, 17),
    ("in the second span", "1-5,9-9", 9, {STORED_US_HEADER: "17"}, 17),
    ("behind the span, where a service could have written the header", "1-5", 6, {STORED_US_HEADER: "17"}, None),
    ("between two spans", "1-5,9-9", 7, {STORED_US_HEADER: "17"}, None),
    ("on a tape that was never put back", "", 1, {STORED_US_HEADER: "17"}, None),
    ("without the header", "1-5", 1, {}, None),
    ("with a header that is no time", "1-5", 1, {STORED_US_HEADER: "-1"}, None),
]


@pytest.mark.parametrize(
    ("spans", "sequence", "headers", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_the_first_time_counts_only_where_the_stream_says_so(spans, sequence, headers, expected):
    description = {"config": {"metadata": {METADATA: spans}}}
    assert first_stored_us(sequence, headers, restored_spans(description)) == expected


def test_a_stream_without_metadata_has_nothing_that_was_put_back():
    assert restored_spans({"config": {}}) == restored_spans({"config": {"metadata": None}}) == ()


def test_the_text_names_the_spans_and_leaves_empty_ones_out():
    spans = (range(1, 6), range(8, 8), range(9, 10))
    assert restored_text(spans) == "1-5,9-9"
    assert restored_spans({"config": {"metadata": {METADATA: restored_text(spans)}}}) == (range(1, 6), range(9, 10))
