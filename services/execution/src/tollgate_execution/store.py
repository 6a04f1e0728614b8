"""Execution's journal in Postgres: what may have been sent is committed here before the first byte leaves.

One statement, one round trip, one commit is all that an order pays: the database itself checks the lease, and the
three unique columns, inside it. Everything else is written behind, off the order's path. Whatever goes wrong with
the database ends the process: a commit whose outcome is not known is read back by the next one.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

import asyncpg

from tollgate_chassis.exits import BadConfiguration, Restart
from tollgate_execution.core import Submit

SCHEMA_VERSION = 1
# One connection writes ahead, one writes behind and answers questions: neither ever waits for the other.
_COMMAND_S = 5.0

_TAKE_LEASE = """
    INSERT INTO execution.lease AS held (desk, epoch, holder, taken_us) VALUES ($1, 1, $2, $3)
    ON CONFLICT (desk) DO UPDATE SET epoch = held.epoch + 1, holder = excluded.holder, taken_us = excluded.taken_us
    RETURNING epoch"""
_PREPARE = """
    INSERT INTO execution.journal
        (client_order_id, decision_id, approval_hash, approval_text, signature, key_id, desk, epoch, prepared_us)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT DO NOTHING RETURNING true"""
_SETTLE = """
    UPDATE execution.journal AS kept
    SET state = settled.state, sent_us = settled.sent_us, answered_us = settled.answered_us, answer = settled.answer
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::jsonb[])
        AS settled (client_order_id, state, sent_us, answered_us, answer)
    WHERE kept.client_order_id = settled.client_order_id AND kept.answered_us IS NULL"""
_UNSETTLED = """
    SELECT client_order_id FROM execution.journal WHERE desk = $1 AND answered_us IS NULL ORDER BY prepared_us"""
_HAS = "SELECT client_order_id FROM execution.journal WHERE client_order_id = ANY($1::text[])"

_FENCED = "journal_is_fenced"
# asyncpg calls a connection that breaks within a call an internal error.
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class JournalLost(Restart):
    """The database did not answer as it must; what was committed is read back after starting again."""


class Fenced(Restart):
    """Another process has taken the lease: this one may send nothing more."""


class WriteAhead(Enum):
    """What became of a row."""

    PREPARED = "prepared"
    """It is committed and was not there before: the order may be sent, once."""
    ALREADY_THERE = "already_there"
    """Its order, decision or approval was used before: nothing may be sent, only asked."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a row's order, as far as sending is concerned."""

    client_order_id: str
    state: str
    sent_us: int | None
    answered_us: int
    answer: str
    """JSON: the evidence."""


class Journal:
    """The journal of one desk, held under one lease."""

    def __init__(self, desk: str, ahead: Any, behind: Any) -> None:
        self.epoch = 0
        """Of the lease that is held; 0 before it was taken."""
        self._desk = desk
        self._ahead = ahead
        self._behind = behind
        self._prepare: Any = None
        self._turn = asyncio.Lock()
        self._behind_turn = asyncio.Lock()

    @classmethod
    async def connect(cls, dsn: str, desk: str) -> Self:
        """Connect; raises ``JournalLost`` when the database is not there, ``BadConfiguration`` for another schema."""
        try:
            ahead = await asyncpg.connect(dsn, command_timeout=_COMMAND_S, timeout=_COMMAND_S)
            behind = await asyncpg.connect(dsn, command_timeout=_COMMAND_S, timeout=_COMMAND_S)
            journal = cls(desk, ahead, behind)
            await journal._check_schema()
            journal._prepare = await ahead.prepare(_PREPARE)
        except _LOST as error:
            raise JournalLost(f"journal: {type(error).__name__}: {error}") from error
        return journal

    async def _check_schema(self) -> None:
        version = await self._behind.fetchval("SELECT version FROM execution.schema_version")
        if version != SCHEMA_VERSION:
            raise BadConfiguration(
                f"the execution schema has version {version}, expected {SCHEMA_VERSION}; "
                "apply deploy/postgres/execution.sql"
            )

    async def close(self) -> None:
        """Close both connections, whatever state they are in."""
        self._ahead.terminate()
        self._behind.terminate()

    async def take_lease(self, holder: str) -> int:
        """Raise the desk's epoch and hold it: whoever held it before can write nothing more."""
        self.epoch = int(await self._fetchval(_TAKE_LEASE, self._desk, holder, _now_us()))
        return self.epoch

    async def prepare(self, submit: Submit) -> WriteAhead:
        """Commit the row of one order; raises ``Fenced`` when the lease is another's, ``JournalLost`` when in doubt."""
        signed = submit.signed
        try:
            # A connection carries one statement at a time; the next order waits here for about one commit.
            async with self._turn:
                done = await self._prepare.fetchval(
                    submit.approval.client_order_id,
                    submit.decision_id,
                    submit.approval_hash,
                    signed.text,
                    signed.signature,
                    signed.key_id,
                    self._desk,
                    self.epoch,
                    _now_us(),
                )
        except asyncpg.ObjectNotInPrerequisiteStateError as error:
            if error.constraint_name != _FENCED:
                raise JournalLost(f"journal: {error}") from error
            raise Fenced(str(error)) from error
        except _LOST as error:
            raise JournalLost(f"journal: {type(error).__name__}: {error}") from error
        return WriteAhead.PREPARED if done else WriteAhead.ALREADY_THERE

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write what became of prepared rows, all in one commit; a row that is settled stays as it is."""
        last = {settlement.client_order_id: settlement for settlement in settlements}.values()
        columns = zip(*((s.client_order_id, s.state, s.sent_us, s.answered_us, s.answer) for s in last), strict=True)
        async with self._behind_turn:
            try:
                await self._behind.execute(_SETTLE, *map(list, columns))
            except _LOST as error:
                raise JournalLost(f"journal: {type(error).__name__}: {error}") from error

    async def load_unsettled(self) -> tuple[str, ...]:
        """Return the client order ids of rows of which nobody has written what became, oldest first."""
        return tuple(row["client_order_id"] for row in await self._fetch(_UNSETTLED, self._desk))

    async def which_are_there(self, client_order_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the ids that have a row: the others were never sent."""
        return frozenset(row["client_order_id"] for row in await self._fetch(_HAS, list(client_order_ids)))

    async def _fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        async with self._behind_turn:
            try:
                rows: Sequence[Any] = await self._behind.fetch(query, *arguments)
            except _LOST as error:
                raise JournalLost(f"journal: {type(error).__name__}: {error}") from error
            return rows

    async def _fetchval(self, query: str, *arguments: Any) -> Any:
        return (await self._fetch(query, *arguments))[0][0]


def _now_us() -> int:
    return time.time_ns() // 1_000
