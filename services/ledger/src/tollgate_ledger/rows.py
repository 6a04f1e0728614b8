"""What a record and an entry look like as rows of the database, and back."""

from collections.abc import Sequence
from dataclasses import fields

from tollgate_chassis.tape import Record
from tollgate_chassis.tape.archived import StoredRow, archived_headers, archived_text
from tollgate_ledger.chain import entry_hash
from tollgate_ledger.core import EntryKind, JournalEntry, Posting

_ENTRY_COLUMNS = tuple(each.name for each in fields(JournalEntry) if each.name != "postings")


def columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Turn rows into the column arrays that ``unnest`` takes."""
    return [list(column) for column in zip(*rows, strict=True)]


def archive_row(record: Record, chain: bytes) -> tuple[object, ...]:
    """Return the row of ``record``, after which the chain's hash is ``chain``."""
    texts = (archived_text(record.message_id), archived_text(record.subject))
    return (record.sequence, *texts, record.data, archived_headers(record.headers), record.stored_us, chain)


def entry_rows(previous: bytes, entries: Sequence[JournalEntry]) -> tuple[list[tuple[object, ...]], bytes]:
    """Return the rows of ``entries``, which follow an entry of the hash ``previous``, and the last one's hash."""
    rows: list[tuple[object, ...]] = []
    for entry in entries:
        previous = entry_hash(previous, entry)
        place = (entry.number, entry.desk, entry.venue, entry.tape_sequence, entry.message_id, entry.kind.value)
        origin = (entry.ts_us, entry.run_id, entry.cycle_id, len(entry.postings))
        ids = (entry.symbol, entry.trade_id, entry.client_order_id, entry.config_hash, entry.protects)
        rest = (entry.movement_id, entry.fee_rate, entry.fee_rate_source, entry.reverses, previous)
        rows.append((*place, *origin, *ids, *rest))
    return rows, previous


def posting_rows(entries: Sequence[JournalEntry]) -> list[tuple[object, ...]]:
    """Return the rows of the lines of ``entries``."""
    return [
        (entry.number, line, posting.account, posting.currency, posting.amount)
        for entry in entries
        for line, posting in enumerate(entry.postings, start=1)
    ]


def entry_of(row: StoredRow, postings: tuple[Posting, ...]) -> JournalEntry:
    """Return the entry that ``row`` and its lines are of; raises ``ValueError`` for a kind that there is not."""
    columns_of_it = {name: row[name] for name in _ENTRY_COLUMNS}
    return JournalEntry(postings=postings, **{**columns_of_it, "kind": EntryKind(row["kind"])})
