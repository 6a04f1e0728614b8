"""Backups of real, sealed books and what a restore makes of them: in use once they are verified, and not before."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.recovery.conftest import Books, Machine, keeper_of
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.provision.database import DATABASE, RESTORING, SUPERUSER
from tollgate_console.provision.keys import SEAL_PUBLIC_KEYS
from tollgate_console.provision.logins import provision_logins
from tollgate_console.recovery import backup, database
from tollgate_console.recovery.backup import LAST_SEAL, SCHEMAS, read_manifest
from tollgate_console.recovery.restore import Wish, restore_desk, told
from tollgate_console.supervisor.alone import Desk

_STRANGER = "ab" * 32
_NO_KEY = "(?s)was not put in use.*none of the public keys"


async def restored(machine: Machine, directory: Path, **wish: Any) -> dict[str, Any]:
    """Restore as the command does; return what it says of the database."""
    said = Wish(directory, **{"tape": False, "replace": False, **wish})
    outcome = await restore_desk(machine.layout, None, machine.base_port, said)
    print(json.dumps(outcome["seconds"]))
    print(*told(outcome), sep="\n")
    answer: dict[str, Any] = outcome["database"]
    return answer


async def ask(desk: Desk, name: str, question: str) -> list[Any]:
    connection = await asyncpg.connect(desk.superuser_dsn(name))
    try:
        return [row[0] for row in await connection.fetch(question)]
    finally:
        await connection.close()


async def databases(machine: Machine) -> list[Any]:
    """Return the names of the machine's databases, ours only."""
    async with machine.running() as desk:
        return await ask(
            desk, SUPERUSER, "SELECT datname FROM pg_database WHERE datname LIKE 'tollgate%' ORDER BY datname"
        )


def kept_seal(machine: Machine) -> dict[str, Any]:
    seal: dict[str, Any] = json.loads((machine.layout.service_state("ledger") / LAST_SEAL).read_text())
    return seal


def laid_aside(machine: Machine) -> list[Path]:
    return sorted(machine.layout.service_state("ledger").glob("last-seal.before-*.json"))


async def test_a_backup_says_what_it_is_of_and_is_its_owner_s_alone(books: Books) -> None:
    manifest = read_manifest(books.backup, "main")
    assert (manifest.desk, manifest.schemas) == ("main", SCHEMAS)
    assert manifest.checkpoint["archived_sequence"] == books.records
    assert books.backup.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in books.backup.iterdir()} == {0o600}


async def test_a_backup_that_cannot_be_written_says_why_and_leaves_nothing(
    books: Books, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("TOLLGATE_CONSOLE__DISK_FLOOR_MIB", "1")
    monkeypatch.setattr(backup, "_finish", _no_space)
    for directory, words, code in (
        (file / "backup", "cannot be written: .*Not a directory", ConsoleExit.TEMPORARY),
        (tmp_path / "backup", "cannot be written: .*No space left", ConsoleExit.TEMPORARY),
        (books.backup, "is there already", ConsoleExit.USAGE),
    ):
        with pytest.raises(ConsoleError, match=words) as refused:
            await backup.backup_desk(books.origin.layout, None, books.origin.base_port, directory)
        assert refused.value.code is code
    assert [*tmp_path.iterdir()] == [file]  # noqa: ASYNC240 - a test waits for nothing else


def _no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def test_on_a_new_machine_every_attempt_is_as_good_as_the_first(
    books: Books, machine: Callable[[], Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistyped path leaves nothing, a run that was cut off leaves nothing in use, and the next one ends well.

    The ledger has sealed while the dump was made, and the backup holds all the same.
    """
    new = machine()
    with pytest.raises(ConsoleError, match="is no backup"):
        await restored(new, books.backup.with_name("bakcup"))
    assert not new.layout.root.exists()

    with monkeypatch.context() as patched:
        patched.setattr(database, "provision_database", _cut_off)
        with pytest.raises(asyncio.CancelledError):
            await restored(new, books.backup)
    assert await databases(new) == [RESTORING]

    outcome = await restored(new, books.backup)
    assert (outcome["archived_sequence"], outcome["keys"], outcome["before"]) == (books.records, "backup", None)
    async with new.running() as desk:
        assert not desk.is_new
        assert await ask(desk, DATABASE, "SELECT archived_sequence FROM ledger.checkpoint") == [books.records]
        assert await ask(desk, DATABASE, "SELECT desk FROM execution.restored") == ["main"]
        newest = await ask(desk, DATABASE, "SELECT encode(signature, 'hex') FROM ledger.seals ORDER BY number DESC")
        assert kept_seal(new)["signature"] == newest[0]
        # The ledger opens these books, and finds the seal that it is to have kept.
        await provision_logins(desk.layout, desk.database)
        store = keeper_of(desk).store
        assert (await store.open()).place.archived == books.records
        await store.close()
    theirs = (books.backup / SEAL_PUBLIC_KEYS).read_text().split()
    assert set(theirs) < set((new.layout.secrets("reader") / SEAL_PUBLIC_KEYS).read_text().split())
    assert await databases(new) == [DATABASE]


async def _cut_off(*_: object) -> None:
    raise asyncio.CancelledError


async def trade_on(machine: Machine) -> None:
    """Do what execution does once it can trust its journal again."""
    async with machine.running() as desk:
        await ask(desk, DATABASE, "DELETE FROM execution.restored RETURNING desk")


def seal_on(machine: Machine, number: int) -> None:
    """Keep a seal that is newer than any in the backup, as a ledger does that has gone on."""
    kept = machine.layout.service_state("ledger") / LAST_SEAL
    kept.write_text(json.dumps({**kept_seal(machine), "number": number}))


async def test_books_are_replaced_only_when_told_and_only_by_books_that_hold(
    books: Books, machine: Callable[[], Machine], tmp_path: Path
) -> None:
    """What was there before stays under a name of its own each time, and so does each last seal."""
    desk = machine()
    await restored(desk, books.backup)
    first = kept_seal(desk)
    # Run again, as after a run that was cut off behind it: it is in use already, and not even its seal is laid aside.
    assert (await restored(desk, books.backup))["before"] is None
    assert (kept_seal(desk), laid_aside(desk)) == (first, [])
    await trade_on(desk)
    with pytest.raises(ConsoleError, match="--replace"):
        await restored(desk, books.backup)

    strange = tmp_path / "keys"
    strange.write_text(f"{_STRANGER}\n")
    with pytest.raises(ConsoleError, match=_NO_KEY):
        await restored(desk, books.backup, replace=True, public_keys=strange)
    assert (kept_seal(desk), laid_aside(desk)) == (first, [])
    assert _STRANGER not in (desk.layout.secrets("reader") / SEAL_PUBLIC_KEYS).read_text()
    assert await databases(desk) == [DATABASE, RESTORING]

    seal_on(desk, 98)
    before = (await restored(desk, books.backup, replace=True))["before"]
    assert await databases(desk) == [DATABASE, before]
    seal_on(desk, 99)
    given = await restored(desk, books.backup, replace=True, public_keys=books.backup / SEAL_PUBLIC_KEYS)
    assert given["keys"] == "given"
    assert await databases(desk) == sorted([DATABASE, before, given["before"]])
    assert [json.loads(path.read_text())["number"] for path in laid_aside(desk)] == [98, 99]
    assert kept_seal(desk) == first


async def test_a_desk_with_keys_of_its_own_believes_no_backup_s(books: Books, machine: Callable[[], Machine]) -> None:
    desk = machine()
    async with desk.running():
        pass
    desk.layout.new_desk_file.unlink()
    with pytest.raises(ConsoleError, match=_NO_KEY):
        await restored(desk, books.backup)
    assert await databases(desk) == [RESTORING]
    assert not (desk.layout.service_state("ledger") / LAST_SEAL).exists()
