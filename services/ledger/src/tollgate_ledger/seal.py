"""A seal: the ledger's signature over where archive and journal stood, so that a tail that was rewritten shows.

Whoever may write everything in the database can also make both chains anew behind what he changes. To make the seals
anew he needs the key, which is no row of the database. That keeps it from him as far as the database's server cannot
read the ledger's files: on another host, or as another user of the system (docs/decisions/0024).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tollgate_contracts.config import canonical_json

SEAL_DOMAIN = b"tollgate/seal/v1\n"
# What a superuser of the database could rewrite without a trace is at most so old.
SEAL_INTERVAL_S = 300
# Where the ledger keeps its newest seal outside the database, in its own directory.
LAST_SEAL_FILE = "last-seal.json"
_KEY_ID_DIGITS = 16


def key_id_of(public_key: bytes) -> str:
    """Return the id by which a seal names the key that verifies it."""
    return hashlib.sha256(public_key).hexdigest()[:_KEY_ID_DIGITS]


@dataclass(frozen=True, slots=True)
class Seal:
    """What is signed: both chains' hashes at one moment. ``number`` counts the seals from 1, without a gap."""

    desk: str
    number: int
    archived_sequence: int
    archive_hash: bytes
    entry: int
    """Number of the journal's last entry; 0 before the first."""
    entry_hash: bytes
    at_us: int
    key_id: str

    def fields(self) -> dict[str, str | int]:
        """Return the fields as JSON-ready values; hashes in hexadecimal."""
        return {
            "desk": self.desk,
            "number": self.number,
            "archived_sequence": self.archived_sequence,
            "archive_hash": self.archive_hash.hex(),
            "entry": self.entry,
            "entry_hash": self.entry_hash.hex(),
            "at_us": self.at_us,
            "key_id": self.key_id,
        }

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Return the seal that ``fields`` returned; raises ``KeyError``, ``TypeError`` or ``ValueError`` for others."""
        return cls(
            desk=str(fields["desk"]),
            number=int(fields["number"]),
            archived_sequence=int(fields["archived_sequence"]),
            archive_hash=bytes.fromhex(fields["archive_hash"]),
            entry=int(fields["entry"]),
            entry_hash=bytes.fromhex(fields["entry_hash"]),
            at_us=int(fields["at_us"]),
            key_id=str(fields["key_id"]),
        )

    def signed_bytes(self) -> bytes:
        """Return the bytes under the signature, behind the tag of what they are."""
        return SEAL_DOMAIN + canonical_json(self.fields()).encode()
