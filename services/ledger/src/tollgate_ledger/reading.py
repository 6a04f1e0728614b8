"""Reads the books for whoever asks, and never so that booking has to wait for it.

A few connections of their own, with the right to read and nothing else; a bounded time for each statement, one core
at most, and so many who wait and no more. The reader needs neither the tape nor that this instance is the active one.
"""

import asyncio
import time

import asyncpg

from tollgate_chassis.telemetry import metrics
from tollgate_ledger.queries import Query

READER_DSN_FILE = "postgres_reader_dsn"
"""Among the service's secrets, the DSN of the role that may only read."""
# Two readers at once leave the database's other cores and the disk to the books; the others wait their turn.
CONNECTIONS_MAX = 2
ASKING_MAX = 16
# Who has not got a connection by then would only wait for those before.
TURN_S = 1.0
# A page takes milliseconds; the sums over a hundred thousand trips took half a second on an overloaded machine.
STATEMENT_MS = 2_000
# Beyond the statement's own limit: the connection is lost, or the database has stopped.
_ANSWER_S = 3.0
_IDLE_S = 60.0
_SETTINGS = {
    "application_name": "tollgate-ledger-reading",
    "default_transaction_read_only": "on",
    "statement_timeout": str(STATEMENT_MS),
    "idle_in_transaction_session_timeout": str(STATEMENT_MS),
    # A table grows from day to day: the plan is made for the page that is asked for, by one core, without a compiler.
    "plan_cache_mode": "force_custom_plan",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
_LOST = (asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError, OSError, TimeoutError)


class NotRead(Exception):
    """The books could not be read now; the message says why, in words for the caller."""


class Reading:
    """The reader's side of the ledger's database."""

    def __init__(self, dsn: str) -> None:
        """Connect to nothing yet: ``dsn`` is that of a role that may only read."""
        self._dsn = dsn
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._opening = asyncio.Lock()
        self._asking = 0
        self._closed = False

    async def fetch(self, query: Query) -> list[asyncpg.Record]:
        """Return the rows; raises ``NotRead`` when the database is away, too slow, or too many ask at once."""
        if self._asking >= ASKING_MAX:
            raise NotRead(f"{ASKING_MAX} others are reading the books; try again")
        self._asking += 1
        began = time.monotonic()
        try:
            return await self._fetch(query)
        except asyncpg.QueryCanceledError as error:
            raise NotRead(f"it takes longer than {STATEMENT_MS} ms: ask for a shorter span or fewer rows") from error
        except _LOST as error:
            raise NotRead(f"the ledger's database cannot be read: {error or type(error).__name__}") from error
        finally:
            self._asking -= 1
            metrics.LEDGER_READ_SECONDS.labels(query.name).observe(time.monotonic() - began)

    async def _fetch(self, query: Query) -> list[asyncpg.Record]:
        pool = await self._opened()
        try:
            connection = await pool.acquire(timeout=TURN_S)
        except TimeoutError as error:
            raise NotRead("no connection to the ledger's database was free in time; try again") from error
        try:
            return await connection.fetch(query.sql, *query.arguments)
        finally:
            await pool.release(connection, timeout=TURN_S)

    async def _opened(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._closed:
                raise NotRead("the ledger is stopping")
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=CONNECTIONS_MAX,
                    max_inactive_connection_lifetime=_IDLE_S,
                    command_timeout=_ANSWER_S,
                    server_settings=_SETTINGS,
                )
            return self._pool

    def close(self) -> None:
        """Let go of the connections, also of those in use; nothing is read from now on."""
        self._closed = True
        if self._pool is not None:
            self._pool.terminate()
