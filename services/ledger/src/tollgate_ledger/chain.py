"""The archive's hash chain: each row's hash covers the row before it, so no row can change unseen.

This is the second implementation of ``ledger.chain_hash`` in ``deploy/postgres/ledger.sql``: the database refuses
a row that does not continue the chain, and this one checks the database.
"""

import hashlib

from tollgate_chassis.tape import Record

GENESIS = bytes(32)


def chain_hash(previous: bytes, sequence: int, subject: str, message_id: str, body: bytes) -> bytes:
    """Return SHA-256 over the previous hash and the row's identity and bytes; lengths keep the parts apart."""
    digest = hashlib.sha256(previous)
    digest.update(sequence.to_bytes(8, "big"))
    for text in (subject.encode(), message_id.encode()):
        digest.update(len(text).to_bytes(4, "big"))
        digest.update(text)
    digest.update(body)
    return digest.digest()


def continued(previous: bytes, record: Record) -> bytes:
    """Return the chain's hash after ``record``."""
    return chain_hash(previous, record.sequence, record.subject, record.message_id, record.data)
