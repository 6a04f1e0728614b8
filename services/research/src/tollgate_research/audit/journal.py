"""The journal as it is stored: its chain, and that everything sums to zero.

Where entries and postings are, row for row, those that the archive leads to, both are proved by that. This is asked
where they are not, or where nobody knows what they must be.
"""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal

import asyncpg

from tollgate_contracts.money import ZERO, plain
from tollgate_ledger.chain import GENESIS, entry_hash
from tollgate_ledger.core import Posting
from tollgate_ledger.rows import entry_of
from tollgate_research.audit.comparing import shown
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.reading import ENTRIES, POSTINGS, Moment
from tollgate_research.books import Connection

# What a posting can hold, as `amount_is_exact` of ledger.sql says: only that can be summed without rounding.
_AMOUNT_MAX, _PLACES_MAX = Decimal(10) ** 20, 18


def fault_of(postings: Sequence[Posting]) -> str:
    """Say what is wrong with the sums of an entry's postings, or nothing."""
    sums: dict[str, Decimal] = {}
    for line, posting in enumerate(postings, start=1):
        if not _is_exact(posting.amount):
            return f"its line {line} is of {shown(posting.amount)}, which no posting can hold"
        sums[posting.currency] = sums.get(posting.currency, ZERO) + posting.amount
    off = [f"{shown(total)} {currency}" for currency, total in sorted(sums.items(), key=str) if total != ZERO]
    return f"its postings sum to {', '.join(off)}, not to zero" if off else ""


def _is_exact(amount: Decimal | None) -> bool:
    if amount is None or not amount.is_finite() or amount == ZERO or amount.copy_abs() >= _AMOUNT_MAX:
        return False
    return len(plain(amount).partition(".")[2]) <= _PLACES_MAX


async def check_journal(connection: Connection, moment: Moment, audit: Audit) -> None:
    """Go through the stored entries with their postings, and note the first that is wrong in itself.

    Entries behind a break of the chain are still summed.
    """
    lines = _Lines(moment.rows(connection, POSTINGS), audit)
    chain, number = GENESIS, 0
    audit.checked[Part.JOURNAL] = audit.checked[Part.SUMS] = 0
    async for row in moment.rows(connection, ENTRIES):
        number += 1
        audit.checked[Part.JOURNAL] += 1
        postings = await lines.of(row["id"])
        audit.checked[Part.SUMS] += len(postings)
        what = fault_of(postings)
        if what:
            audit.note(Part.SUMS, "entries", row["id"], what)
        if Part.JOURNAL not in audit.found:
            chain = _continued(chain, number, row, postings, audit)
    await lines.finish()


def _continued(chain: bytes, number: int, row: asyncpg.Record, postings: list[Posting], audit: Audit) -> bytes:
    if row["id"] != number:
        audit.note(Part.JOURNAL, "entries", min(number, row["id"]), "is missing, or does not belong there")
        return chain
    what, fields = "", dict(row)
    fields["number"] = fields.pop("id")
    lines, stored = fields.pop("lines"), fields.pop("chain_hash")
    try:
        chain = entry_hash(chain, entry_of(fields, tuple(postings)))
    except (ValueError, TypeError, ArithmeticError) as error:
        what = f"is no entry any more: {error}"
    if not what and lines != len(postings):
        what = f"says that it has {lines} postings, and {len(postings)} are there"
    if not what and chain != stored:
        what = f"or its postings were changed: its hash is {shown(stored)}, its content's {shown(chain)}"
    if what:
        audit.note(Part.JOURNAL, "entries", number, what)
    return chain


class _Lines:
    """All postings in the order of their entries."""

    def __init__(self, rows: AsyncIterator[asyncpg.Record], audit: Audit) -> None:
        self._rows = rows
        self._audit = audit
        self._next: asyncpg.Record | None = None
        self._has_begun = False

    async def of(self, number: int) -> list[Posting]:
        """Return the lines of an entry, and note those before it that are of none."""
        taken: list[Posting] = []
        while (row := await self._peek()) is not None and row["entry_id"] <= number:
            self._next = await anext(self._rows, None)
            if row["entry_id"] != number:
                self._note(row, "belongs to no entry")
                continue
            taken.append(Posting(row["account"], row["currency"], row["amount"]))
            if row["line"] != len(taken):
                self._note(row, f"is line {len(taken)} of its entry")
        return taken

    async def finish(self) -> None:
        """Note a line behind the last entry."""
        row = await self._peek()
        if row is not None:
            self._note(row, "belongs to no entry")

    async def _peek(self) -> asyncpg.Record | None:
        if not self._has_begun:
            self._has_begun, self._next = True, await anext(self._rows, None)
        return self._next

    def _note(self, row: asyncpg.Record, what: str) -> None:
        self._audit.note(Part.JOURNAL, "postings", POSTINGS.name_of(row), what)
