"""Waiting until broker and database answer, and saying why when they do not."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import httpx

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.supervisor.child import Child, ChildState

_POLL_S = 0.02
# A database that recovers from a crash takes longest.
_INFRASTRUCTURE_S = 60.0


async def until_ready(child: Child, is_ready: Callable[[], Awaitable[bool]]) -> None:
    """Wait until ``is_ready``; raises ``ConsoleError`` with the end of the log when it falls or takes too long."""
    give_up = time.monotonic() + _INFRASTRUCTURE_S
    while not await is_ready():
        # In start-up a fall is a reason to say why, not to try again: most often the log names it.
        if child.restarts or child.state is not ChildState.RUNNING or time.monotonic() > give_up:
            raise ConsoleError(
                ConsoleExit.TEMPORARY,
                f"{child.spec.name} did not start; the end of {child.spec.log}:\n{child.reason or child.last_lines()}",
            )
        await asyncio.sleep(_POLL_S)


async def answers(client: httpx.AsyncClient, url: str) -> bool:
    """Say whether ``url`` answers with 200."""
    try:
        return (await client.get(url)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


async def accepts(dsn: str) -> bool:
    """Say whether the database lets us in."""
    try:
        connection = await asyncpg.connect(dsn, timeout=1.0)
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
        return False
    await connection.close()
    return True
