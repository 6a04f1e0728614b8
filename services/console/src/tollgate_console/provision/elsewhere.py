"""Streams and database at servers that somebody else has started: a compose file, or a cluster."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import asyncpg
import httpx

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import PROVISIONER, StreamSizes, check_sync, provision_streams
from tollgate_console.provision.database import DatabasePlace
from tollgate_console.provision.keys import NATS_SEED
from tollgate_console.provision.logins import make_logins

_AGAIN_S = 1.0
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where a desk's servers are, and what is to be there."""

    layout: Layout
    desk: str
    sizes: StreamSizes
    broker_url: str
    variables_url: str
    """What a broker that is alone says of how it was started."""
    replicas: int
    database: DatabasePlace


async def provision_elsewhere(elsewhere: Elsewhere, wait_s: float) -> None:
    """Make what is missing at both, waiting ``wait_s`` for them to answer; raises ``ConsoleError`` with the reason.

    Whatever can be mended by waiting is tried again; a refusal for good is raised at once.
    """
    deadline = time.monotonic() + wait_s
    await _until(deadline, lambda: _provision_broker(elsewhere))
    await _until(deadline, lambda: _provision_database(elsewhere))


async def _provision_broker(elsewhere: Elsewhere) -> None:
    if elsewhere.replicas == 1:
        # With copies on other nodes an acknowledgement is worth more than one disk, and each need not wait for its own.
        async with httpx.AsyncClient(timeout=_ANSWER_S) as client:
            try:
                answer = await client.get(elsewhere.variables_url)
                answer.raise_for_status()
            except httpx.HTTPError as error:
                raise _away(f"the broker does not say how it was started: {elsewhere.variables_url}", error) from error
        check_sync(answer.json())
    seed = (elsewhere.layout.secrets(PROVISIONER) / NATS_SEED).read_text().strip()
    await provision_streams(elsewhere.broker_url, seed, elsewhere.desk, elsewhere.sizes, elsewhere.replicas)


async def _provision_database(elsewhere: Elsewhere) -> None:
    place = elsewhere.database
    try:
        await make_logins(elsewhere.layout, place)
    except (asyncpg.InvalidPasswordError, asyncpg.InsufficientPrivilegeError) as error:
        raise ConsoleError(ConsoleExit.BAD_CONFIGURATION, f"the database at {place.host}: {error}") from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise _away(f"the database at {place.host}:{place.port} cannot be provisioned", error) from error


def _away(what: str, error: Exception) -> ConsoleError:
    return ConsoleError(ConsoleExit.TEMPORARY, f"{what}: {error or type(error).__name__}")


async def _until(deadline: float, make: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await make()
        except ConsoleError as error:
            if error.code is not ConsoleExit.TEMPORARY or time.monotonic() > deadline:
                raise
        await asyncio.sleep(_AGAIN_S)
