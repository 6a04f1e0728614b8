"""What a record and an entry look like as rows of the database, and back."""

import json
from collections.abc import Iterable, Sequence

import asyncpg

from tollgate_chassis.tape import Record
from tollgate_ledger.chain import entry_hash
from tollgate_ledger.core import EntryKind, JournalEntry, Posting


def columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """Turn rows into the column arrays that ``unnest`` takes."""
    return [list(column) for column in zip(*rows, strict=True)]


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


def entry_of(row: asyncpg.Record, postings: tuple[Posting, ...]) -> JournalEntry:
    """Return the entry that ``row`` and its lines are of."""
    fields = {**dict(row), "kind": EntryKind(row["kind"])}
    return JournalEntry(postings=postings, **fields)


def record_of(row: asyncpg.Record) -> Record:
    """Return the record that ``row`` of the archive keeps.

    A header that is no text any more, because somebody has changed the row, stands behind a zero, which the database
    cannot hold in a text: no record has such a header, so the chain's hash differs.
    """
    headers = {
        name: content if isinstance(content, str) else f"\0{json.dumps(content)}"
        for name, content in _pairs(json.loads(row["headers"]))
    }
    identity = (row["tape_sequence"], row["subject"], row["message_id"])
    return Record(*identity, row["body"], headers, row["stored_us"])


def _pairs(headers: object) -> Iterable[tuple[str, object]]:
    return headers.items() if isinstance(headers, dict) else [("", [headers])]
