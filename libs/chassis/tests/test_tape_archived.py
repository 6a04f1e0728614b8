"""How a record is archived: whatever the broker carries, as texts that a database can hold, chained and read back."""

import json

import pytest

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.archived import archived_headers, archived_text, record_of
from tollgate_chassis.tape.chain import GENESIS, chain_hash, continued, row_hash

CARRIED = ["", "tape.main.x", "a\0b", "\0", '"', "\\", "\\u0000", "ü", "\U0001f600", "\ufffd", "a\nb\rc\x85", "\udc80"]


def row(record):
    return {
        "tape_sequence": record.sequence,
        "subject": archived_text(record.subject),
        "message_id": archived_text(record.message_id),
        "headers": archived_headers(record.headers),
        "body": record.data,
        "stored_us": record.stored_us,
    }


@pytest.mark.parametrize("text", CARRIED)
def test_every_text_comes_back_and_is_one_that_a_database_can_hold(text):
    record = Record(7, text, text, b"\0\xff", {text: text, "a": "b"}, 5)
    kept = row(record)
    assert all(kept[name].isascii() and kept[name].isprintable() for name in ("subject", "message_id", "headers"))
    assert record_of(kept) == record
    assert row_hash(GENESIS, kept) == continued(GENESIS, record)


def test_what_is_plain_is_archived_as_it_is():
    assert archived_text("tape.main.execution.order.BTC-USDT") == "tape.main.execution.order.BTC-USDT"


def test_texts_that_differ_are_archived_as_texts_that_differ():
    assert len({archived_text(text) for text in CARRIED}) == len(CARRIED)


def test_the_order_in_which_headers_came_does_not_count():
    assert archived_headers({"b": "1", "a": "2"}) == archived_headers({"a": "2", "b": "1"})


OTHERWISE = {
    "tape_sequence": 2,
    "subject": "\\u0061",
    "message_id": "x",
    "headers": '{"a": "b"}',
    "body": b"x",
    "stored_us": 6,
}


@pytest.mark.parametrize("column", OTHERWISE)
def test_a_row_that_was_changed_has_another_hash(column):
    """Also where it would be read as the same record: the texts are hashed as they lie there."""
    record = Record(1, "a", "b", b"c", {"a": "b"}, 5)
    assert row_hash(GENESIS, {**row(record), column: OTHERWISE[column]}) != continued(GENESIS, record)


@pytest.mark.parametrize("column", ["subject", "message_id", "headers", "body", "stored_us"])
def test_a_row_that_lacks_something_has_no_hash(column):
    assert row_hash(GENESIS, {**row(Record(1, "a", "b", b"c", {}, 5)), column: None}) == b""


@pytest.mark.parametrize(
    "changed",
    [*({"headers": json.dumps(headers)} for headers in (5, [], {"a": 5}, {"a": None}, "x")), {"subject": '"'}],
)
def test_a_row_that_keeps_no_record_is_not_read_as_one(changed):
    with pytest.raises(ValueError, match=r"headers|Expecting|Extra data"):
        record_of({**row(Record(1, "a", "b", b"c", {}, 5)), **changed})


def test_everything_of_a_record_is_under_the_hash():
    record = {"sequence": 1, "subject": "a", "message_id": "b", "body": b"c", "headers": {"d": "e"}, "stored_us": 1}
    changed = {"sequence": 2, "subject": "x", "message_id": "x", "body": b"x", "headers": {"d": "x"}, "stored_us": 2}
    hashes = {chain_hash(GENESIS, **record), chain_hash(bytes(range(32)), **record)}
    hashes |= {chain_hash(GENESIS, **{**record, field: value}) for field, value in changed.items()}
    assert len(hashes) == 2 + len(changed)


def test_parts_that_run_into_each_other_have_different_hashes():
    assert chain_hash(GENESIS, 1, "ab", "c", b"") != chain_hash(GENESIS, 1, "a", "bc", b"")
    assert chain_hash(GENESIS, 1, "a", "b", b"c") != chain_hash(GENESIS, 1, "a", "bc", b"")
