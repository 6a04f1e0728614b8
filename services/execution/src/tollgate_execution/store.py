"""Execution's journal in Postgres: what may have been sent is committed here before the first byte leaves.

One statement, one round trip, one commit is all that an order pays: the database itself checks the lease, and the
three unique columns, inside it. Everything else is written behind, off the order's path. Whatever goes wrong with
the database ends the process: a commit whose outcome is not known is read back by the next one.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Self

import asyncpg

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.exits import BadConfiguration, Restart
from tollgate_contracts.approval import Approval, SignedText
from tollgate_contracts.execution import OrderState
from tollgate_execution.core import Submit
from tollgate_execution.core.placing import Leg
from tollgate_venues.adapter import OrderReference

SCHEMA_VERSION = 3
# One connection writes ahead, one writes behind and answers questions: neither ever waits for the other.
_COMMAND_S = 5.0

_TAKE_LEASE = """
    INSERT INTO execution.lease AS held (desk, epoch, holder, taken_us) VALUES ($1, 1, $2, $3)
    ON CONFLICT (desk) DO UPDATE SET epoch = held.epoch + 1, holder = excluded.holder, taken_us = excluded.taken_us
    RETURNING epoch"""
_PREPARE = """
    INSERT INTO execution.journal
        (client_order_id, decision_id, approval_hash, leg, attempt, approval_text, signature, key_id, desk, epoch,
         prepared_us)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
    ON CONFLICT DO NOTHING RETURNING true"""
# The lease is checked by the row's own trigger, in the statement that allows the send.
_RESEND = """
    UPDATE execution.journal SET sends = sends + 1, epoch = $3
    WHERE client_order_id = $1 AND sends = $2 AND answered_us IS NULL AND desk = $4 RETURNING true"""
# The first answer stays; after it a row only learns that its order is over.
_SETTLE = """
    UPDATE execution.journal AS kept
    SET state = settled.state, sent_us = coalesce(kept.sent_us, settled.sent_us),
        answered_us = coalesce(kept.answered_us, settled.answered_us), answer = coalesce(kept.answer, settled.answer),
        ended_us = settled.ended_us
    FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::jsonb[], $6::bigint[])
        AS settled (client_order_id, state, sent_us, answered_us, answer, ended_us)
    WHERE kept.client_order_id = settled.client_order_id AND kept.ended_us IS NULL
        AND (kept.answered_us IS NULL OR settled.ended_us IS NOT NULL)"""
_NOT_ENDED = """
    SELECT client_order_id, approval_text, prepared_us FROM execution.journal
    WHERE desk = $1 AND ended_us IS NULL ORDER BY prepared_us"""
_RESTORED = "SELECT count(*) FROM execution.restored WHERE desk = $1"
_TRUST = "DELETE FROM execution.restored WHERE desk = $1"
_HAS = "SELECT client_order_id FROM execution.journal WHERE client_order_id = ANY($1::text[])"

_FIND = """
    SELECT client_order_id, decision_id, approval_text, signature, key_id, leg, attempt, state, ended_us
    FROM execution.journal WHERE client_order_id = ANY($1::text[]) AND desk = $2 ORDER BY prepared_us"""

_FENCED = "journal_is_fenced"
_NOT_YET = "journal_attempts_follow"
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
    NOT_YET = "not_yet"
    """An earlier attempt of the same approval may still be live at the venue: nothing may be sent."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What became of a row's order, as far as sending is concerned."""

    client_order_id: str
    state: str
    sent_us: int | None
    answered_us: int
    answer: str
    """JSON: the evidence."""
    ended_us: int | None = None
    """When nothing of the order could be live at the venue any more; none while it may be."""


@dataclass(frozen=True, slots=True)
class JournalRow:
    """What was committed before an order was sent, as far as it is needed to take the order back."""

    client_order_id: str
    decision_id: str
    signed: SignedText
    leg: Leg
    attempt: int
    ended_as: OrderState | None
    """How it has ended; none while something of it may be live at the venue."""


class Journal:
    """The journal of one desk, held under one lease."""

    def __init__(self, desk: str, ahead: Any, behind: Any, clock: Clock = SYSTEM_CLOCK) -> None:
        self.epoch = 0
        """Of the lease that is held; 0 before it was taken."""
        self._desk = desk
        self._ahead = ahead
        self._behind = behind
        self._clock = clock
        self._prepare: Any = None
        self._resend: Any = None
        self._turn = asyncio.Lock()
        self._behind_turn = asyncio.Lock()

    @classmethod
    async def connect(cls, dsn: str, desk: str, clock: Clock = SYSTEM_CLOCK) -> Self:
        """Connect; raises ``JournalLost`` when the database is not there, ``BadConfiguration`` for another schema."""
        try:
            ahead = await asyncpg.connect(dsn, command_timeout=_COMMAND_S, timeout=_COMMAND_S)
            behind = await asyncpg.connect(dsn, command_timeout=_COMMAND_S, timeout=_COMMAND_S)
            journal = cls(desk, ahead, behind, clock)
            await journal._check_schema()
            journal._prepare = await ahead.prepare(_PREPARE)
            journal._resend = await ahead.prepare(_RESEND)
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
        self.epoch = int(await self._fetchval(_TAKE_LEASE, self._desk, holder, self._clock.wall_us()))
        return self.epoch

    async def prepare(self, submit: Submit) -> WriteAhead:
        """Commit the row of one order; raises ``Fenced`` when the lease is another's, ``JournalLost`` when in doubt."""
        signed, placing = submit.signed, submit.placing
        return await self._write_ahead(
            self._prepare,
            placing.venue_id,
            submit.decision_id,
            submit.approval_hash,
            placing.leg.value,
            placing.attempt,
            signed.text,
            signed.signature,
            signed.key_id,
            self._desk,
            self.epoch,
            self._clock.wall_us(),
        )

    async def prepare_resend(self, submit: Submit) -> WriteAhead:
        """Commit that an order leaves once more under the same id; ``ALREADY_THERE`` when it did, or is answered."""
        return await self._write_ahead(self._resend, submit.placing.venue_id, submit.resend, self.epoch, self._desk)

    async def _write_ahead(self, statement: Any, *arguments: Any) -> WriteAhead:
        try:
            # A connection carries one statement at a time; the next order waits here for about one commit.
            async with self._turn:
                done = await statement.fetchval(*arguments)
        except asyncpg.ObjectNotInPrerequisiteStateError as error:
            if error.constraint_name == _NOT_YET:
                return WriteAhead.NOT_YET
            if error.constraint_name != _FENCED:
                raise JournalLost(f"journal: {error}") from error
            raise Fenced(str(error)) from error
        except _LOST as error:
            raise JournalLost(f"journal: {type(error).__name__}: {error}") from error
        return WriteAhead.PREPARED if done else WriteAhead.ALREADY_THERE

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Write what became of prepared rows, all in one commit; a row whose order is over stays as it is."""
        last = {settlement.client_order_id: settlement for settlement in settlements}.values()
        rows = ((s.client_order_id, s.state, s.sent_us, s.answered_us, s.answer, s.ended_us) for s in last)
        columns = zip(*rows, strict=True)
        async with self._behind_turn:
            try:
                await self._behind.execute(_SETTLE, *map(list, columns))
            except _LOST as error:
                raise JournalLost(f"journal: {type(error).__name__}: {error}") from error

    async def load_unsettled(self) -> dict[str, OrderReference]:
        """Return the orders that may be live at the venue by what is written, by their id there, oldest first."""
        return {row["client_order_id"]: _reference(row) for row in await self._fetch(_NOT_ENDED, self._desk)}

    async def which_are_there(self, client_order_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the ids that have a row: the others were never sent, unless the journal was restored."""
        return frozenset(row["client_order_id"] for row in await self._fetch(_HAS, list(client_order_ids)))

    async def was_restored(self) -> bool:
        """Tell whether the journal came out of a backup, and may lack rows of orders that were sent after it."""
        return bool(await self._fetchval(_RESTORED, self._desk))

    async def trust_again(self) -> None:
        """Note that the venue was asked about every order that may lack its row."""
        await self._fetch(_TRUST, self._desk)

    async def find(self, client_order_ids: Sequence[str]) -> tuple[JournalRow, ...]:
        """Return the rows of those of the ids that have one, oldest first."""
        rows = await self._fetch(_FIND, list(client_order_ids), self._desk)
        return tuple(
            JournalRow(
                client_order_id=row["client_order_id"],
                decision_id=row["decision_id"],
                signed=SignedText(text=row["approval_text"], signature=row["signature"], key_id=row["key_id"]),
                leg=Leg(row["leg"]),
                attempt=row["attempt"],
                ended_as=None if row["ended_us"] is None else OrderState(row["state"]),
            )
            for row in rows
        )

    async def _fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        async with self._behind_turn:
            try:
                rows: Sequence[Any] = await self._behind.fetch(query, *arguments)
            except _LOST as error:
                raise JournalLost(f"journal: {type(error).__name__}: {error}") from error
            return rows

    async def _fetchval(self, query: str, *arguments: Any) -> Any:
        return (await self._fetch(query, *arguments))[0][0]


def _reference(row: Any) -> OrderReference:
    approval = Approval.model_validate_json(row["approval_text"])
    return OrderReference(row["client_order_id"], approval.symbol, None, row["prepared_us"])
