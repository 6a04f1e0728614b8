"""The archive, and all that follows from it: one pass from the first record to the last, stepping the books again."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import asyncpg

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.archived import archived_text, record_of
from tollgate_chassis.tape.chain import GENESIS, row_hash
from tollgate_contracts.money import plain
from tollgate_research.audit.comparing import Comparison, first_difference, shown
from tollgate_research.audit.expected import PART_OF, Expected, ExpectedRows
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.reading import ARCHIVE, ENTRIES, POSTINGS, Moment
from tollgate_research.audit.stepping import Stepping
from tollgate_research.audit.tape import TapeBeside
from tollgate_research.books import Connection

# The ledger writes its state after some seconds for the first time, and never takes it back.
_STATE_WITHIN_US = 60_000_000


class Rebuilding:
    """Steps a fresh core over the archive and holds the database against what it says."""

    def __init__(self, connection: Connection, moment: Moment, audit: Audit, tape: TapeBeside | None) -> None:
        self._connection = connection
        self._moment = moment
        self._audit = audit
        self._tape = tape
        self._checkpoint = moment.checkpoints[0]
        self._stepping = Stepping(audit.desk)
        self._expected = ExpectedRows()
        self._comparisons = {
            table: Comparison(table, moment.rows(connection, table), partial(audit.note, part, table.name))
            for table, part in PART_OF.items()
        }
        self._chain = GENESIS

    async def run(self) -> None:
        """Go through the archive; where its chain breaks, what follows is not rebuilt."""
        audit, expected = self._audit, 1
        async for row in self._moment.rows(self._connection, ARCHIVE):
            audit.checked[Part.ARCHIVE] += 1
            if not self._continues(row, expected):
                self._give_up(expected)
                return
            if not await self._take(row):
                return
            audit.first_us, audit.newest_us = audit.first_us or row["stored_us"], row["stored_us"]
            expected += 1
        await self._finish(expected - 1)

    def _continues(self, row: asyncpg.Record, expected: int) -> bool:
        sequence = row["tape_sequence"]
        if sequence > expected > (self._checkpoint["archived_sequence"] or 0):
            self._audit.note(Part.ARCHIVE, "archive", sequence, "lies behind the end that the checkpoint names")
            return False
        if sequence != expected:
            what = "is missing" if sequence > expected else "is before the first record"
            self._audit.note(Part.ARCHIVE, "archive", min(expected, sequence), what)
            return False
        self._chain = row_hash(self._chain, row)
        if self._chain != row["chain_hash"]:
            what = f"was changed: its hash is {shown(row['chain_hash'])}, its content's {shown(self._chain)}"
            self._audit.note(Part.ARCHIVE, "archive", sequence, what)
            return False
        return True

    def _give_up(self, sequence: int) -> None:
        for comparison in self._comparisons.values():
            comparison.give_up()
        self._count()
        self._audit.not_proved.append(f"the books behind record {sequence}: nothing can be rebuilt from there on")

    async def _take(self, row: asyncpg.Record) -> bool:
        try:
            record = record_of(row)
            effects = self._stepping.step(record)
            # What one record leads to lies in the order of the table; of several trips, by their numbers.
            expected = [each for effect in effects for each in self._expected.of(effect)]
            expected.sort(key=_place)
        except Exception as error:  # noqa: BLE001 - whatever the core says of a record that it cannot take is a finding
            what = f"the books cannot be stepped over it: {error!r}"
            self._audit.note(Part.BOOKS, "archive", row["tape_sequence"], what)
            self._give_up(row["tape_sequence"])
            return False
        if self._tape is not None:
            await self._tape.compare(record)
        for table, each in expected:
            await self._comparisons[table].expect(each)
        if record.sequence == self._checkpoint["state_sequence"]:
            self._check_state(record)
        return True

    def _check_state(self, record: Record) -> None:
        checkpoint = self._checkpoint
        message_id = archived_text(record.message_id)
        if checkpoint["state_message_id"] != message_id:
            self._note_checkpoint(f"state_message_id is {checkpoint['state_message_id']}, the record's is {message_id}")
        rebuilt = json.loads(json.dumps(self._stepping.state()))
        path = first_difference(json.loads(checkpoint["state"] or "null"), rebuilt)
        if path:
            self._note_checkpoint(f"the state at {record.sequence} is not the one that the archive leads to: {path}")

    async def _finish(self, last: int) -> None:
        for comparison in self._comparisons.values():
            await comparison.finish()
        self._count()
        if self._tape is not None:
            await self._tape.finish(last)
        checkpoint, core = self._checkpoint, self._stepping.core
        self._audit.archived, self._audit.entries = last, core.entries
        if (checkpoint["archived_sequence"] or 0) > last and checkpoint["chain_hash"] != self._chain:
            what = "is missing: the checkpoint has the hash of a later end"
            self._audit.note(Part.ARCHIVE, "archive", last + 1, what)
        ends = (
            ("archived_sequence", last),
            ("chain_hash", self._chain),
            ("entry", core.entries),
            ("entry_hash", self._expected.chain),
        )
        for name, value in ends:
            if checkpoint[name] != value:
                self._note_checkpoint(f"{name} is {shown(checkpoint[name])}, expected {shown(value)}")
        self._check_place_of_state(last)
        self._check_sums()
        self._audit.checked[Part.CHECKPOINT] += 1

    def _check_place_of_state(self, last: int) -> None:
        place = self._checkpoint["state_sequence"] or 0
        if place > last:
            self._note_checkpoint(f"state_sequence is {place}, the archive ends at {last}")
        elif place == 0 and self._audit.newest_us - self._audit.first_us > _STATE_WITHIN_US:
            self._note_checkpoint(f"has no state, and {last} records are archived")

    def _check_sums(self) -> None:
        """Note what the books stepped again say of themselves; the stored ones are, row for row, these."""
        if self._expected.fault:
            self._audit.note(Part.SUMS, "entries", "", self._expected.fault)
        totals = {account: total for account, total in self._expected.totals.items() if total}
        balances = self._stepping.core.balances
        for key in sorted({*totals, *balances}):
            if totals.get(key) != balances.get(key):
                stored, expected = (plain(side[key]) if key in side else "0" for side in (totals, balances))
                what = f"sum to {stored} {key[1]}, the ledger holds {expected}"
                self._audit.note(Part.BOOKS, "postings", key[0], what)

    def _count(self) -> None:
        counts = {table: comparison.count for table, comparison in self._comparisons.items()}
        for table, count in counts.items():
            self._audit.checked[PART_OF[table]] += count
        self._audit.checked[Part.JOURNAL] = counts[ENTRIES]
        self._audit.checked[Part.SUMS] = counts[POSTINGS]

    def _note_checkpoint(self, what: str) -> None:
        self._audit.note(Part.CHECKPOINT, "checkpoint", "", what)


def _place(expected: Expected) -> tuple[Any, ...]:
    table, row = expected
    return table.name, *table.place(row)


def the_checkpoint(rows: Sequence[asyncpg.Record], audit: Audit) -> asyncpg.Record | None:
    """Return the checkpoint's one row; notes it when there is another number of them."""
    if len(rows) != 1:
        audit.note(Part.CHECKPOINT, "checkpoint", "", f"{len(rows) or 'no'} rows are there, expected one")
    return rows[0] if rows else None
