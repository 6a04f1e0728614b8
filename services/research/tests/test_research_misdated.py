"""What a reader refused for its time is refused in a replay of the recording too."""

from pathlib import Path

import pytest

from tollgate_chassis.tape import Record
from tollgate_contracts.codec import encode
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.subjects import tape_subject
from tollgate_research.recording import FORMAT, BadRecording, load, writing
from tollgate_research.replay import Replay

NOW_US = 1_800_000_000_000_000


def clock(number: int, ts_us: int) -> Record:
    message = Clock(
        id=f"marketdata:simulated:0.{number}", desk="main", run_id="r1", ts_us=ts_us, cause=None, cycle_id=number
    )
    return Record(number, tape_subject(message), message.id, encode(message), {}, NOW_US)


def test_a_recording_keeps_the_brokers_time_and_its_replay_refuses_the_same(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl.gz"
    with writing(path, "main") as writer:
        writer.tape([clock(1, NOW_US), clock(2, NOW_US + 3_600_000_000), clock(3, NOW_US)])
    run = load(path)
    assert [record.stored_us for record in run.records] == [NOW_US] * 3
    report = Replay(run.desk).run(run)
    assert (report.records, report.refused, report.duplicates) == (3, 1, 0)


def test_a_recording_of_the_format_before_is_refused_and_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.jsonl.gz"
    with monkeypatch.context() as before:
        before.setattr("tollgate_research.recording.FORMAT", "tollgate-run/1")
        with writing(path, "main"):
            pass
    with pytest.raises(BadRecording, match=f"format 'tollgate-run/1', expected '{FORMAT}'"):
        load(path)
