"""What a seal says, that only the ledger's key makes it, and where its copy lies."""

import json
from dataclasses import replace

import asyncpg
import pytest
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from tollgate_chassis.exits import Halt
from tollgate_chassis.tape import MemoryTape
from tollgate_ledger.chain import GENESIS
from tollgate_ledger.seal import SEAL_DOMAIN, Seal
from tollgate_ledger.sealing import LAST_SEAL_FILE, KeptSeal, Sealer
from tollgate_ledger.store import BooksContradicted

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


def test_the_newest_is_not_written_over_by_an_older_one(tmp_path):
    """Nor by another of the same number; the same again is what a call that was cut off does."""
    sealer = Sealer(bytes(range(32)), tmp_path)
    assert sealer.kept() is None
    newest = replace(SEAL, number=3)
    for _ in range(2):
        sealer.keep(newest, sealer.sign(newest))
    for other in (SEAL, replace(SEAL, number=3, at_us=9)):
        with pytest.raises(Halt, match=f"seal {other.number} was made, and .* is of seal 3"):
            sealer.keep(other, sealer.sign(other))
    assert sealer.kept() == (newest, sealer.sign(newest))


@pytest.mark.parametrize("content", ["", "{", "5", "{}", '{"number": 1}'])
def test_a_last_seal_that_cannot_be_read_is_not_taken_for_none(tmp_path, content):
    (tmp_path / LAST_SEAL_FILE).write_text(content)
    with pytest.raises(Halt, match=r"last-seal\.json, cannot be read"):
        Sealer(bytes(range(32)), tmp_path).kept()


async def test_books_are_sealed_with_what_is_committed_and_once(ledger, speak, put, tmp_path, superuser):
    tape = MemoryTape()
    put(tape, speak.config(), speak.policy(), speak.account(USDT="1000"))
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
    put(tape, speak.config(), speak.policy(), speak.account(USDT="1000"))
    process = await ledger(tape).start()
    await process.settle()
    service = await database.connect("tollgate_ledger")
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


SEALED = ("archive", "entries", "postings", "trade_costs", "trips", "equity", "days", "seals", "checkpoint")
BACK_TO = "".join(f"DELETE FROM ledger.{table}; INSERT INTO ledger.{table} TABLE was.{table}; " for table in SEALED)  # noqa: S608 - our own words

EMPTIED = (
    "".join(f"DELETE FROM ledger.{table}; " for table in SEALED if table != "checkpoint")  # noqa: S608 - as above
    + "UPDATE ledger.checkpoint SET desk = NULL, archived_sequence = 0, entry = 0, state_sequence = 0, state = NULL,"
    " state_message_id = NULL, chain_hash = decode(repeat('00', 32), 'hex'),"
    " entry_hash = decode(repeat('00', 32), 'hex')"
)


async def remember_all(superuser):
    """Copy all books as they are, so that they can be put back."""
    copies = "".join(f"CREATE TABLE was.{table} AS TABLE ledger.{table}; " for table in SEALED)
    await superuser.execute(f"CREATE SCHEMA was; {copies}")


async def rewrite(superuser, statements):
    """Do what no rule of the database hinders."""
    await superuser.execute(f"SET session_replication_role = replica; {statements}; RESET session_replication_role")


@pytest.fixture
def sealer(tmp_path):
    return Sealer(bytes(range(32)), tmp_path)


@pytest.fixture
async def sealed(ledger, speak, put, tmp_path, sealer):
    """A ledger whose books are sealed, and that seals them no more by itself."""
    tape = MemoryTape()
    put(tape, speak.config(), speak.policy(), speak.account(USDT="1000"))
    process = await ledger(tape).start()
    await process.settle()
    await process.store.seal(sealer, 5)
    yield process
    await process.crash()


async def seals(connection):
    return [row["number"] for row in await connection.fetch("SELECT number FROM ledger.seals ORDER BY number")]


async def test_books_that_were_put_back_to_an_earlier_time_are_not_gone_on_with(
    ledger, sealed, speak, put, superuser, sealer
):
    await remember_all(superuser)
    put(sealed.tape, speak.movement("5"))
    await sealed.settle()
    await sealed.store.seal(sealer, 6)
    await sealed.crash()
    kept = sealer.kept()
    await rewrite(superuser, BACK_TO)
    process = ledger(sealed.tape, sealer=sealer)
    with pytest.raises(BooksContradicted, match=f"seal {kept.seal.number} .*, and the database has no such seal"):
        await process.start()
    assert (sealer.kept(), await seals(superuser)) == (kept, [1])


@pytest.mark.parametrize(
    ("puts_seals_back", "words"), [(False, "the database has no such seal"), (True, "the archive is another up to")]
)
async def test_books_that_were_made_anew_from_another_tape_are_not_signed(
    ledger, sealed, speak, put, superuser, sealer, tmp_path, puts_seals_back, words
):
    """Chains, sums and state agree with each other, for the ledger itself has made them; but not with the seal."""
    await sealed.crash()
    await remember_all(superuser)
    kept = sealer.kept()
    await rewrite(superuser, EMPTIED)
    other = MemoryTape()
    put(other, speak.config(), speak.policy(), speak.account(USDT="9000"))
    (tmp_path / "elsewhere").mkdir()
    forger = await ledger(other, tmp_path / "elsewhere").start()
    await forger.settle()
    await forger.stop()
    if puts_seals_back:
        await rewrite(superuser, "INSERT INTO ledger.seals TABLE was.seals")
    process = ledger(other, sealer=sealer)
    with pytest.raises(BooksContradicted, match=words):
        await process.start()
    assert sealer.kept() == kept


async def test_books_that_are_rewritten_while_the_ledger_runs_are_not_signed(sealed, speak, put, superuser, sealer):
    kept = sealer.kept()
    put(sealed.tape, speak.movement("5"))
    await sealed.settle()
    await rewrite(superuser, "DELETE FROM ledger.seals")
    with pytest.raises(BooksContradicted, match="the database has no such seal"):
        await sealed.store.seal(sealer, 6)
    assert (sealer.kept(), await seals(superuser)) == (kept, [])


OTHER_THAN_KEPT = [
    ({"number": 2}, "the database has no such seal"),
    ({"at_us": 9}, "the database has another one"),
]


@pytest.mark.parametrize(("changes", "words"), OTHER_THAN_KEPT)
async def test_the_seal_that_was_kept_is_the_one_of_the_database(sealed, sealer, changes, words):
    seal = replace(sealer.kept().seal, **changes)
    with pytest.raises(BooksContradicted, match=words):
        await sealed.store.check_kept(KeptSeal(seal, sealer.sign(seal)))


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE ledger.archive SET chain_hash = sha256('x')", "the archive is another up to"),
        ("DELETE FROM ledger.archive", "the archive is another up to"),
        ("UPDATE ledger.entries SET chain_hash = sha256('x')", "the journal is another up to entry 1"),
        ("DELETE FROM ledger.entries", "the journal is another up to entry 1"),
    ],
)
async def test_both_chains_are_as_the_kept_seal_says(sealed, sealer, superuser, statement, words):
    await sealed.store.check_kept(sealer.kept())
    await rewrite(superuser, statement)
    with pytest.raises(BooksContradicted, match=words):
        await sealed.store.check_kept(sealer.kept())


async def test_a_seal_that_was_made_and_not_kept_is_followed_by_the_next(ledger, sealed, speak, put, sealer, superuser):
    """The process was killed between the two: what was kept is older, and in the database."""
    before = (sealer.kept(), await seals(superuser))
    put(sealed.tape, speak.movement("5"))
    await sealed.settle()
    await sealed.store.seal(_Forgetful(bytes(range(32)), sealer._directory), 6)
    await sealed.crash()
    assert (sealer.kept(), await seals(superuser)) == (before[0], [1, 2])
    put(sealed.tape, speak.movement("6", movement_id="2"))
    process = await ledger(sealed.tape, sealer=sealer).start()
    # Ended before, it may have made one more and not kept it.
    await process.until(lambda: sealer.kept().seal.number > 2)
    await process.stop()
    assert (await seals(superuser))[:3] == [1, 2, 3]


class _Forgetful(Sealer):
    """A sealer whose process dies before the seal is kept."""

    def keep(self, seal, signature):
        pass
