"""The ledger's seals: signed by a key that is not in the database, of the chains that are in it."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import asyncpg
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tollgate_ledger.seal import SEAL_INTERVAL_S, Seal, key_id_of
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.audit.reading import SEALS, Moment
from tollgate_research.books import Connection

# Seals are minutes apart (`SEAL_INTERVAL_S`); a tail that is older by far has been left unsealed.
SEALED_WITHIN_S = 12 * SEAL_INTERVAL_S
_NOTHING_BOOKED = bytes(32)
_S_US = 1_000_000


class NoKeys(Exception):
    """What verifies the seals, and lies outside the database, cannot be read: public keys, or the last seal's copy."""


def read_public_keys(path: Path) -> dict[str, VerifyKey]:
    """Return the public keys by key id, one in hexadecimal on each line; raises ``NoKeys``."""
    try:
        keys = [bytes.fromhex(line) for line in path.read_text().split()]
        found = {key_id_of(key): VerifyKey(key) for key in keys}
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
    connection: Connection,
    moment: Moment,
    audit: Audit,
    keys: dict[str, VerifyKey],
    last: LastSeal | None,
    sealed_within_s: int,
) -> None:
    """Verify every seal, that the newest that was kept outside the database is among them, and that it is not old."""
    previous, kept = None, last
    async for row in moment.rows(connection, SEALS):
        audit.checked[Part.SEALS] += 1
        expected = (previous["number"] if previous else 0) + 1
        if row["number"] != expected:
            audit.note(Part.SEALS, "seals", min(expected, row["number"]), f"is missing; seal {row['number']} follows")
            return
        what = _fault(row, previous, audit.desk, keys)
        if not what and kept is not None and row["number"] == kept.number:
            same = row["signature"].hex() == kept.signature
            what, kept = "" if same else "is not the one that the ledger has kept outside the database", None
        if what:
            audit.note(Part.SEALS, "seals", row["number"], what)
            return
        audit.sealed, audit.sealed_us, previous = row["archived_sequence"], row["at_us"], row
    if kept is not None:
        audit.note(Part.SEALS, "seals", kept.number, "is missing: the ledger has kept it outside the database")
    elif audit.archived:
        _check_tail(audit, last, sealed_within_s)


def _check_tail(audit: Audit, last: LastSeal | None, sealed_within_s: int) -> None:
    """Look at what lies behind the last seal."""
    if last is None:
        audit.not_proved.append("that no seal was removed at the end: the ledger's own copy of the last is not here")
    unsealed_us = audit.newest_us - (audit.sealed_us or audit.first_us)
    if audit.sealed < audit.archived and unsealed_us > sealed_within_s * _S_US:
        what = f"records {audit.sealed + 1} to {audit.archived} are under none, for {unsealed_us / _S_US:,.0f} s"
        audit.note(Part.SEALS, "seals", "", what)
    elif not audit.sealed:
        audit.not_proved.append("that no tail was rewritten: there is no seal yet")


def _fault(row: asyncpg.Record, previous: asyncpg.Record | None, desk: str, keys: dict[str, VerifyKey]) -> str:
    """Say what is wrong with a seal, or nothing."""
    if previous and (row["archived_sequence"] <= previous["archived_sequence"] or row["entry"] < previous["entry"]):
        return f"goes back behind seal {previous['number']}"
    key = keys.get(row["key_id"])
    if key is None:
        return f"is signed with key {row['key_id']}, which is none of the public keys"
    seal = Seal(desk=desk, **{each.name: row[each.name] for each in fields(Seal) if each.name != "desk"})
    try:
        key.verify(seal.signed_bytes(), row["signature"])
    except (BadSignatureError, ValueError, TypeError, AttributeError):
        return "the signature is not of what the row says"
    if row["archived"] != seal.archive_hash:
        return f"the archive up to {seal.archived_sequence} is not the one that was sealed: records were rewritten"
    if (row["booked"] if seal.entry else _NOTHING_BOOKED) != seal.entry_hash:
        return f"the journal up to entry {seal.entry} is not the one that was sealed: entries were rewritten"
    return ""
