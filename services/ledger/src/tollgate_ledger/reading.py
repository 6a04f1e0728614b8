"""Reads the books for whoever asks; it holds no lock that booking waits for, and none of booking's connections.

A few connections of their own, with the right to read and nothing else; a bounded time for each statement, one core at
most, and so many who wait and no more. The reader needs neither the tape nor that this instance is the active one.
What takes long, and what an operator's word needs, goes by connections of its own, so that no reader stands in its way.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg

from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import ledger as metrics
from tollgate_ledger.queries import Lane, Query

READER_DSN_FILE = "postgres_reader_dsn"
"""Among the service's secrets, the DSN of the role that may only read."""
ASKING_MAX = 16
# Of one token one question runs and so many wait: a dashboard asks for its panels at once, and nobody asks for more.
ASKING_OF_ONE_MAX = 4


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What one lane may take of the database."""

    connections: int
    statement_ms: int


_BOUNDS = {
    # Two at once leave the database's other cores and the disk to the books. A page takes milliseconds.
    Lane.PAGES: _Bounds(2, 2_000),
    # Over half a million round trips a sum takes seconds, and there is one at a time.
    Lane.SUMS: _Bounds(1, 10_000),
    # Operators are few, and must never find every connection taken by readers.
    Lane.WORDS: _Bounds(1, 2_000),
}
# Beyond the statement's own limit: the connection is lost, or the database has stopped.
_ANSWER_S = 1.0
# Who has waited for the slowest before is served next; who has waited longer would only wait for more of them.
_TURN_S = 2.5
_IDLE_S = 60.0
_AWAY = (
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    # What stands in the DSN is not so, or not yet: the database is being restored, or its login changed.
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    OSError,
    TimeoutError,
)


class NotRead(Exception):
    """The books could not be read now; the message says why, in words for the caller."""


class TooLong(Exception):
    """The question takes longer than one may; it would the next time as well."""


class Unanswerable(Exception):
    """The database does not understand the question: a fault of ours, of which the log has the words."""


class BooksReader:
    """The reader's side of the ledger's database."""

    def __init__(self, dsn: str) -> None:
        """Connect to nothing yet: ``dsn`` is that of a role that may only read."""
        self._dsn = dsn
        self._pools: dict[Lane, asyncpg.Pool[asyncpg.Record]] = {}
        self._opening = asyncio.Lock()
        self._asking: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Lock] = {}
        self._closed = False

    async def fetch(self, query: Query, who: str = "") -> list[asyncpg.Record]:
        """Return the rows; ``who`` asks one question at a time, and an operator's word has no name.

        Raises ``NotRead`` when the database is away or too many ask at once, ``TooLong``, and ``Unanswerable``.
        """
        began = time.monotonic()
        try:
            async with self._turn(query, who):
                return await self._fetch(query)
        except asyncpg.QueryCanceledError as error:
            seconds = _BOUNDS[query.lane].statement_ms / 1_000
            raise TooLong(f"it takes longer than {seconds:g} s: ask for a shorter span or fewer rows") from error
        except _AWAY as error:
            _log(query, "away", error)
            raise NotRead("the ledger's database cannot be read now") from error
        except asyncpg.PostgresError as error:
            _log(query, "unanswerable", error)
            raise Unanswerable("the database did not take the question; the ledger's log says why") from error
        finally:
            metrics.LEDGER_READ_SECONDS.labels(query.name).observe(time.monotonic() - began)

    @asynccontextmanager
    async def _turn(self, query: Query, who: str) -> AsyncIterator[None]:
        if query.lane is Lane.WORDS:
            yield
            return
        if self._asking[who] >= ASKING_OF_ONE_MAX:
            raise NotRead(f"{ASKING_OF_ONE_MAX} questions of this token wait already; try again")
        if self._asking.total() >= ASKING_MAX:
            raise NotRead(f"{ASKING_MAX} others are reading the books; try again")
        self._asking[who] += 1
        turn = self._turns.setdefault(who, asyncio.Lock())
        try:
            await _soon(turn)
            try:
                yield
            finally:
                turn.release()
        finally:
            self._asking[who] -= 1
            if not self._asking[who]:
                del self._asking[who], self._turns[who]

    async def _fetch(self, query: Query) -> list[asyncpg.Record]:
        pool = await self._opened(query.lane)
        try:
            connection = await pool.acquire(timeout=_TURN_S)
        except TimeoutError as error:
            raise NotRead("no connection to the ledger's database was free in time; try again") from error
        try:
            return await connection.fetch(query.sql, *query.arguments)
        finally:
            await pool.release(connection, timeout=_ANSWER_S)

    async def _opened(self, lane: Lane) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._opening:
            if self._closed:
                raise NotRead("the ledger is stopping")
            if lane not in self._pools:
                self._pools[lane] = await _make_pool(self._dsn, _BOUNDS[lane])
            return self._pools[lane]

    def close(self) -> None:
        """Let go of the connections, also of those in use; nothing is read from now on."""
        self._closed = True
        for pool in self._pools.values():
            pool.terminate()


async def _soon(turn: asyncio.Lock) -> None:
    try:
        async with asyncio.timeout(_TURN_S):
            await turn.acquire()
    except TimeoutError as error:
        raise NotRead("an earlier question of this token is not answered yet; try again") from error


async def _make_pool(dsn: str, bounds: _Bounds) -> "asyncpg.Pool[asyncpg.Record]":
    settings = {
        "application_name": "tollgate-ledger-reading",
        "default_transaction_read_only": "on",
        "statement_timeout": str(bounds.statement_ms),
        "idle_in_transaction_session_timeout": str(bounds.statement_ms),
        # A table grows from day to day: the plan is made for the page that is asked for, by one core, without a
        # compiler.
        "plan_cache_mode": "force_custom_plan",
        "max_parallel_workers_per_gather": "0",
        "jit": "off",
    }
    return await asyncpg.create_pool(
        dsn,
        min_size=0,
        max_size=bounds.connections,
        max_inactive_connection_lifetime=_IDLE_S,
        command_timeout=bounds.statement_ms / 1_000 + _ANSWER_S,
        server_settings=settings,
    )


def _log(query: Query, outcome: str, error: Exception) -> None:
    # What a driver says names hosts, logins and tables: it is for the log, and not for the caller.
    logger().warning("ledger.not_read", outcome=outcome, read=query.name, detail=str(error) or type(error).__name__)
