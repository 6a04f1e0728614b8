"""What of the tape is applied: the rules that the runner and a replay share, above all those about time."""

import pytest

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.reading import AHEAD_US_MAX, CYCLE_MAX, DUPLICATE, Reading, Refused
from tollgate_contracts.codec import encode
from tollgate_contracts.envelope import Message
from tollgate_contracts.ledger import Drift
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.money import ZERO
from tollgate_contracts.subjects import tape_subject

NOW_US = 1_800_000_000_000_000
HOUR_US = 3_600_000_000


def clock(number: int, ts_us: int) -> Clock:
    return Clock(
        id=f"marketdata:simulated:0.{number}", desk="main", run_id="r1", ts_us=ts_us, cause=None, cycle_id=number
    )


def record(message: Message, stored_us: int = NOW_US, sequence: int = 1) -> Record:
    return Record(sequence, tape_subject(message), message.id, encode(message), {}, stored_us)


@pytest.mark.parametrize("ahead_us", [-HOUR_US, -1, 0, 1, AHEAD_US_MAX])
def test_a_time_that_is_past_or_hardly_ahead_is_applied(ahead_us: int) -> None:
    message = clock(1, NOW_US + ahead_us)
    assert Reading("main").read(record(message)) == message


@pytest.mark.parametrize("ahead_us", [AHEAD_US_MAX + 1, HOUR_US])
def test_a_time_to_come_is_refused_with_the_clock_that_is_wrong(ahead_us: int) -> None:
    message = clock(1, NOW_US + ahead_us)
    refused = Reading("main").read(record(message))
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.misdated) == ("invalid", message)
    assert f"ts_us: {ahead_us / 1_000_000:.3f} s ahead of the broker's clock" in refused.detail
    assert "clock of marketdata" in refused.detail


def test_what_was_refused_for_its_time_does_not_move_the_tapes_time_nor_count_as_applied() -> None:
    reading = Reading("main")
    assert isinstance(reading.read(record(clock(1, NOW_US + HOUR_US))), Refused)
    assert isinstance(reading.read(record(clock(2, NOW_US + HOUR_US))), Refused)
    again = clock(1, NOW_US)
    assert reading.read(record(again)) == again


def test_what_the_tape_has_reached_is_applied_whatever_the_brokers_clock_has_done_since() -> None:
    """The broker's clock is set back between a cause and its output, which has the cause's time."""
    reading = Reading("main")
    cause = clock(1, NOW_US)
    assert reading.read(record(cause)) == cause
    output = Drift.caused_by(cause, 1, 0, currency="USDT", books=ZERO, venue=ZERO, difference=ZERO)
    assert reading.read(record(output, NOW_US - HOUR_US, 2)) == output
    later = clock(2, NOW_US + 1)
    assert isinstance(reading.read(record(later, NOW_US - HOUR_US, 3)), Refused)


def test_a_tape_without_a_clock_refuses_no_time() -> None:
    message = clock(1, NOW_US + HOUR_US)
    assert Reading("main").read(record(message, stored_us=0)) == message


def test_what_was_applied_and_the_tapes_time_outlive_a_snapshot() -> None:
    before, after = Reading("main"), Reading("main")
    message = clock(1, NOW_US)
    before.read(record(message))
    after.restore(before.snapshot())
    assert after.read(record(message)) is DUPLICATE
    reached = clock(2, NOW_US)
    assert after.read(record(reached, NOW_US - HOUR_US, 2)) == reached


BAD_PLACES = [
    ("tape.main.strategy.clock", {}),
    ("tape.main.marketdata.quote", {}),
    ("tape.main.marketdata.clock.BTC-USDT", {}),
    ("tape.other.marketdata.clock", {}),
    ("tape.main.marketdata.clock", {"desk": "other"}),
    ("tape.other.marketdata.clock", {"desk": "other"}),
]


@pytest.mark.parametrize(("subject", "changes"), BAD_PLACES)
def test_what_does_not_lie_where_its_writer_writes_such_a_thing_is_refused(
    subject: str, changes: dict[str, str]
) -> None:
    """A desk of another name, answered, would make every reader write where it may not."""
    message = clock(1, NOW_US).model_copy(update=changes)
    refused = Reading("main").read(Record(9, subject, message.id, encode(message), {}, stored_us=NOW_US))
    assert isinstance(refused, Refused)
    assert refused.reason == "foreign_writer"


BAD_IDS = [
    ("risk:operator:1-engaged", None),
    ("simulated:0.1", None),
    ("marketdata", None),
    ("marketdata:5:x", 5),
    ("marketdata:5:", 5),
    ("marketdata:5:-1", 5),
    ("marketdata:5:1_0", 5),
    ("marketdata:4:0", 5),
    ("marketdata", 5),
    ("risk:5:0", 5),
    ("marketdata:9:0", 9),
    ("marketdata:1000000:0", 1_000_000),
]


@pytest.mark.parametrize(("message_id", "cause"), BAD_IDS)
def test_an_id_that_its_writer_cannot_give_is_refused(message_id: str, cause: int | None) -> None:
    """Otherwise one service could have another's messages taken for duplicates, the kill switch among them."""
    message = clock(1, NOW_US).model_copy(update={"id": message_id, "cause": cause})
    refused = Reading("main").read(record(message, sequence=9))
    assert isinstance(refused, Refused)
    assert refused.reason == "invalid"
    assert refused.detail.startswith("id, cause: expected marketdata:")


@pytest.mark.parametrize(("over", "is_taken"), [(0, True), (1, False)])
def test_a_cycle_that_no_database_can_hold_is_refused(over: int, *, is_taken: bool) -> None:
    message = clock(CYCLE_MAX + over, NOW_US)
    outcome = Reading("main").read(record(message))
    if is_taken:
        assert outcome == message
    else:
        assert isinstance(outcome, Refused)
        assert outcome.detail == f"cycle_id: expected at most {CYCLE_MAX}, got {CYCLE_MAX + 1}"
