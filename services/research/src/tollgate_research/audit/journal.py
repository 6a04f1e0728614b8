"""The journal as it is stored: its chain, and that everything sums to zero."""

from collections.abc import AsyncIterator
from decimal import Decimal

import asyncpg

from tollgate_contracts.money import ZERO
from tollgate_ledger.chain import GENESIS, entry_hash
from tollgate_ledger.core import Posting
from tollgate_ledger.rows import entry_of
from tollgate_research.audit.comparing import shown
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.reading import Connection, rows

_ENTRIES = """
SELECT id AS number, desk, venue, kind, tape_sequence, message_id, ts_us, run_id, cycle_id, symbol, trade_id,
       client_order_id, config_hash, protects, movement_id, fee_rate, fee_rate_source, reverses
FROM ledger.entries ORDER BY id
"""
_HASHES = "SELECT id, lines, chain_hash FROM ledger.entries ORDER BY id"
_POSTINGS = "SELECT entry_id, line, account, currency, amount FROM ledger.postings ORDER BY entry_id, line"

Totals = dict[tuple[str, str], Decimal]


async def check_journal(connection: Connection, audit: Audit) -> Totals:
    """Go through the stored entries with their postings; return the trial balance, zeros left out.

    Entries and postings that are not read any more, because the chain is broken, are still summed.
    """
    lines = _Lines(connection)
    hashes = rows(connection, _HASHES)
    chain, number = GENESIS, 0
    async for row in rows(connection, _ENTRIES):
        number += 1
        audit.checked[Part.JOURNAL] += 1
        stored = await anext(hashes)
        postings = await lines.of(row["number"], audit)
        _check_sum(row["number"], postings, audit)
        if Part.JOURNAL not in audit.found:
            chain = _continued(chain, number, row, stored, postings, audit)
    await lines.of(None, audit)
    for currency, total in sorted(lines.sums.items()):
        if total != ZERO:
            audit.note(Part.SUMS, "postings", "", f"all together sum to {shown(total)} {currency}, not to zero")
    return {key: total for key, total in lines.totals.items() if total}


def _continued(
    chain: bytes, number: int, row: asyncpg.Record, stored: asyncpg.Record, postings: list[Posting], audit: Audit
) -> bytes:
    what = ""
    if row["number"] != number:
        audit.note(Part.JOURNAL, "entries", min(number, row["number"]), "is missing, or does not belong there")
        return chain
    try:
        chain = entry_hash(chain, entry_of(row, tuple(postings)))
    except ValueError as error:
        what = f"is no entry any more: {error}"
    if not what and stored["lines"] != len(postings):
        what = f"says that it has {stored['lines']} postings, and {len(postings)} are there"
    if not what and chain != stored["chain_hash"]:
        what = f"or its postings were changed: its hash is {shown(stored['chain_hash'])}, its content's {shown(chain)}"
    if what:
        audit.note(Part.JOURNAL, "entries", number, what)
    return chain


def _check_sum(number: int, postings: list[Posting], audit: Audit) -> None:
    audit.checked[Part.SUMS] += len(postings)
    sums: dict[str, Decimal] = {}
    for posting in postings:
        sums[posting.currency] = sums.get(posting.currency, ZERO) + posting.amount
    off = [f"{shown(total)} {currency}" for currency, total in sorted(sums.items()) if total != ZERO]
    if off:
        audit.note(Part.SUMS, "entries", number, f"its postings sum to {', '.join(off)}, not to zero")


class _Lines:
    """All postings in the order of their entries, summed as they pass."""

    def __init__(self, connection: Connection) -> None:
        self.totals: Totals = {}
        self.sums: dict[str, Decimal] = {}
        self._rows: AsyncIterator[asyncpg.Record] = rows(connection, _POSTINGS)
        self._next: asyncpg.Record | None = None
        self._has_begun = False

    async def of(self, number: int | None, audit: Audit) -> list[Posting]:
        """Return the lines of an entry, and note those of none; without a number take all that are left."""
        if not self._has_begun:
            self._has_begun, self._next = True, await anext(self._rows, None)
        taken: list[Posting] = []
        while (row := self._next) is not None and (number is None or row["entry_id"] <= number):
            self._next = await anext(self._rows, None)
            posting = Posting(row["account"], row["currency"], row["amount"])
            self._sum(posting)
            if row["entry_id"] != number:
                audit.note(Part.JOURNAL, "postings", f"{row['entry_id']}/{row['line']}", "belongs to no entry")
                continue
            taken.append(posting)
            if row["line"] != len(taken):
                audit.note(Part.JOURNAL, "postings", f"{number}/{row['line']}", f"is line {len(taken)} of its entry")
        return taken

    def _sum(self, posting: Posting) -> None:
        key = (posting.account, posting.currency)
        self.totals[key] = self.totals.get(key, ZERO) + posting.amount
        self.sums[posting.currency] = self.sums.get(posting.currency, ZERO) + posting.amount
