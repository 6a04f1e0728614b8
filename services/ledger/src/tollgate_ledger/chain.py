"""The hash chains of archive and journal: each row's hash covers the row before it, so no row can change unseen.

The archive's is the tape's own, from the chassis. The journal's is the second implementation of ``ledger.entry_hash``
in ``deploy/postgres/ledger.sql``: the database refuses a row that does not continue the chain, and this one checks
the database.
"""

import hashlib

from tollgate_chassis.tape.chain import GENESIS, chain_hash, continued
from tollgate_contracts.money import plain
from tollgate_ledger.core import JournalEntry

__all__ = ["GENESIS", "chain_hash", "continued", "entry_hash"]


def entry_hash(previous: bytes, entry: JournalEntry) -> bytes:
    """Return SHA-256 over the previous entry's hash, the entry's columns in the table's order, and its postings."""
    rate = None if entry.fee_rate is None else plain(entry.fee_rate)
    reverses = None if entry.reverses is None else str(entry.reverses)
    digest = hashlib.sha256(previous)
    for text in (str(entry.number), entry.desk, entry.venue, str(entry.tape_sequence), entry.message_id):
        digest.update(_field(text))
    for text in (entry.kind.value, str(entry.ts_us), entry.run_id, str(entry.cycle_id), str(len(entry.postings))):
        digest.update(_field(text))
    ids = (entry.symbol, entry.trade_id, entry.client_order_id, entry.config_hash, entry.protects, entry.movement_id)
    for optional in (*ids, rate, entry.fee_rate_source, reverses):
        digest.update(_field(optional))
    for posting in entry.postings:
        for text in (posting.account, posting.currency, plain(posting.amount)):
            digest.update(_field(text))
    return digest.digest()


def _field(text: str | None) -> bytes:
    """Return the text's length and bytes, so that no two rows of fields read alike; none has the length -1."""
    if text is None:
        return (-1).to_bytes(4, "big", signed=True)
    data = text.encode()
    return len(data).to_bytes(4, "big", signed=True) + data
