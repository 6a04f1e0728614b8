"""The ledger's archive as it is read to put the tape back: in order, and with its hash chain verified on the way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import asyncpg

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.archived import record_of
from tollgate_chassis.tape.chain import GENESIS, row_hash
from tollgate_console.exits import ConsoleError, ConsoleExit

_END = "SELECT archived_sequence FROM ledger.checkpoint"
_ROWS = """
SELECT tape_sequence, subject, message_id, body, headers, stored_us, chain_hash
FROM ledger.archive ORDER BY tape_sequence
"""
# The cause of the newest decision that execution may have acted upon: known here, whatever the tape has lost.
_NEWEST_CAUSE = """
SELECT max(split_part(decision_id, ':', 2)::bigint) FROM execution.journal WHERE decision_id ~ '^risk:[0-9]{1,18}:'
"""
_CONNECT_S = 5.0
_BATCH = 500

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Archive:
    """The archived records at one moment."""

    def __init__(self, connection: Connection, end: int) -> None:
        self._connection = connection
        self.end = end
        """Sequence of the last archived record; 0 where there is none."""

    async def batches(self) -> AsyncIterator[list[Record]]:
        """Yield all records in order; raises ``ConsoleError`` at the first that does not continue the chain."""
        chain, expected = GENESIS, 1
        cursor = await self._connection.cursor(_ROWS)
        while rows := await cursor.fetch(_BATCH):
            batch = []
            for row in rows:
                chain = row_hash(chain, row)
                if row["tape_sequence"] != expected or chain != row["chain_hash"]:
                    raise ConsoleError(
                        ConsoleExit.BAD_CONFIGURATION,
                        f"archive row {expected} is missing or was changed; the tape is not put back from it. "
                        "`tollgate audit verify` says more; restore the database from a backup first",
                    )
                batch.append(record_of(row))
                expected += 1
            yield batch

    async def newest_cause(self) -> int:
        """Return the tape sequence that led to the newest decision in execution's journal; 0 without any."""
        return int(await self._connection.fetchval(_NEWEST_CAUSE) or 0)


@asynccontextmanager
async def opened(dsn: str) -> AsyncIterator[Archive]:
    """Open the archive as it is now; raises ``ConsoleError`` where the database has none."""
    try:
        connection = await asyncpg.connect(dsn, timeout=_CONNECT_S)
    except (asyncpg.PostgresError, OSError) as error:
        raise ConsoleError(
            ConsoleExit.TEMPORARY, f"the archive cannot be opened: {error or type(error).__name__}"
        ) from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            try:
                end = await connection.fetchval(_END)
            except asyncpg.PostgresError as error:
                raise ConsoleError(
                    ConsoleExit.BAD_CONFIGURATION, f"the database has no archive of the tape: {error}"
                ) from error
            yield Archive(connection, int(end or 0))
    finally:
        await connection.close()
