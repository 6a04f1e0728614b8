"""PostgreSQL's own programs for dumps, which lie beside the server."""

import asyncio
import os
from pathlib import Path

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.provision.database import SUPERUSER, DatabasePlace
from tollgate_console.supervisor.postgres_process import find_binaries

_WORDS_MAX = 2_000


async def dump_database(place: DatabasePlace, password: str, database: str, file: Path, snapshot: str) -> None:
    """Write a database, as the exported ``snapshot`` sees it, into ``file``, compressed."""
    options = ("--format", "custom", "--compress", "3", "--snapshot", snapshot, "--file", str(file))
    await _run("pg_dump", place, password, (*options, database))


async def restore_dump(place: DatabasePlace, password: str, database: str, file: Path) -> None:
    """Put a dump into an empty database; the first error ends it."""
    await _run("pg_restore", place, password, ("--exit-on-error", "--jobs", "2", "--dbname", database, str(file)))


async def _run(program: str, place: DatabasePlace, password: str, arguments: tuple[str, ...]) -> None:
    command = (str(find_binaries() / program), "--no-password", "--username", SUPERUSER)
    where = ("--host", place.host, "--port", str(place.port))
    process = await asyncio.create_subprocess_exec(
        *command,
        *where,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        # The password travels in the environment of this one child: a command line is everybody's to read.
        env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "PGPASSWORD": password},
    )
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        words = said.decode(errors="replace").strip()[-_WORDS_MAX:]
        raise ConsoleError(ConsoleExit.TEMPORARY, f"{program} ended with {process.returncode}:\n{words}")
