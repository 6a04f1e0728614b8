"""What a backup says of itself, what a lost record leaves, and which snapshots can stay."""

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.reading import Reading, Refused
from tollgate_console.commands.restore import restore
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision.keys import SEAL_PUBLIC_KEYS
from tollgate_console.recovery.backup import DUMP, MANIFEST, SCHEMAS, Manifest, backup_desk, read_manifest
from tollgate_console.recovery.publishing import _refusal
from tollgate_console.recovery.tape import _lost, _same, _seen, _set_aside
from tollgate_console.settings import load_settings
from tollgate_console.supervisor.alone import held
from tollgate_console.supervisor.lock import StateLock
from tollgate_console.supervisor.postgres_process import MAJOR


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A directory as a backup leaves it."""
    dump = b"a dump"
    (tmp_path / DUMP).write_bytes(dump)
    digest = hashlib.sha256(dump).hexdigest()
    manifest = Manifest(1, MAJOR, "main", SCHEMAS, {"archived_sequence": 7, "entry": 2}, len(dump), digest)
    (tmp_path / SEAL_PUBLIC_KEYS).write_text("ab\n")
    (tmp_path / MANIFEST).write_text(json.dumps(manifest.values()))
    return tmp_path


def test_a_backup_is_read_as_it_was_written(backup: Path) -> None:
    assert read_manifest(backup, "main").checkpoint == {"archived_sequence": 7, "entry": 2}


def change(backup: Path, **changes: Any) -> None:
    path = backup / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_damaged_dump_is_refused(backup: Path) -> None:
    (backup / DUMP).write_bytes(b"b dump")
    with pytest.raises(ConsoleError, match="is damaged"):
        read_manifest(backup, "main")


@pytest.mark.parametrize(
    ("changes", "words", "code"),
    [
        ({"format": "tollgate-backup/9"}, "format 'tollgate-backup/9'", ConsoleExit.USAGE),
        ({"postgres_major": MAJOR + 1}, f"made by PostgreSQL {MAJOR + 1}", ConsoleExit.BAD_CONFIGURATION),
        ({"schemas": {**SCHEMAS, "ledger": 2}}, "schemas of versions", ConsoleExit.BAD_CONFIGURATION),
        ({"desk": "other"}, "the books of desk 'other', this is desk 'main'", ConsoleExit.BAD_CONFIGURATION),
        ({"dump": {}}, "is no backup", ConsoleExit.USAGE),
    ],
)
def test_a_backup_that_is_not_for_this_desk_and_version_is_refused(
    backup: Path, changes: dict[str, Any], words: str, code: ConsoleExit
) -> None:
    change(backup, **changes)
    with pytest.raises(ConsoleError, match=words) as refused:
        read_manifest(backup, "main")
    assert refused.value.code is code


def test_a_restore_reads_the_configuration_that_the_desk_starts_with(
    backup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The command tells the processes that it starts by this variable; what it leaves there is not for other tests.
    monkeypatch.setenv("TOLLGATE_CONFIG", "")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "tollgate.yaml").write_text("desk: other\n")
    with pytest.raises(ConsoleError, match="this is desk 'other'"):
        restore(backup, state_dir=tmp_path / "desk")


def test_what_is_no_backup_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConsoleError, match="is no backup"):
        read_manifest(tmp_path, "main")


def test_a_backup_without_the_keys_of_its_seals_is_not_whole(backup: Path) -> None:
    (backup / SEAL_PUBLIC_KEYS).unlink()
    with pytest.raises(ConsoleError, match="is no backup"):
        read_manifest(backup, "main")


async def test_where_no_platform_is_nothing_is_made_and_nothing_backed_up(tmp_path: Path, layout: Layout) -> None:
    """Neither in a directory that is mistyped, nor in one whose database is gone."""
    layout.version_file.write_text("2\n")
    before = sorted(layout.root.rglob("*"))
    for where in (Layout(tmp_path / "mistyped"), layout):
        with pytest.raises(ConsoleError, match="there is no platform's database") as refused:
            await backup_desk(where, None, None, tmp_path / "backup")
        assert refused.value.code is ConsoleExit.USAGE
    after = sorted(tmp_path.rglob("*"))  # noqa: ASYNC240 - a test waits for nothing else
    assert after == [layout.root, *before]


async def test_while_a_command_is_alone_with_the_desk_nobody_takes_it_for_a_platform(
    layout: Layout, base_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A killed supervisor has left its word on what runs; who asks is told who really holds the directory."""
    monkeypatch.setenv("TOLLGATE_CONSOLE__DISK_FLOOR_MIB", "1")
    layout.platform_file.write_text(json.dumps({"ports": {"postgres": 1}}))
    (layout.root / "postgres" / "data").mkdir(parents=True)
    (layout.root / "postgres" / "data" / "PG_VERSION").write_text(f"{MAJOR}\n")
    with held(layout, load_settings(None, base_port)):
        with pytest.raises(ConsoleError, match=f"no platform runs on it yet: pid {os.getpid()}"):
            await backup_desk(layout, None, base_port, tmp_path / "backup")
        with pytest.raises(ConsoleError, match=f"is in use: pid {os.getpid()}"), StateLock(layout):
            pass


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
