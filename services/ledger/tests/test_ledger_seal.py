"""What a seal says, that only the ledger's key makes it, and where its copy lies."""

import json
from dataclasses import replace

import asyncpg
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tollgate_chassis.tape import MemoryTape
from tollgate_ledger.chain import GENESIS
from tollgate_ledger.seal import SEAL_DOMAIN, Seal
from tollgate_ledger.sealing import LAST_SEAL_FILE, Sealer

SEAL = Seal("main", 1, 40, b"\x01" * 32, 3, b"\x02" * 32, 1_700_000_000_000_000, "0" * 16)
CHANGED = {
    "desk": "other",
    "number": 2,
    "archived_sequence": 41,
    "archive_hash": b"\x03" * 32,
    "entry": 4,
    "entry_hash": b"\x03" * 32,
    "at_us": 1,
    "key_id": "1" * 16,
}


@pytest.mark.parametrize("field", CHANGED)
def test_every_field_is_under_the_signature(tmp_path, field):
    sealer = Sealer(bytes(range(32)), tmp_path)
    signature = sealer.sign(SEAL)
    key = VerifyKey(bytes.fromhex(sealer.public_key))
    key.verify(SEAL.signed_bytes(), signature)
    with pytest.raises(BadSignatureError):
        key.verify(replace(SEAL, **{field: CHANGED[field]}).signed_bytes(), signature)


def test_it_stands_behind_a_tag_of_its_own():
    """A signature over a seal can never stand for anything else."""
    assert SEAL.signed_bytes().startswith(SEAL_DOMAIN)


def test_the_newest_is_kept_where_no_database_reaches(tmp_path):
    sealer = Sealer(bytes(range(32)), tmp_path)
    for seal in (SEAL, replace(SEAL, number=2)):
        sealer.keep(seal, sealer.sign(seal))
    kept = json.loads((tmp_path / LAST_SEAL_FILE).read_text())
    assert kept == {**replace(SEAL, number=2).fields(), "signature": sealer.sign(replace(SEAL, number=2)).hex()}


async def test_books_are_sealed_with_what_is_committed_and_once(ledger, speak, put, tmp_path, superuser):
    tape = MemoryTape()
    put(tape, speak.config(), speak.account(USDT="1000"))
    process = await ledger(tape).start()
    await process.settle()
    sealer = Sealer(bytes(range(32)), tmp_path)
    for at_us in (5, 6):
        await process.store.seal(sealer, at_us)
    rows = await superuser.fetch("SELECT * FROM ledger.seals")
    assert [(row["number"], row["at_us"]) for row in rows] == [(1, 5)]
    place = await superuser.fetchrow("SELECT * FROM ledger.checkpoint")
    row = rows[0]
    assert (row["archived_sequence"], row["archive_hash"]) == (place["archived_sequence"], place["chain_hash"])
    assert (row["entry"], row["entry_hash"]) == (place["entry"], place["entry_hash"])
    assert row["entry_hash"] != GENESIS
    fields = {name: value for name, value in row.items() if name != "signature"}
    assert row["signature"] == sealer.sign(Seal(desk="main", **fields))


REFUSED = [
    ("a gap in the numbers", {"number": 3}, "does not follow"),
    ("the same place again", {"archived_sequence": 0}, "does not follow"),
    ("another archive", {"archive_hash": b"\x07" * 32}, "is not of what is archived"),
    ("another journal", {"entry_hash": b"\x07" * 32}, "is not of what is archived"),
]


@pytest.mark.parametrize(("changes", "words"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_the_database_takes_no_seal_that_is_not_of_these_books(
    ledger, speak, put, tmp_path, database, changes, words
):
    tape = MemoryTape()
    put(tape, speak.config(), speak.account(USDT="1000"))
    process = await ledger(tape).start()
    await process.settle()
    service = await database.connect()
    place = await service.fetchrow("SELECT * FROM ledger.checkpoint")
    seal = {
        "number": 1,
        "archived_sequence": place["archived_sequence"],
        "archive_hash": place["chain_hash"],
        "entry": place["entry"],
        "entry_hash": place["entry_hash"],
        "at_us": 1,
        "key_id": "0" * 16,
        "signature": bytes(64),
        **changes,
    }
    insert = "INSERT INTO ledger.seals VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=words):
        await service.execute(insert, *seal.values())
    for statement in ("UPDATE ledger.seals SET at_us = 2", "DELETE FROM ledger.seals", "TRUNCATE ledger.seals"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute(statement)
    await service.close()
