"""A seal: the ledger's signature over where archive and journal stood, so that a tail that was rewritten shows.

Whoever may write everything in the database can also make both chains anew behind what he changes. He cannot make
the seals anew: the key that signs them is not in the database, and neither are the public keys that verify them.
"""

from dataclasses import dataclass

from tollgate_contracts.config import canonical_json

SEAL_DOMAIN = b"tollgate/seal/v1\n"
# What a superuser of the database could rewrite without a trace is at most so old.
SEAL_INTERVAL_S = 300


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

    def signed_bytes(self) -> bytes:
        """Return the bytes under the signature, behind the tag of what they are."""
        return SEAL_DOMAIN + canonical_json(self.fields()).encode()
