"""One restore from beginning to end: the database first, the tape from its archive, each verified."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tollgate_console.layout import Layout
from tollgate_console.provision.keys import SEAL_PUBLIC_KEYS
from tollgate_console.recovery.backup import Manifest
from tollgate_console.recovery.database import Stopwatch, restore_database, trust_seals_of, verify_restored
from tollgate_console.recovery.tape import restore_tape
from tollgate_console.settings import load_settings
from tollgate_console.supervisor.alone import database_running, held

_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be restored."""

    backup: Path | None
    tape: bool
    replace: bool
    """Whether a database with books may be renamed to make room."""


async def restore_desk(layout: Layout, config: Path | None, base_port: int | None, wish: Wish) -> dict[str, Any]:
    """Restore and verify; return what was done as JSON-ready values. Raises ``ConsoleError``."""
    settings = load_settings(config, base_port)
    outcome: dict[str, Any] = {"database": None, "tape": None}
    is_new = not (layout.secrets("reader") / SEAL_PUBLIC_KEYS).exists()
    watch = Stopwatch()
    with held(layout, settings) as desk:
        async with database_running(desk):
            watch.lap("start the database")
            if wish.backup is not None:
                manifest, kept = await restore_database(desk, wish.backup, watch, replace=wish.replace)
                if is_new:
                    trust_seals_of(desk, wish.backup)
                await verify_restored(desk, wish.backup)
                watch.lap("verify the books")
                outcome["database"] = _database(manifest, kept)
            if wish.tape:
                outcome["tape"] = asdict(await restore_tape(desk, watch))
        watch.lap("stop")
    outcome["seconds"], outcome["took_s"] = watch.seconds, round(sum(watch.seconds.values()), 3)
    return outcome


def _database(manifest: Manifest, kept: str | None) -> dict[str, Any]:
    age_s = round((time.time_ns() // 1_000 - manifest.made_us) / _US_PER_S, 3)
    place = {"archived_sequence": manifest.checkpoint["archived_sequence"], "entry": manifest.checkpoint["entry"]}
    return {**place, "made_us": manifest.made_us, "age_s": age_s, "before": kept}


def told(outcome: dict[str, Any]) -> Iterator[str]:
    """Yield what was done, for a person."""
    database, tape = outcome["database"], outcome["tape"]
    if database is not None:
        place = f"records up to {database['archived_sequence']}, entries up to {database['entry']}"
        yield f"database: {place}, as of {database['age_s']:.0f} s ago; every row is verified"
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
