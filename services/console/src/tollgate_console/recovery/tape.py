"""The tape put back from the ledger's archive, after the broker has lost all of it or its end.

What is still on the tape must be what was archived, record by record; what is missing at its end is put back. Records
that lay on the tape and were not archived yet are lost. Their places are filled with records that nobody applies: a
sequence that a service has once seen never means something else, and no id that is derived from it comes again.
"""

import asyncio
import json
import secrets
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import nkeys  # type: ignore[import-untyped]  # - the package has no stubs

from tollgate_chassis.exits import ProcessEnd
from tollgate_chassis.tape import NatsTape, Record, TapeUnavailable
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout, write_private
from tollgate_console.provision.broker import PROVISIONER, provision_streams
from tollgate_console.provision.database import DATABASE
from tollgate_console.provision.keys import NATS_SEED
from tollgate_console.recovery import archive as archives
from tollgate_console.recovery.archive import Archive
from tollgate_console.recovery.database import Stopwatch
from tollgate_console.recovery.publishing import TapePublisher
from tollgate_console.supervisor.alone import Desk, Guest, broker_running, sync_store
from tollgate_contracts.envelope import SERVICES
from tollgate_contracts.subjects import tape_stream

GUEST = "restorer"
_SEED_BYTES = 32
_READ = 256
_MARK = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class TapeRestored:
    """What was put back."""

    found: int
    """Records that were still on the tape, each as it was archived."""
    restored: int
    """Records that were put back."""
    lost: int
    """Places of records that had not been archived, filled with records that nobody applies."""
    beyond: int
    """Records that are on the tape and not archived yet; the ledger will."""
    set_aside: tuple[str, ...]
    """Services whose snapshot lay behind what was restored; they begin from an older one or from the tape."""


async def restore_tape(desk: Desk, watch: Stopwatch) -> TapeRestored:
    """Put back what the tape lacks of the archive, and verify all of it by reading it again.

    The database must run. Raises ``ConsoleError`` where the tape has something else than what was archived.
    """
    async with archives.opened(desk.superuser_dsn(DATABASE)) as archive:
        if not archive.end:
            raise ConsoleError(ConsoleExit.USAGE, "nothing is archived, so there is no tape to put back")
        reach = max(_seen(desk.layout), await archive.newest_cause() + 1)
        async with _guest(desk) as (tape, publisher):
            done = await _put_back(desk.settings.desk, archive, tape, publisher, reach)
            watch.lap("put the tape back")
        await asyncio.to_thread(sync_store, desk)
        watch.lap("write it to the disk")
        async with _guest(desk) as (tape, _):
            await _compare(archive, tape)
            watch.lap("read it again and compare")
    last = done.found + done.restored + done.beyond
    return replace(done, set_aside=_set_aside(desk.layout, last))


async def _put_back(desk: str, archive: Archive, tape: NatsTape, publisher: TapePublisher, reach: int) -> TapeRestored:
    bounds = await tape.bounds()
    if bounds.last and bounds.first != 1:
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION,
            f"the tape begins at {bounds.first}; move the broker's data away, and it is put back from its beginning",
        )
    end = max(bounds.last, archive.end)
    missing = range(bounds.last + 1, max(reach, end) + 1)
    has_begun = False
    async for batch in archive.batches():
        lying = [record for record in batch if record.sequence <= bounds.last]
        if lying:
            _same(lying, await _read(tape, lying[0].sequence, len(lying)))
        if len(lying) < len(batch) and not has_begun:
            # Not before all that is there has been compared: a tape that has something else is left as it is.
            await publisher.begin(missing)
            has_begun = True
        await publisher.publish(batch[len(lying) :])
    if missing and not has_begun:
        await publisher.begin(missing)
    await publisher.publish([_lost(desk, sequence) for sequence in range(end + 1, reach + 1)])
    if missing:
        await publisher.finish()
    found, beyond = min(bounds.last, archive.end), max(0, bounds.last - archive.end)
    return TapeRestored(found, archive.end - found, max(0, reach - end), beyond, ())


async def _compare(archive: Archive, tape: NatsTape) -> None:
    await tape.bounds()
    async for batch in archive.batches():
        _same(batch, await _read(tape, batch[0].sequence, len(batch)))


async def _read(tape: NatsTape, start: int, count: int) -> list[Record]:
    records: list[Record] = []
    while len(records) < count:
        batch = await tape.read(start + len(records), min(_READ, count - len(records)))
        if not batch:
            break
        records += batch
    return records


def _same(archived: list[Record], lying: list[Record]) -> None:
    """Raise ``ConsoleError`` at the first record that is not as it was archived."""
    for record, other in zip(archived, [*lying, *[None] * (len(archived) - len(lying))], strict=True):
        if other != record:
            what = "is not there" if other is None else "is another than the archived one"
            raise ConsoleError(
                ConsoleExit.BAD_CONFIGURATION,
                f"record {record.sequence} on the tape {what}; keep the broker's data as evidence, move it away, and "
                "run the command again: the tape is then put back as it was archived",
            )


def _lost(desk: str, sequence: int) -> Record:
    """Return what stands in a lost record's place: under no service's name, and no message."""
    text = json.dumps({"lost": sequence, "because": "it was not archived when the tape was put back"})
    return Record(
        sequence, f"tape.{desk}.{GUEST}.lost", f"{GUEST}:lost:{sequence}", text.encode(), {}, time.time_ns() // 1_000
    )


@asynccontextmanager
async def _guest(desk: Desk) -> AsyncIterator[tuple[NatsTape, TapePublisher]]:
    """Run the broker and connect as the one who may write under every name; nobody else is there."""
    name, layout = desk.settings.desk, desk.layout
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(_SEED_BYTES), nkeys.PREFIX_BYTE_USER)
    public: bytes = nkeys.from_seed(bytearray(seed)).public_key
    stream = tape_stream(name)
    verbs = (f"$JS.API.STREAM.{verb}.{stream}" for verb in ("INFO", "UPDATE"))
    guest = Guest(GUEST, public.decode(), (f"tape.{name}.>", *verbs, f"$JS.API.DIRECT.GET.{stream}"))
    seed_file = layout.secrets(GUEST) / NATS_SEED
    write_private(seed_file, seed.decode())
    try:
        async with broker_running(desk, guest) as place, _connected(place.url, seed_file, name) as tape:
            publisher = TapePublisher(tape.client, name)
            await publisher.mend()
            provisioner = (layout.secrets(PROVISIONER) / NATS_SEED).read_text().strip()
            await provision_streams(place.url, provisioner, name, desk.settings.console.stream_sizes)
            yield tape, publisher
    finally:
        seed_file.unlink(missing_ok=True)
        seed_file.parent.rmdir()


@asynccontextmanager
async def _connected(url: str, seed_file: Path, desk: str) -> AsyncIterator[NatsTape]:
    try:
        tape = await NatsTape.connect(url, seed_file, desk, GUEST)
    except TapeUnavailable as error:
        raise ConsoleError(ConsoleExit.TEMPORARY, error.why) from error
    try:
        yield tape
    except ProcessEnd as error:
        raise ConsoleError(ConsoleExit.TEMPORARY, error.why) from error
    finally:
        await tape.close()


def _seen(layout: Layout) -> int:
    """Return the last sequence that any service of this state directory has ever read."""
    return max(
        max(_mark(layout.service_state(service)), _snapshot(layout.service_state(service))) for service in SERVICES
    )


def _mark(state: Path) -> int:
    path = state / "high-water"
    content = path.read_bytes() if path.exists() else b""
    return int(_MARK.unpack(content)[0]) if len(content) == _MARK.size else 0


def _snapshot(state: Path) -> int:
    """Return the place of a service's snapshot; 0 where there is none, or none that can be read."""
    path = state / "snapshot.json"
    try:
        return int(json.loads(path.read_text().partition("\n")[2])["sequence"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _set_aside(layout: Layout, last: int) -> tuple[str, ...]:
    """Move away the snapshots that hold what was lost; what they knew is rebuilt from the tape."""
    moved = []
    for service in SERVICES:
        path = layout.service_state(service) / "snapshot.json"
        if _snapshot(path.parent) > last:
            path.rename(path.with_name(f"snapshot.before-{datetime.now(UTC):%Y%m%dT%H%M%S}.json"))
            moved.append(service)
    return tuple(moved)
