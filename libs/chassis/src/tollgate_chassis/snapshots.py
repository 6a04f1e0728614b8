"""Snapshots: a core's state at one place of the tape, so that recovery need not read from the beginning."""

import asyncio
import hashlib
import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tollgate_chassis.exits import Halt
from tollgate_chassis.telemetry.metrics import tape as metrics

# A change in the shape of the envelope around the core's state.
_FORMAT = 2
_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """State after the record at ``sequence``, whose id proves later that it is still the same tape."""

    sequence: int
    message_id: str
    state: dict[str, Any]


def tell_saved(snapshot: Snapshot, now_us: int) -> None:
    """Show which snapshot is the newest, and when it was taken."""
    metrics.SNAPSHOT_SEQUENCE.set(snapshot.sequence)
    metrics.SNAPSHOT_TIME.set(now_us / _US_PER_S)


class SnapshotStore(Protocol):
    """Where a service keeps its newest snapshot: a file, or its own database."""

    async def load(self) -> Snapshot | None:
        """Return the newest snapshot, or none when there has never been one."""
        ...

    async def save(self, snapshot: Snapshot) -> None:
        """Keep ``snapshot`` durably, all of it or nothing."""
        ...


class FileSnapshots:
    """A snapshot in one file, replaced atomically and checked by its digest."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "snapshot.json"

    async def load(self) -> Snapshot | None:
        """Return the snapshot; raises ``Halt`` when the file is damaged or of another format."""
        return await asyncio.to_thread(self._load)

    def _load(self) -> Snapshot | None:
        if not self._path.exists():
            return None
        digest, _, body = self._path.read_text().partition("\n")
        if hashlib.sha256(body.encode()).hexdigest() != digest:
            raise Halt(f"{self._path} is damaged: its digest does not match; remove it to recover from the tape")
        content = json.loads(body)
        if content["format"] != _FORMAT:
            raise Halt(f"{self._path} has format {content['format']}, expected {_FORMAT}; remove it to recover")
        return Snapshot(content["sequence"], content["message_id"], content["state"])

    async def save(self, snapshot: Snapshot) -> None:
        """Write beside the old one, sync, and swap."""
        content = {
            "format": _FORMAT,
            "sequence": snapshot.sequence,
            "message_id": snapshot.message_id,
            "state": snapshot.state,
        }
        body = json.dumps(content, separators=(",", ":"))
        await asyncio.to_thread(self._save, f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}")

    def _save(self, text: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        with beside.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


class HighWaterMark:
    """The furthest place this service has ever read, kept through kill -9 of the process.

    It is written with every batch and not synced: it guards against a tape that was cut while we lived, and a
    machine that loses power loses the tape's end with it.
    """

    _PLACE = struct.Struct(">Q")

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(directory / "high-water", os.O_RDWR | os.O_CREAT, 0o600)

    def read(self) -> int:
        """Return the mark, 0 when nothing was read yet."""
        content = os.pread(self._descriptor, self._PLACE.size, 0)
        return int(self._PLACE.unpack(content)[0]) if len(content) == self._PLACE.size else 0

    def write(self, sequence: int) -> None:
        """Set the mark."""
        os.pwrite(self._descriptor, self._PLACE.pack(sequence), 0)

    def close(self) -> None:
        """Release the file."""
        os.close(self._descriptor)
