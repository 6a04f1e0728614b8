"""What a backup says of itself, what a lost record leaves, and which snapshots can stay."""

import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.reading import Reading, Refused
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.recovery.backup import DUMP, MANIFEST, Manifest, read_manifest
from tollgate_console.recovery.publishing import _refusal
from tollgate_console.recovery.tape import _lost, _same, _seen, _set_aside
from tollgate_console.supervisor.postgres_process import MAJOR


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A directory as a backup leaves it."""
    dump = b"a dump"
    (tmp_path / DUMP).write_bytes(dump)
    digest = hashlib.sha256(dump).hexdigest()
    manifest = Manifest(1, MAJOR, {"archived_sequence": 7, "entry": 2}, len(dump), digest)
    (tmp_path / MANIFEST).write_text(json.dumps(manifest.values()))
    return tmp_path


def test_a_backup_is_read_as_it_was_written(backup: Path) -> None:
    assert read_manifest(backup).checkpoint == {"archived_sequence": 7, "entry": 2}


def change(backup: Path, **changes: Any) -> None:
    path = backup / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_damaged_dump_is_refused(backup: Path) -> None:
    (backup / DUMP).write_bytes(b"b dump")
    with pytest.raises(ConsoleError, match="is damaged"):
        read_manifest(backup)


@pytest.mark.parametrize(
    ("changes", "words", "code"),
    [
        ({"format": "tollgate-backup/9"}, "format 'tollgate-backup/9'", ConsoleExit.USAGE),
        ({"postgres_major": MAJOR + 1}, f"made by PostgreSQL {MAJOR + 1}", ConsoleExit.BAD_CONFIGURATION),
        ({"dump": {}}, "is no backup", ConsoleExit.USAGE),
    ],
)
def test_a_backup_of_another_version_is_refused(
    backup: Path, changes: dict[str, Any], words: str, code: ConsoleExit
) -> None:
    change(backup, **changes)
    with pytest.raises(ConsoleError, match=words) as refused:
        read_manifest(backup)
    assert refused.value.code is code


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConsoleError, match="is no backup"):
        read_manifest(tmp_path)


def record(sequence: int, data: bytes = b"{}") -> Record:
    return Record(sequence, "tape.main.risk.mode", f"m{sequence}", data, {}, 5)


def test_the_first_record_that_is_not_the_archived_one_is_named() -> None:
    _same([record(1), record(2)], [record(1), record(2)])
    with pytest.raises(ConsoleError, match="record 2 on the tape is another"):
        _same([record(1), record(2), record(3)], [record(1), record(2, b"x"), record(3, b"x")])
    with pytest.raises(ConsoleError, match="record 3 on the tape is not there"):
        _same([record(1), record(2), record(3)], [record(1), record(2)])


def test_nobody_applies_what_stands_in_the_place_of_a_lost_record() -> None:
    lost = _lost("main", 9)
    assert lost.sequence == 9
    assert isinstance(Reading("main").read(lost), Refused)


ANSWERS = [
    ("it lies at its place", {"seq": 7}, ""),
    ("its id is remembered", {"seq": 3, "duplicate": True}, "has the same id"),
    ("one before it was not taken", {"error": {"err_code": 10071, "description": "wrong last sequence: 5"}}, "wrong"),
]


@pytest.mark.parametrize(("answer", "words"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
def test_what_the_broker_answers_says_whether_a_record_is_tried_again(answer: dict[str, Any], words: str) -> None:
    assert words in _refusal(record(7), answer)
    assert bool(words) == bool(_refusal(record(7), answer))


def test_a_broker_without_room_ends_the_restore() -> None:
    with pytest.raises(ConsoleError, match="tape_mib_max"):
        _refusal(record(7), {"error": {"err_code": 10077, "description": "maximum bytes exceeded"}})


def snapshot(layout: Layout, service: str, sequence: int, mark: int) -> Path:
    state = layout.service_state(service)
    state.mkdir(parents=True)
    body = json.dumps({"sequence": sequence, "state": {}})
    (state / "snapshot.json").write_text(f"digest\n{body}")
    (state / "high-water").write_bytes(struct.pack(">Q", mark))
    return state / "snapshot.json"


def test_only_snapshots_that_hold_what_was_lost_are_moved_aside(layout: Layout) -> None:
    older, newer = snapshot(layout, "risk", 100, 130), snapshot(layout, "strategy", 121, 125)
    assert _seen(layout) == 130
    assert _set_aside(layout, 120) == ("strategy",)
    assert (older.exists(), newer.exists()) == (True, False)
    assert len(list(newer.parent.glob("snapshot.before-*.json"))) == 1


def test_a_directory_without_services_has_seen_nothing(layout: Layout) -> None:
    assert _seen(layout) == 0
    assert _set_aside(layout, 5) == ()
