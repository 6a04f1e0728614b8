"""Restoring the database from a backup, beside what is there: nothing is ever written over."""

import asyncio
import shutil
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import write_private
from tollgate_console.provision.database import DATABASE, SUPERUSER
from tollgate_console.provision.keys import POSTGRES_DSN, POSTGRES_SUPERUSER, SEAL_PUBLIC_KEYS, read_password
from tollgate_console.provision.logins import provision_logins
from tollgate_console.recovery.backup import DUMP, LAST_SEAL, Manifest, read_manifest
from tollgate_console.recovery.programs import restore_dump
from tollgate_console.supervisor.alone import Desk

_CONNECT_S = 5.0
_HAS_BOOKS = "SELECT archived_sequence FROM ledger.checkpoint"


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


async def restore_database(
    desk: Desk, directory: Path, watch: Stopwatch, *, replace: bool
) -> tuple[Manifest, str | None]:
    """Restore a backup; return what it says of itself, and under which name the database before is kept.

    Raises ``ConsoleError`` where books are there already and ``replace`` is not said.
    """
    manifest = await asyncio.to_thread(read_manifest, directory)
    watch.lap("check the backup")
    kept = await _set_aside(desk, replace=replace)
    # Roles first, as the dump names them; and once more after it, for whatever a newer version adds.
    await _with_server(desk, f'CREATE DATABASE "{DATABASE}"')
    await _apply_roles(desk)
    password = read_password(desk.layout, POSTGRES_SUPERUSER)
    await restore_dump(desk.database, password, DATABASE, directory / DUMP)
    await provision_logins(desk.layout, desk.database)
    _take_last_seal(desk, directory)
    watch.lap("restore the database")
    return manifest, kept


async def verify_restored(desk: Desk, directory: Path) -> None:
    """Run ``tollgate audit verify`` on what was restored; raises ``ConsoleError`` with its words where it fails."""
    secrets = desk.layout.secrets("reader")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tollgate_console", "audit", "verify"),
        *("--dsn-file", str(secrets / POSTGRES_DSN), "--public-keys", str(secrets / SEAL_PUBLIC_KEYS)),
        *("--last-seal", str(directory / LAST_SEAL)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    if process.returncode:
        words = said.decode(errors="replace").strip()
        raise ConsoleError(ConsoleExit.NOT_HEALTHY, f"what was restored does not hold; do not trade on it:\n{words}")


def trust_seals_of(desk: Desk, directory: Path) -> None:
    """Take over the backup's public keys, which verify its seals.

    Only for a state directory that is new: one with keys of its own believes no others.
    """
    path = desk.layout.secrets("reader") / SEAL_PUBLIC_KEYS
    keys = [*(directory / SEAL_PUBLIC_KEYS).read_text().split(), *path.read_text().split()]
    write_private(path, "".join(f"{key}\n" for key in dict.fromkeys(keys)))


async def _set_aside(desk: Desk, *, replace: bool) -> str | None:
    """Rename the database that is there, so that nothing of it is lost; one without any books is removed."""
    if not await _archived(desk, SUPERUSER, "SELECT count(*) FROM pg_database WHERE datname = $1", DATABASE):
        return None
    try:
        archived = await _archived(desk, DATABASE, _HAS_BOOKS)
    except asyncpg.PostgresError:
        # Without that table it is a database that was never made to the end.
        archived = 0
    if not archived:
        await _with_server(desk, f'DROP DATABASE "{DATABASE}" WITH (FORCE)')
        return None
    if not replace:
        raise ConsoleError(
            ConsoleExit.USAGE,
            f"the database of {desk.layout.root} has books up to record {archived}; with --replace it is renamed, and "
            "what is restored takes its place",
        )
    kept = f"{DATABASE}_before_{datetime.now(UTC):%Y%m%d_%H%M%S}"
    await _with_server(desk, f'ALTER DATABASE "{DATABASE}" RENAME TO "{kept}"')
    return kept


async def _archived(desk: Desk, database: str, question: str, *arguments: str) -> int:
    connection = await asyncpg.connect(desk.superuser_dsn(database), timeout=_CONNECT_S)
    try:
        return int(await connection.fetchval(question, *arguments) or 0)
    finally:
        await connection.close()


async def _with_server(desk: Desk, statement: str) -> None:
    connection = await asyncpg.connect(desk.superuser_dsn(SUPERUSER), timeout=_CONNECT_S)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _apply_roles(desk: Desk) -> None:
    roles, *_ = desk.schema
    connection = await asyncpg.connect(desk.superuser_dsn(DATABASE), timeout=_CONNECT_S)
    try:
        await connection.execute(roles.sql)
    finally:
        await connection.close()


def _take_last_seal(desk: Desk, directory: Path) -> None:
    """Put the backup's copy of the last seal in place of ours, which may be of a seal that the database has no more."""
    ours, theirs = desk.layout.service_state("ledger") / LAST_SEAL, directory / LAST_SEAL
    if ours.exists():
        ours.replace(ours.with_suffix(".replaced"))
    if theirs.exists():
        ours.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(theirs, ours)
