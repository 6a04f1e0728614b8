"""A backup: the whole database as of one moment, with what proves later that it is whole.

A dump and no copy of the server's files: it is of one moment without stopping anything, it can be restored into a
database of the next major version, it holds nothing that the server's own files may have lost, and what it holds is
verified row by row after it was restored. It has no secrets. Between two backups the tape has what came after.
"""

import hashlib
import json
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.health.collect import find_platform
from tollgate_console.layout import PRIVATE_DIRECTORY, PRIVATE_FILE, Layout, write_json
from tollgate_console.provision.database import DATABASE, SUPERUSER, DatabasePlace
from tollgate_console.provision.keys import POSTGRES_SUPERUSER, SEAL_PUBLIC_KEYS, read_password
from tollgate_console.recovery.programs import dump_database
from tollgate_console.settings import load_settings
from tollgate_console.supervisor.alone import database_running, held
from tollgate_console.supervisor.lock import is_held
from tollgate_console.supervisor.postgres_process import MAJOR, has_data

FORMAT = "tollgate-backup/1"
MANIFEST = "manifest.json"
DUMP = "tollgate.dump"
LAST_SEAL = "last-seal.json"
# A restored database is used as it is, so its schemas must be those that this version's services expect.
SCHEMAS = {"execution": 3, "ledger": 3}
_SCHEMAS = """
SELECT (SELECT version FROM execution.schema_version) AS execution,
       (SELECT version FROM ledger.schema_version) AS ledger
"""
_CHECKPOINT = """
SELECT desk, archived_sequence, encode(chain_hash, 'hex') AS chain_hash, entry, encode(entry_hash, 'hex') AS entry_hash
FROM ledger.checkpoint
"""
_CHUNK = 1_048_576
_CONNECT_S = 5.0


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself."""

    made_us: int
    postgres_major: int
    desk: str | None
    """Whose books; none where nothing was archived yet."""
    schemas: dict[str, int]
    """The version of each schema, by its name."""
    checkpoint: dict[str, Any]
    """Where archive and journal stood at that moment, with both chains' hashes in hexadecimal."""
    dump_bytes: int
    dump_sha256: str

    def values(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        dump = {"file": DUMP, "bytes": self.dump_bytes, "sha256": self.dump_sha256}
        versions = {"postgres_major": self.postgres_major, "schemas": self.schemas}
        place = {"made_us": self.made_us, "desk": self.desk, "checkpoint": self.checkpoint}
        return {"format": FORMAT, **versions, **place, "dump": dump}


async def backup_desk(
    layout: Layout, config: Path | None, base_port: int | None, directory: Path
) -> tuple[Manifest, float]:
    """Back up a desk, whether its platform runs or not; return the manifest and how many seconds it took.

    Raises ``ConsoleError`` where there is no desk, and when its database or the disk is in the way.
    """
    began = time.monotonic()
    if not layout.version_file.exists() or not has_data(layout):
        raise ConsoleError(
            ConsoleExit.USAGE, f"there is no platform's database in {layout.root}; name the right one with --state-dir"
        )
    try:
        if is_held(layout):
            manifest = await make_backup(layout, DatabasePlace(find_platform(layout)["ports"]["postgres"]), directory)
        else:
            with held(layout, load_settings(config, base_port)) as desk:
                async with database_running(desk) as place:
                    manifest = await make_backup(layout, place, directory)
    except OSError as error:
        raise ConsoleError(ConsoleExit.TEMPORARY, f"the backup cannot be written: {error}") from error
    return manifest, time.monotonic() - began


async def make_backup(layout: Layout, place: DatabasePlace, directory: Path) -> Manifest:
    """Write a backup into ``directory``, which must not be there yet; it is there whole or not at all."""
    beside = _begin(directory)
    try:
        # Before the dump's moment: the ledger keeps a seal after it has committed it, so what is kept by now is dumped.
        _copy_last_seal(layout, beside)
        manifest = await _dump(place, read_password(layout, POSTGRES_SUPERUSER), beside)
        _finish(layout, directory, beside, manifest)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return manifest


def _begin(directory: Path) -> Path:
    if directory.exists():
        raise ConsoleError(ConsoleExit.USAGE, f"{directory} is there already; name a directory that is not")
    beside = directory.with_name(f"{directory.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=PRIVATE_DIRECTORY, parents=True)
    return beside


def _copy_last_seal(layout: Layout, beside: Path) -> None:
    last = layout.service_state("ledger") / LAST_SEAL
    if last.exists():
        shutil.copyfile(last, beside / LAST_SEAL)


def _finish(layout: Layout, directory: Path, beside: Path, manifest: Manifest) -> None:
    write_json(beside / MANIFEST, manifest.values())
    shutil.copyfile(layout.secrets("reader") / SEAL_PUBLIC_KEYS, beside / SEAL_PUBLIC_KEYS)
    for path in beside.iterdir():
        # Wherever the directory is moved to: it holds what the desk owns and how it trades.
        path.chmod(PRIVATE_FILE)
        _sync(path)
    _sync(beside)
    beside.rename(directory)
    _sync(directory.parent)


async def _dump(place: DatabasePlace, password: str, directory: Path) -> Manifest:
    try:
        connection = await asyncpg.connect(place.dsn(SUPERUSER, password), timeout=_CONNECT_S)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                # The dump sees what this transaction sees, so the manifest is of the same moment.
                snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
                made_us = time.time_ns() // 1_000
                said = await _what_is_there(connection)
                await dump_database(place, password, DATABASE, directory / DUMP, snapshot)
        finally:
            await connection.close()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        what = str(error) or type(error).__name__
        raise ConsoleError(ConsoleExit.TEMPORARY, f"the database cannot be backed up: {what}") from error
    size, digest = _measured(directory / DUMP)
    return Manifest(made_us, MAJOR, *said, size, digest)


async def _what_is_there(
    connection: "asyncpg.Connection[asyncpg.Record]",
) -> tuple[str | None, dict[str, int], dict[str, Any]]:
    schemas, checkpoint = await connection.fetchrow(_SCHEMAS), await connection.fetchrow(_CHECKPOINT)
    if schemas is None or checkpoint is None:
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION, "the database has no books: the checkpoint's row is not there"
        )
    place = dict(checkpoint)
    return place.pop("desk"), dict(schemas), place


def read_manifest(directory: Path, desk: str) -> Manifest:
    """Return what a backup says of itself, which must be of ``desk``; changes nothing.

    Raises ``ConsoleError`` when it is none, is not whole, or cannot be used by this version.
    """
    try:
        content = json.loads((directory / MANIFEST).read_text())
        dump = content["dump"]
        versions = (content["postgres_major"], content["desk"], content["schemas"])
        manifest = Manifest(content["made_us"], *versions, content["checkpoint"], dump["bytes"], dump["sha256"])
        (directory / SEAL_PUBLIC_KEYS).read_text()
        made_by, measured = content["format"], _measured(directory / DUMP)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConsoleError(ConsoleExit.USAGE, f"{directory} is no backup: {error}") from error
    if made_by != FORMAT:
        raise ConsoleError(ConsoleExit.USAGE, f"{directory} is a backup of format {made_by!r}, expected {FORMAT!r}")
    if measured != (manifest.dump_bytes, manifest.dump_sha256):
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION, f"{directory / DUMP} is damaged: its size or its SHA-256 is another"
        )
    why = _why_not(manifest, desk)
    if why:
        raise ConsoleError(ConsoleExit.BAD_CONFIGURATION, f"{directory} {why}")
    return manifest


def _why_not(manifest: Manifest, desk: str) -> str:
    if manifest.postgres_major > MAJOR:
        return f"was made by PostgreSQL {manifest.postgres_major}, this Tollgate runs {MAJOR}"
    if manifest.schemas != SCHEMAS:
        return (
            f"has schemas of versions {manifest.schemas}, this Tollgate uses {SCHEMAS}; use the Tollgate that made it"
        )
    if manifest.desk not in {None, desk}:
        return f"has the books of desk {manifest.desk!r}, this is desk {desk!r}; name its configuration with --config"
    return ""


def _measured(path: Path) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return size, digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
