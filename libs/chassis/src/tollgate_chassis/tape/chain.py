"""The hash chain over the tape: each record's hash covers the record before it, so none can change unseen.

The ledger's archive keeps it beside each record. ``ledger.chain_hash`` in ``deploy/postgres/ledger.sql`` is the same
in the database, which refuses a row that does not continue the chain; this one checks the database. What is under
the hash is all that a reader is given, in the texts that are archived: also the headers, and the broker's time of
storing, by which a reader refuses a message that is ahead of it.
"""

import hashlib
from collections.abc import Mapping

from tollgate_chassis.tape.archived import StoredRow, archived_headers, archived_text
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
    texts = (archived_text(subject), archived_text(message_id), archived_headers(headers))
    return _hash_of(previous, sequence, texts, stored_us, body)


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


def row_hash(previous: bytes, row: StoredRow) -> bytes:
    """Return the chain's hash after a row of the archive, over its texts as they lie there.

    Where it is the row's own ``chain_hash``, the row is, byte for byte, the one that was archived. Of a row in which
    something is null it is empty, which is no hash.
    """
    texts = (row["subject"], row["message_id"], row["headers"])
    if None in (*texts, row["stored_us"], row["body"]):
        return b""
    return _hash_of(previous, row["tape_sequence"], texts, row["stored_us"], row["body"])


def _hash_of(previous: bytes, sequence: int, texts: tuple[str, str, str], stored_us: int, body: bytes) -> bytes:
    subject, message_id, headers = (text.encode() for text in texts)
    return hashlib.sha256(
        b"".join(
            (
                previous,
                sequence.to_bytes(8, "big", signed=True),
                len(subject).to_bytes(4, "big"),
                subject,
                len(message_id).to_bytes(4, "big"),
                message_id,
                stored_us.to_bytes(8, "big", signed=True),
                len(headers).to_bytes(4, "big"),
                headers,
                body,
            )
        )
    ).digest()
