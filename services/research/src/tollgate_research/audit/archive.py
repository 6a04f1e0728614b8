"""The archive, and all that follows from it: one pass from the first record to the last, stepping the books again."""

import json
from typing import Any

import asyncpg

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.chain import GENESIS, continued
from tollgate_chassis.tape.reading import Reading
from tollgate_contracts.envelope import Message
from tollgate_contracts.marketdata import Clock
from tollgate_contracts.money import plain
from tollgate_ledger.core import LedgerCore
from tollgate_ledger.rows import record_of
from tollgate_research.audit.comparing import Comparison, shown
from tollgate_research.audit.expected import TABLES, Expected, ExpectedRows
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.reading import Connection, rows

_ARCHIVE = """
SELECT tape_sequence, subject, message_id, body, headers, stored_us, chain_hash
FROM ledger.archive ORDER BY tape_sequence
"""
_CHECKPOINTS = "SELECT * FROM ledger.checkpoint LIMIT 2"


class Rebuilding:
    """Steps a fresh core over the archive and holds the database against what it says."""

    def __init__(self, connection: Connection, audit: Audit, checkpoint: asyncpg.Record) -> None:
        self.core = LedgerCore()
        self._connection = connection
        self._audit = audit
        self._checkpoint = checkpoint
        self._reading = Reading(audit.desk)
        self._expected = ExpectedRows()
        self._comparisons = {table.name: Comparison(table, connection, audit) for table in TABLES}
        self._chain = GENESIS
        self._cycle_id = 0

    async def run(self) -> None:
        """Go through the archive; where its chain breaks, what follows is not rebuilt."""
        audit, expected = self._audit, 1
        async for row in rows(self._connection, _ARCHIVE):
            audit.checked[Part.ARCHIVE] += 1
            if not self._continues(row, expected):
                self._give_up(expected)
                return
            try:
                await self._step(record_of(row))
            except Exception as error:  # noqa: BLE001 - a record that the core cannot take is a finding, told below
                audit.note(Part.BOOKS, "archive", expected, f"the books cannot be stepped over it: {error!r}")
                self._give_up(expected)
                return
            expected += 1
        await self._finish(expected - 1)

    def _continues(self, row: asyncpg.Record, expected: int) -> bool:
        sequence = row["tape_sequence"]
        if sequence > expected > self._checkpoint["archived_sequence"]:
            self._audit.note(Part.ARCHIVE, "archive", sequence, "lies behind the end that the checkpoint names")
            return False
        if sequence != expected:
            what = "is missing" if sequence > expected else "is before the first record"
            self._audit.note(Part.ARCHIVE, "archive", min(expected, sequence), what)
            return False
        self._chain = continued(self._chain, record_of(row))
        if self._chain != row["chain_hash"]:
            what = f"was changed: its hash is {shown(row['chain_hash'])}, its content's {shown(self._chain)}"
            self._audit.note(Part.ARCHIVE, "archive", sequence, what)
            return False
        return True

    def _give_up(self, sequence: int) -> None:
        for comparison in self._comparisons.values():
            comparison.give_up()
        self._audit.not_proved.append(f"the books behind record {sequence}: nothing can be rebuilt from there on")

    async def _step(self, record: Record) -> None:
        message = self._reading.read(record)
        if isinstance(message, Message):
            if isinstance(message, Clock):
                self._cycle_id = max(self._cycle_id, message.cycle_id)
            effects = self.core.step(record.sequence, message).effects
            expected = [each for effect in effects for each in self._expected.of(effect)]
            # What one record leads to lies in the order of the table; of several trips, by their numbers.
            for table, row in sorted(expected, key=_place):
                await self._comparisons[table.name].expect(row)
        if record.sequence == self._checkpoint["state_sequence"]:
            self._check_state(record)

    def _check_state(self, record: Record) -> None:
        checkpoint = self._checkpoint
        if checkpoint["state_message_id"] != record.message_id:
            what = f"state_message_id is {checkpoint['state_message_id']}, the record's is {record.message_id}"
            self._note_checkpoint(what)
        state = {"core": self.core.snapshot(), "reading": self._reading.snapshot(), "cycle_id": self._cycle_id}
        path = _first_difference(json.loads(checkpoint["state"] or "null"), json.loads(json.dumps(state)))
        if path:
            self._note_checkpoint(f"the state at {record.sequence} is not the one that the archive leads to: {path}")

    async def _finish(self, last: int) -> None:
        for comparison in self._comparisons.values():
            await comparison.finish()
        checkpoint, core = self._checkpoint, self.core
        self._audit.archived, self._audit.entries = last, core.entries
        if checkpoint["archived_sequence"] > last and checkpoint["chain_hash"] != self._chain:
            self._audit.note(
                Part.ARCHIVE, "archive", last + 1, "is missing: the checkpoint has the hash of a later end"
            )
        ends = (
            ("archived_sequence", last),
            ("chain_hash", self._chain),
            ("entry", core.entries),
            ("entry_hash", self._expected.chain),
        )
        for name, value in ends:
            if checkpoint[name] != value:
                self._note_checkpoint(f"{name} is {shown(checkpoint[name])}, expected {shown(value)}")
        if checkpoint["state_sequence"] > last:
            self._note_checkpoint(f"state_sequence is {checkpoint['state_sequence']}, the archive ends at {last}")
        self._audit.checked[Part.CHECKPOINT] += 1

    def _note_checkpoint(self, what: str) -> None:
        self._audit.note(Part.CHECKPOINT, "checkpoint", "", what)

    def compare_balances(self, totals: dict[tuple[str, str], Any]) -> None:
        """Compare the trial balance of the stored postings with that of the books stepped again."""
        rebuilt = self.core.balances
        for key in sorted({*totals, *rebuilt}):
            if totals.get(key) != rebuilt.get(key):
                stored, expected = (plain(side[key]) if key in side else "0" for side in (totals, rebuilt))
                what = f"sum to {stored} {key[1]}, the archive leads to {expected}"
                self._audit.note(Part.BOOKS, "postings", key[0], what)


def _place(expected: Expected) -> tuple[Any, ...]:
    table, row = expected
    return table.name, *(row[name] for name in table.order)


async def the_checkpoint(connection: Connection, audit: Audit) -> asyncpg.Record | None:
    """Return the checkpoint's one row; notes it when there is another number of them."""
    found = await connection.fetch(_CHECKPOINTS)
    if len(found) != 1:
        audit.note(Part.CHECKPOINT, "checkpoint", "", f"{len(found) or 'no'} rows are there, expected one")
    return found[0] if found else None


def _first_difference(one: Any, other: Any, path: str = "") -> str:
    """Return where two JSON values differ first, in the order of the keys; empty where they do not."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other}):
            found = _first_difference(one.get(key), other.get(key), f"{path}.{key}" if path else key)
            if found:
                return found
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        places = (
            _first_difference(*pair, f"{path}[{place}]") for place, pair in enumerate(zip(one, other, strict=True))
        )
        return next((found for found in places if found), "")
    return "" if type(one) is type(other) and one == other else f"{path} is {shown(one)}, expected {shown(other)}"
