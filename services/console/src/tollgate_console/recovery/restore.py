"""One restore from beginning to end: the database first, the tape from its archive, each verified."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision.keys import SEAL_PUBLIC_KEYS
from tollgate_console.recovery.backup import Manifest, read_manifest
from tollgate_console.recovery.database import Backup, Restored, Stopwatch, restore_database
from tollgate_console.recovery.tape import restore_tape
from tollgate_console.settings import ConsoleSettings, load_settings
from tollgate_console.supervisor.alone import Desk, database_running, held

_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be restored."""

    backup: Path | None
    tape: bool
    replace: bool
    """Whether a database with books may be renamed to make room."""
    public_keys: Path | None = None
    """What verifies the backup's seals, where it was kept apart from the backup."""


async def restore_desk(layout: Layout, config: Path | None, base_port: int | None, wish: Wish) -> dict[str, Any]:
    """Restore and verify; return what was done as JSON-ready values. Raises ``ConsoleError``."""
    settings = load_settings(config, base_port)
    watch = Stopwatch()
    try:
        # Before anything is made or moved: a path that is mistyped leaves no trace.
        manifest = await _checked(wish, settings.desk)
        watch.lap("check the backup")
        outcome = await _restored(layout, settings, wish, manifest, watch)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        what = str(error) or type(error).__name__
        raise ConsoleError(ConsoleExit.TEMPORARY, f"the restore was cut off: {what}") from error
    return {**outcome, "seconds": watch.seconds, "took_s": round(sum(watch.seconds.values()), 3)}


async def _checked(wish: Wish, desk: str) -> Manifest | None:
    if wish.public_keys is not None and not wish.public_keys.is_file():
        raise ConsoleError(ConsoleExit.USAGE, f"there are no public keys in {wish.public_keys}")
    return None if wish.backup is None else await asyncio.to_thread(read_manifest, wish.backup, desk)


async def _restored(
    layout: Layout, settings: ConsoleSettings, wish: Wish, manifest: Manifest | None, watch: Stopwatch
) -> dict[str, Any]:
    outcome: dict[str, Any] = {"database": None, "tape": None}
    with held(layout, settings) as desk:
        async with database_running(desk):
            watch.lap("start the database")
            if wish.backup is not None and manifest is not None:
                whose, keys = _keys(desk, wish, wish.backup)
                backup = Backup(wish.backup, manifest, keys)
                done = await restore_database(desk, backup, watch, replace=wish.replace)
                layout.new_desk_file.unlink(missing_ok=True)
                outcome["database"] = _database(manifest, done, whose)
            if wish.tape:
                outcome["tape"] = asdict(await restore_tape(desk, watch))
        watch.lap("stop")
    return outcome


def _keys(desk: Desk, wish: Wish, backup: Path) -> tuple[str, Path]:
    """Return whose public keys verify the backup's seals, and their file.

    A desk with keys of its own believes no backup's; one that was made for this restore has nothing else to believe.
    """
    if wish.public_keys is not None:
        return "given", wish.public_keys
    if desk.is_new:
        return "backup", backup / SEAL_PUBLIC_KEYS
    return "desk", desk.layout.secrets("reader") / SEAL_PUBLIC_KEYS


def _database(manifest: Manifest, done: Restored, whose: str) -> dict[str, Any]:
    age_s = round((time.time_ns() // 1_000 - manifest.made_us) / _US_PER_S, 3)
    place = {"archived_sequence": manifest.checkpoint["archived_sequence"], "entry": manifest.checkpoint["entry"]}
    verified = {"keys": whose, "not_proved": list(done.not_proved)}
    return {**place, "made_us": manifest.made_us, "age_s": age_s, "before": done.before, **verified}


def told(outcome: dict[str, Any]) -> Iterator[str]:
    """Yield what was done, for a person."""
    database, tape = outcome["database"], outcome["tape"]
    if database is not None:
        place = f"records up to {database['archived_sequence']}, entries up to {database['entry']}"
        yield f"database: {place}, as of {database['age_s']:.0f} s ago; every row is verified"
        if database["keys"] == "backup":
            yield "verified against the backup's own keys only: it is whole, and who made it is not proved"
            yield "with a copy of the public keys from another place, --public-keys proves that too"
        yield from (f"not proved: {words}" for words in database["not_proved"])
        if database["before"]:
            yield f"the database before is kept as {database['before']}"
    if tape is not None:
        yield f"tape: {tape['found']} records were there and agree, {tape['restored']} were put back"
        if tape["beyond"]:
            yield f"{tape['beyond']} more are on the tape and not archived yet; the ledger will archive them"
        if tape["lost"]:
            yield f"{tape['lost']} records were not archived and are lost; their places are marked"
        for service in tape["set_aside"]:
            yield f"{service} had seen lost records: its snapshot was moved aside, and it begins from the tape"
    yield ", ".join(f"{step} {seconds:.1f} s" for step, seconds in outcome["seconds"].items())
    yield f"{outcome['took_s']:.1f} s in all; start with `tollgate up`"
