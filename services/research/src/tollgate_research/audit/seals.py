"""The ledger's seals: signed by a key that is not in the database, of the chains that are in it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tollgate_ledger.seal import Seal
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.reading import Connection, rows

# Beside each seal the hashes that the chains have there; their rows are proved by the chains themselves.
_SEALS = """
SELECT seals.*, archive.chain_hash AS archived, entries.chain_hash AS booked
FROM ledger.seals
LEFT JOIN ledger.archive ON archive.tape_sequence = seals.archived_sequence
LEFT JOIN ledger.entries ON entries.id = seals.entry
ORDER BY seals.number
"""
_KEY_ID_DIGITS = 16
_NOTHING_BOOKED = bytes(32)


class NoKeys(Exception):
    """What verifies the seals, and lies outside the database, cannot be read: public keys, or the last seal's copy."""


def read_public_keys(path: Path) -> dict[str, VerifyKey]:
    """Return the public keys by key id, one in hexadecimal on each line; raises ``NoKeys``."""
    try:
        keys = [bytes.fromhex(line) for line in path.read_text().split()]
        found = {hashlib.sha256(key).hexdigest()[:_KEY_ID_DIGITS]: VerifyKey(key) for key in keys}
    except (OSError, ValueError) as error:
        raise NoKeys(f"the seals' public keys in {path} cannot be read: {error}") from error
    if not found:
        raise NoKeys(f"there is no public key in {path}")
    return found


@dataclass(frozen=True, slots=True)
class LastSeal:
    """The newest seal as the ledger has kept it outside the database."""

    number: int
    signature: str
    """Hexadecimal."""


def read_last_seal(path: Path) -> LastSeal | None:
    """Return the ledger's own copy of its newest seal, none where there is none; raises ``NoKeys`` for damage."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        return LastSeal(int(content["number"]), str(content["signature"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoKeys(f"the ledger's own copy of its last seal, {path}, cannot be read: {error!r}") from error


async def check_seals(
    connection: Connection, audit: Audit, desk: str, keys: dict[str, VerifyKey], last: LastSeal | None
) -> None:
    """Verify every seal, and that the newest that the ledger has kept outside the database is among them.

    ``last`` must have been read before the connection's transaction began, or it may be of a seal that came after it.
    """
    if last is None:
        audit.not_proved.append("that no seal was removed at the end: the ledger's own copy of the last is not here")
    kept = last
    previous: asyncpg.Record | None = None
    async for row in rows(connection, _SEALS):
        audit.checked[Part.SEALS] += 1
        expected = (previous["number"] if previous else 0) + 1
        if row["number"] != expected:
            audit.note(Part.SEALS, "seals", min(expected, row["number"]), f"is missing; seal {row['number']} follows")
            return
        what = _fault(row, previous, desk, keys)
        if not what and kept is not None and row["number"] == kept.number:
            same = row["signature"].hex() == kept.signature
            what, kept = "" if same else "is not the one that the ledger has kept outside the database", None
        if what:
            audit.note(Part.SEALS, "seals", row["number"], what)
            return
        audit.sealed, audit.sealed_us, previous = row["archived_sequence"], row["at_us"], row
    if kept is not None:
        audit.note(Part.SEALS, "seals", kept.number, "is missing: the ledger has kept it outside the database")
    if previous is None and audit.archived:
        audit.note(Part.SEALS, "seals", "", f"{audit.archived} records are archived, and no seal is there")


def _fault(row: asyncpg.Record, previous: asyncpg.Record | None, desk: str, keys: dict[str, VerifyKey]) -> str:
    """Say what is wrong with a seal, or nothing."""
    if previous and (row["archived_sequence"] <= previous["archived_sequence"] or row["entry"] < previous["entry"]):
        return f"goes back behind seal {previous['number']}"
    key = keys.get(row["key_id"])
    if key is None:
        return f"is signed with key {row['key_id']}, which is none of the public keys"
    names = ("number", "archived_sequence", "archive_hash", "entry", "entry_hash", "at_us", "key_id")
    seal = Seal(desk=desk, **{name: row[name] for name in names})
    try:
        key.verify(seal.signed_bytes(), row["signature"])
    except (BadSignatureError, ValueError):
        return "the signature is not of what the row says"
    if row["archived"] != seal.archive_hash:
        return f"the archive up to {seal.archived_sequence} is not the one that was sealed: records were rewritten"
    if (row["booked"] if seal.entry else _NOTHING_BOOKED) != seal.entry_hash:
        return f"the journal up to entry {seal.entry} is not the one that was sealed: entries were rewritten"
    return ""
