"""Readers remember what they have applied, for longer than the broker does."""

import json

from tollgate_chassis.tape import duplicates
from tollgate_chassis.tape.duplicates import Duplicates, Verdict
from tollgate_contracts.marketdata import Clock


def clock(message_id: str, cause: int | None = None) -> Clock:
    return Clock(id=message_id, desk="main", run_id="r1", ts_us=1, cause=cause, cycle_id=1)


def test_an_output_is_applied_once_however_long_ago_it_was():
    seen = Duplicates()
    assert seen.judge(clock("marketdata:5:0", 5), b"a") is Verdict.NEW
    assert seen.judge(clock("marketdata:5:1", 5), b"b") is Verdict.NEW
    assert seen.judge(clock("marketdata:9:0", 9), b"c") is Verdict.NEW
    assert seen.judge(clock("marketdata:5:1", 5), b"b") is Verdict.DUPLICATE


def test_ids_that_their_source_numbers_rise_across_epochs():
    seen = Duplicates()
    assert seen.judge(clock("marketdata:simulated:7.9"), b"a") is Verdict.NEW
    assert seen.judge(clock("marketdata:simulated:7.10"), b"b") is Verdict.NEW
    assert seen.judge(clock("marketdata:simulated:7.9"), b"a") is Verdict.DUPLICATE
    assert seen.judge(clock("marketdata:simulated:20.1"), b"c") is Verdict.NEW


def test_the_same_id_with_other_content_is_an_alarm_and_not_a_duplicate():
    seen = Duplicates()
    assert seen.judge(clock("risk:operator:kill"), b"a") is Verdict.NEW
    assert seen.judge(clock("risk:operator:kill"), b"a") is Verdict.DUPLICATE
    assert seen.judge(clock("risk:operator:kill"), b"b") is Verdict.CONFLICTING_DUPLICATE


def test_memory_is_bounded_and_survives_a_snapshot(monkeypatch):
    monkeypatch.setattr(duplicates, "REMEMBERED_MAX", 2)
    seen = Duplicates()
    for name in ("a", "b", "c"):
        seen.judge(clock(f"risk:operator:{name}"), b"x")
    again = Duplicates()
    again.restore(seen.snapshot())
    assert again.judge(clock("risk:operator:c"), b"x") is Verdict.DUPLICATE
    assert again.judge(clock("risk:operator:a"), b"x") is Verdict.NEW


def test_what_is_forgotten_next_outlives_a_database_that_sorts_its_keys(monkeypatch):
    """The ledger keeps its state in a jsonb column, which orders an object's keys by their length."""
    monkeypatch.setattr(duplicates, "REMEMBERED_MAX", 2)
    seen = Duplicates()
    for name in ("long-and-old", "b"):
        seen.judge(clock(f"risk:operator:{name}"), b"x")
    again = Duplicates()
    again.restore(json.loads(json.dumps(seen.snapshot(), sort_keys=True)))
    for each in (seen, again):
        each.judge(clock("risk:operator:c"), b"x")
    assert again.snapshot() == seen.snapshot()
    assert again.judge(clock("risk:operator:b"), b"x") is Verdict.DUPLICATE
