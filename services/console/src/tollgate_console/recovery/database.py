"""Restoring the database from a backup, beside what is there: nothing is ever written over.

The backup is restored, provisioned and verified under a name of its own. Only then does it take the place of the
database in use, which is renamed in the same transaction. Whatever ends the command before that leaves the desk as it
was.
"""

import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import write_private
from tollgate_console.provision.database import (
    DATABASE,
    DATABASE_LOGINS,
    READER,
    RESTORING,
    SUPERUSER,
    provision_database,
    role_of,
)
from tollgate_console.provision.keys import POSTGRES_SUPERUSER, SEAL_PUBLIC_KEYS, read_password, trust
from tollgate_console.recovery.backup import DUMP, LAST_SEAL, Manifest
from tollgate_console.recovery.programs import restore_dump
from tollgate_console.supervisor.alone import Desk

_CONNECT_S = 5.0
_HAS_BOOKS = "SELECT archived_sequence FROM ledger.checkpoint"
_IS_THERE = "SELECT count(*) FROM pg_database WHERE datname = $1"
# What is not in the journal may have been sent after the backup was made; execution asks the venue, and removes this.
_MARK = """
INSERT INTO execution.restored (desk, at_us) VALUES ($1, $2) ON CONFLICT (desk) DO UPDATE SET at_us = excluded.at_us
"""
_UNUSED = """
SELECT count(*) FROM ledger.checkpoint JOIN execution.restored USING (desk)
WHERE archived_sequence = $1 AND encode(chain_hash, 'hex') = $2 AND encode(entry_hash, 'hex') = $3
"""
_NEWEST_SEAL = """
SELECT number, archived_sequence, encode(archive_hash, 'hex') AS archive_hash, entry,
       encode(entry_hash, 'hex') AS entry_hash, at_us, key_id, encode(signature, 'hex') AS signature
FROM ledger.seals ORDER BY number DESC LIMIT 1
"""
_DSN = "restoring_dsn"


@dataclass
class Stopwatch:
    """How long each step took, in the order of the steps."""

    seconds: dict[str, float] = field(default_factory=dict)
    _since: float = field(default_factory=time.monotonic)

    def lap(self, step: str) -> None:
        """Note that ``step`` has just ended."""
        now = time.monotonic()
        self.seconds[step] = round(now - self._since, 3)
        self._since = now


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup, and what verifies it."""

    directory: Path
    manifest: Manifest
    keys: Path
    """The public keys of its seals."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored, now that it is in use."""

    before: str | None
    """Under which name the database before is kept."""
    not_proved: tuple[str, ...]
    """What the verification could not look at."""


async def restore_database(desk: Desk, backup: Backup, watch: Stopwatch, *, replace: bool) -> Restored:
    """Restore a backup, verify it, and put it in the place of what is there.

    One that a run before has put in use, and that nobody has used since, stays. Raises ``ConsoleError`` where other
    books are there already and ``replace`` is not said, and where the backup does not hold.
    """
    archived = await _books(desk)
    if archived and not replace and await _is_in_use(desk, backup.manifest):
        _keep_seal(desk, await _newest_seal(desk, DATABASE))
        return Restored(None, ())
    if archived and not replace:
        raise ConsoleError(
            ConsoleExit.USAGE,
            f"the database of {desk.layout.root} has books up to record {archived}; with --replace it is renamed, and "
            "what is restored takes its place",
        )
    await _build(desk, backup.directory)
    watch.lap("restore the database")
    not_proved = await _verify(desk, backup)
    watch.lap("verify the books")
    await _ask(desk, RESTORING, _MARK, desk.settings.desk, time.time_ns() // 1_000)
    seal = await _newest_seal(desk, RESTORING)
    _believe(desk, backup.keys)
    before = await _take_its_place(desk, has_books=bool(archived))
    _keep_seal(desk, seal)
    return Restored(before, not_proved)


async def _books(desk: Desk) -> int | None:
    """Return up to which record there are books; none where there is no database."""
    if not await _ask(desk, SUPERUSER, _IS_THERE, DATABASE):
        return None
    try:
        return int(await _ask(desk, DATABASE, _HAS_BOOKS) or 0)
    except asyncpg.UndefinedTableError:
        # It was never made to the end.
        return 0


async def _is_in_use(desk: Desk, manifest: Manifest) -> bool:
    """Tell whether the database in use is this very backup, restored, and execution has not begun with it."""
    place = (manifest.checkpoint[name] for name in ("archived_sequence", "chain_hash", "entry_hash"))
    try:
        return bool(await _ask(desk, DATABASE, _UNUSED, *place))
    except asyncpg.UndefinedTableError:
        return False


async def _build(desk: Desk, directory: Path) -> None:
    # What is left of a restore that was cut off was never in use.
    await _run(desk, SUPERUSER, f'DROP DATABASE IF EXISTS "{RESTORING}" WITH (FORCE)', f'CREATE DATABASE "{RESTORING}"')
    # Roles first, as the dump names them; and once more after it, with whatever is applied at each start.
    roles, *_ = desk.schema
    await _run(desk, RESTORING, roles.sql)
    password = read_password(desk.layout, POSTGRES_SUPERUSER)
    await restore_dump(desk.database, password, RESTORING, directory / DUMP)
    passwords = {role_of(login): read_password(desk.layout, login) for login in DATABASE_LOGINS}
    await provision_database(desk.database, password, passwords, desk.schema, RESTORING)


async def _verify(desk: Desk, backup: Backup) -> tuple[str, ...]:
    """Run ``tollgate audit verify``, with the reader's rights; returns what it could not look at.

    Raises ``ConsoleError`` with its words where something does not hold.
    """
    dsn = desk.layout.secrets(READER) / _DSN
    write_private(dsn, desk.database.dsn(role_of(READER), read_password(desk.layout, READER), RESTORING))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tollgate_console", "audit", "verify", "--json"),
        *("--state-dir", str(desk.layout.root), "--dsn-file", str(dsn)),
        *("--public-keys", str(backup.keys), "--last-seal", str(backup.directory / LAST_SEAL)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
        dsn.unlink()
    try:
        audit: dict[str, Any] = json.loads(said)
    except ValueError:
        audit = {"holds": False}
    if not audit["holds"]:
        words = (said + complaint).decode(errors="replace").strip()
        raise ConsoleError(ConsoleExit.NOT_HEALTHY, f"what was restored does not hold and was not put in use:\n{words}")
    return tuple(audit["not_proved"])


async def _newest_seal(desk: Desk, database: str) -> dict[str, Any] | None:
    connection = await asyncpg.connect(desk.superuser_dsn(database), timeout=_CONNECT_S)
    try:
        seal = await connection.fetchrow(_NEWEST_SEAL)
    finally:
        await connection.close()
    return None if seal is None else {"desk": desk.settings.desk, **seal}


def _believe(desk: Desk, keys: Path) -> None:
    """Trust from now on what has verified the seals: the next audit reads them too."""
    trust(desk.layout.secrets(READER) / SEAL_PUBLIC_KEYS, keys.read_text().split())


async def _take_its_place(desk: Desk, *, has_books: bool) -> str | None:
    """Put what was restored in use; return under which name the database before is kept, if it had books."""
    renaming = f'ALTER DATABASE "{RESTORING}" RENAME TO "{DATABASE}"'
    if not has_books:
        await _run(desk, SUPERUSER, f'DROP DATABASE IF EXISTS "{DATABASE}" WITH (FORCE)', renaming)
        return None
    kept = f"{DATABASE}_before_{_now()}"
    # Both or neither: at no moment is there a desk without books.
    await _run(desk, SUPERUSER, "BEGIN", f'ALTER DATABASE "{DATABASE}" RENAME TO "{kept}"', renaming, "COMMIT")
    return kept


def _keep_seal(desk: Desk, seal: dict[str, Any] | None) -> None:
    """Lay our copy of the last seal aside and keep the restored one: the ledger halts on any but its database's.

    What is laid aside proves that the books were once further, and is never written over.
    """
    ours = desk.layout.service_state("ledger") / LAST_SEAL
    if ours.exists() and seal is not None and json.loads(ours.read_text()) == seal:
        return
    if ours.exists():
        ours.rename(ours.with_name(f"{ours.stem}.before-{_now()}{ours.suffix}"))
    if seal is not None:
        write_private(ours, json.dumps(seal))


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%dt%H%M%S}"


async def _ask(desk: Desk, database: str, question: str, *arguments: object) -> Any:
    connection = await asyncpg.connect(desk.superuser_dsn(database), timeout=_CONNECT_S)
    try:
        return await connection.fetchval(question, *arguments)
    finally:
        await connection.close()


async def _run(desk: Desk, database: str, *statements: str) -> None:
    connection = await asyncpg.connect(desk.superuser_dsn(database), timeout=_CONNECT_S)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
