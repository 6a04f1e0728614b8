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
from tollgate_console.layout import PRIVATE_DIRECTORY, Layout, write_json
from tollgate_console.provision.database import DATABASE, SUPERUSER, DatabasePlace
from tollgate_console.provision.keys import POSTGRES_SUPERUSER, SEAL_PUBLIC_KEYS, read_password
from tollgate_console.recovery.programs import dump_database
from tollgate_console.settings import load_settings
from tollgate_console.supervisor.alone import database_running, held
from tollgate_console.supervisor.lock import is_held
from tollgate_console.supervisor.postgres_process import MAJOR

FORMAT = "tollgate-backup/1"
MANIFEST = "manifest.json"
DUMP = "tollgate.dump"
LAST_SEAL = "last-seal.json"
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
    checkpoint: dict[str, Any]
    """Where archive and journal stood at that moment, with both chains' hashes in hexadecimal."""
    dump_bytes: int
    dump_sha256: str

    def values(self) -> dict[str, Any]:
        """Return it as JSON-ready values."""
        dump = {"file": DUMP, "bytes": self.dump_bytes, "sha256": self.dump_sha256}
        place = {"made_us": self.made_us, "postgres_major": self.postgres_major, "checkpoint": self.checkpoint}
        return {"format": FORMAT, **place, "dump": dump}


async def backup_desk(
    layout: Layout, config: Path | None, base_port: int | None, directory: Path
) -> tuple[Manifest, float]:
    """Back up a desk, whether its platform runs or not; return the manifest and how many seconds it took."""
    began = time.monotonic()
    if is_held(layout):
        manifest = await make_backup(layout, DatabasePlace(find_platform(layout)["ports"]["postgres"]), directory)
    else:
        with held(layout, load_settings(config, base_port)) as desk:
            async with database_running(desk) as place:
                manifest = await make_backup(layout, place, directory)
    return manifest, time.monotonic() - began


async def make_backup(layout: Layout, place: DatabasePlace, directory: Path) -> Manifest:
    """Write a backup into ``directory``, which must not be there yet; it is there whole or not at all."""
    beside = _begin(directory)
    manifest = await _dump(place, read_password(layout, POSTGRES_SUPERUSER), beside)
    _finish(layout, directory, beside, manifest)
    return manifest


def _begin(directory: Path) -> Path:
    if directory.exists():
        raise ConsoleError(ConsoleExit.USAGE, f"{directory} is there already; name a directory that is not")
    beside = directory.with_name(f"{directory.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(mode=PRIVATE_DIRECTORY, parents=True)
    return beside


def _finish(layout: Layout, directory: Path, beside: Path, manifest: Manifest) -> None:
    write_json(beside / MANIFEST, manifest.values())
    shutil.copyfile(layout.secrets("reader") / SEAL_PUBLIC_KEYS, beside / SEAL_PUBLIC_KEYS)
    last = layout.service_state("ledger") / LAST_SEAL
    if last.exists():
        shutil.copyfile(last, beside / LAST_SEAL)
    for path in (*beside.iterdir(), beside):
        _sync(path)
    beside.rename(directory)
    _sync(directory.parent)


async def _dump(place: DatabasePlace, password: str, directory: Path) -> Manifest:
    connection = await asyncpg.connect(place.dsn(SUPERUSER, password), timeout=_CONNECT_S)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            # The dump sees what this transaction sees, so the manifest is of the same moment.
            snapshot = await connection.fetchval("SELECT pg_export_snapshot()")
            checkpoint = await connection.fetchrow(_CHECKPOINT)
            made_us = time.time_ns() // 1_000
            await dump_database(place, password, DATABASE, directory / DUMP, snapshot)
    except asyncpg.PostgresError as error:
        raise ConsoleError(ConsoleExit.TEMPORARY, f"the database cannot be backed up: {error}") from error
    finally:
        await connection.close()
    if checkpoint is None:
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION, "the database has no books: the checkpoint's row is not there"
        )
    size, digest = _measured(directory / DUMP)
    return Manifest(made_us, MAJOR, dict(checkpoint), size, digest)


def read_manifest(directory: Path) -> Manifest:
    """Return what a backup says of itself; raises ``ConsoleError`` when it is none, or not whole."""
    try:
        content = json.loads((directory / MANIFEST).read_text())
        dump = content["dump"]
        place = (content["made_us"], content["postgres_major"], content["checkpoint"])
        manifest = Manifest(*place, dump["bytes"], dump["sha256"])
        made_by, measured = content["format"], _measured(directory / DUMP)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConsoleError(ConsoleExit.USAGE, f"{directory} is no backup: {error}") from error
    if made_by != FORMAT:
        raise ConsoleError(ConsoleExit.USAGE, f"{directory} is a backup of format {made_by!r}, expected {FORMAT!r}")
    if measured != (manifest.dump_bytes, manifest.dump_sha256):
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION, f"{directory / DUMP} is damaged: its size or its SHA-256 is another"
        )
    if manifest.postgres_major > MAJOR:
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION,
            f"{directory} was made by PostgreSQL {manifest.postgres_major}, this Tollgate runs {MAJOR}",
        )
    return manifest


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
