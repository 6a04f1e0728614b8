"""The hash chain over the tape: each record's hash covers the record before it, so none can change unseen.

The ledger's archive keeps it beside each record. ``ledger.chain_hash`` in ``deploy/postgres/ledger.sql`` is the same
in the database, which refuses a row that does not continue the chain; this one checks the database. What is under
the hash is all that a reader is given: also the headers, and the broker's time of storing, by which a reader refuses
a message that is ahead of it.
"""

import hashlib
from collections.abc import Mapping

from tollgate_chassis.tape.records import NO_HEADERS, Record

GENESIS = bytes(32)


def chain_hash(
    previous: bytes,
    sequence: int,
    subject: str,
    message_id: str,
    body: bytes,
    *,
    headers: Mapping[str, str] = NO_HEADERS,
    stored_us: int = 0,
) -> bytes:
    """Return SHA-256 over the previous hash and everything of the record; lengths keep the parts apart."""
    digest = hashlib.sha256(previous)
    digest.update(sequence.to_bytes(8, "big"))
    for text in (subject, message_id):
        digest.update(_field(text))
    digest.update(stored_us.to_bytes(8, "big", signed=True))
    digest.update(len(headers).to_bytes(4, "big"))
    for name in sorted(headers):
        digest.update(_field(name) + _field(headers[name]))
    digest.update(body)
    return digest.digest()


def continued(previous: bytes, record: Record) -> bytes:
    """Return the chain's hash after ``record``."""
    return chain_hash(
        previous,
        record.sequence,
        record.subject,
        record.message_id,
        record.data,
        headers=record.headers,
        stored_us=record.stored_us,
    )


def _field(text: str) -> bytes:
    content = text.encode()
    return len(content).to_bytes(4, "big") + content
