"""The proofs: books that hold, and each way in which they do not, tried on a real database as its superuser."""

import asyncio
import json

import pytest
from audited_books import BATCH, Bookkeeper, audited_tape, signed
from tampering import public_keys, try_all
from typer.testing import CliRunner

from tollgate_ledger.seal import Seal
from tollgate_research.audit.commands import audit as audit_commands
from tollgate_research.audit.findings import Part
from tollgate_research.audit.seals import read_last_seal
from tollgate_research.audit.verify import verify, verify_view

TAPE = audited_tape()
# Some for each run of the tests; `make tampering` tries a thousand.
TAMPERINGS = 40


@pytest.fixture
async def books(database, tmp_path):
    """Books of a tape on which everything happened."""
    bookkeeper = Bookkeeper(database.dsn("tollgate_ledger"), tmp_path)
    await bookkeeper.keep(TAPE)
    return database


@pytest.fixture
def last_seal(tmp_path):
    return tmp_path / "last-seal.json"


async def audited(connection, last_seal=None):
    async with connection.transaction():
        return await verify_view(connection, public_keys(), last_seal and read_last_seal(last_seal))


async def test_books_that_nobody_touched_hold_in_every_part(books, last_seal):
    audit = await verify(books.dsn("tollgate_reader"), public_keys(), read_last_seal(last_seal))
    assert audit.found == {}
    assert audit.not_proved == []
    assert (audit.desk, audit.archived) == ("main", len(TAPE))
    assert all(audit.checked[part] > 0 for part in Part), audit.checked
    assert len(TAPE) - 3 * BATCH <= audit.sealed <= len(TAPE)


async def test_empty_books_hold(database, last_seal):
    """There is no seal yet, and nothing to seal."""
    audit = await verify(database.dsn("tollgate_reader"), public_keys(), read_last_seal(last_seal))
    assert audit.found == {}
    assert (audit.archived, audit.entries, audit.sealed) == (0, 0, 0)


TAMPERED = [
    (
        "UPDATE ledger.archive SET body = body || ' '::bytea WHERE tape_sequence = 7",
        Part.ARCHIVE,
        "archive 7: was changed",
    ),
    (
        "UPDATE ledger.archive SET subject = subject || 'x' WHERE tape_sequence = 7",
        Part.ARCHIVE,
        "archive 7: was changed",
    ),
    (
        "UPDATE ledger.archive SET stored_us = stored_us + 1 WHERE tape_sequence = 7",
        Part.ARCHIVE,
        "archive 7: was changed",
    ),
    ("UPDATE ledger.archive SET headers = '{}' WHERE tape_sequence = 7", Part.ARCHIVE, "archive 7: was changed"),
    ("UPDATE ledger.archive SET headers = '5' WHERE tape_sequence = 7", Part.ARCHIVE, "archive 7: was changed"),
    ("DELETE FROM ledger.archive WHERE tape_sequence = 7", Part.ARCHIVE, "archive 7: is missing"),
    (
        "DELETE FROM ledger.archive WHERE tape_sequence = (SELECT max(tape_sequence) FROM ledger.archive)",
        Part.ARCHIVE,
        f"archive {len(TAPE)}: is missing: the checkpoint has the hash of a later end",
    ),
    (
        "UPDATE ledger.entries SET cycle_id = cycle_id + 1 WHERE id = 3",
        Part.JOURNAL,
        "entries 3: or its postings were changed",
    ),
    ("UPDATE ledger.entries SET lines = lines + 1 WHERE id = 3", Part.JOURNAL, "entries 3: says that it has"),
    ("DELETE FROM ledger.entries WHERE id = 3", Part.JOURNAL, "postings 3/1: belongs to no entry"),
    (
        "UPDATE ledger.postings SET amount = amount + 1 WHERE (entry_id, line) = (3, 2)",
        Part.SUMS,
        "entries 3: its postings sum to",
    ),
    (
        "UPDATE ledger.postings SET amount = amount + 1 WHERE (entry_id, line) = (3, 2)",
        Part.BOOKS,
        "postings 3/2: amount is",
    ),
    (
        "UPDATE ledger.postings SET amount = 'NaN' WHERE (entry_id, line) = (3, 2)",
        Part.BOOKS,
        "postings 3/2: amount is NaN",
    ),
    ("UPDATE ledger.trade_costs SET fee = fee + 1", Part.READ_MODEL, "fee is"),
    ("DELETE FROM ledger.trips WHERE number = 1", Part.READ_MODEL, "trips 1: is missing"),
    ("UPDATE ledger.equity SET treasury = treasury + 1", Part.READ_MODEL, "treasury is"),
    ("DELETE FROM ledger.days", Part.READ_MODEL, "is missing"),
    ("UPDATE ledger.checkpoint SET archived_sequence = archived_sequence + 1", Part.CHECKPOINT, "archived_sequence is"),
    ("UPDATE ledger.checkpoint SET desk = 'other'", Part.CHECKPOINT, "desk is other, the archive's is main"),
    ("UPDATE ledger.checkpoint SET state = jsonb_set(state, '{cycle_id}', '99')", Part.CHECKPOINT, "cycle_id is 99"),
    ("DELETE FROM ledger.checkpoint", Part.CHECKPOINT, "no rows are there"),
    (
        "UPDATE ledger.seals SET at_us = at_us + 1 WHERE number = 1",
        Part.SEALS,
        "seals 1: the signature is not of what the row says",
    ),
    ("UPDATE ledger.seals SET key_id = repeat('0', 16) WHERE number = 1", Part.SEALS, "none of the public keys"),
    ("DELETE FROM ledger.seals", Part.SEALS, "no seal is there"),
]


@pytest.mark.parametrize(("statement", "part", "words"), TAMPERED, ids=[case[0][:60] for case in TAMPERED])
async def test_what_a_superuser_changes_is_found_and_named(books, superuser, statement, part, words):
    await superuser.execute("SET session_replication_role = replica")
    if "NaN" in statement:
        await superuser.execute("ALTER TABLE ledger.postings DROP CONSTRAINT amount_is_exact")
    await superuser.execute(statement)
    audit = await audited(superuser)
    assert words in str(audit.found[part])


async def test_a_last_seal_that_is_gone_is_missed(books, superuser, last_seal):
    """The database put back to an earlier time, consistent in itself: only what lies outside it can tell."""
    await superuser.execute("SET session_replication_role = replica")
    newest = await superuser.fetchval(
        "DELETE FROM ledger.seals WHERE number IN (SELECT max(number) FROM ledger.seals) RETURNING number"
    )
    audit = await audited(superuser, last_seal)
    assert str(audit.found[Part.SEALS]) == f"seals {newest}: is missing: the ledger has kept it outside the database"
    audit = await audited(superuser)
    assert Part.SEALS not in audit.found
    assert "the ledger's own copy of the last is not here" in audit.not_proved[0]


async def rewrite_the_tail(superuser, first):
    """Make the archive's chain anew from record ``first`` on, as one could who may write everything here."""
    await superuser.execute("SET session_replication_role = replica")
    changed = "UPDATE ledger.archive SET message_id = message_id || 'x' WHERE tape_sequence = $1"
    await superuser.execute(changed, first)
    chain = await superuser.fetchval("SELECT chain_hash FROM ledger.archive WHERE tape_sequence = $1", first - 1)
    for sequence in range(first, len(TAPE) + 1):
        chain = await superuser.fetchval(
            "UPDATE ledger.archive SET chain_hash = ledger.chain_hash($1, tape_sequence, subject, message_id, headers,"
            " stored_us, body) WHERE tape_sequence = $2 RETURNING chain_hash",
            chain,
            sequence,
        )
    await superuser.execute("UPDATE ledger.checkpoint SET chain_hash = $1", chain)


async def test_a_tail_that_was_rewritten_chain_and_all_breaks_the_seals(books, superuser):
    last = await superuser.fetchval("SELECT max(archived_sequence) FROM ledger.seals")
    await rewrite_the_tail(superuser, last - 5)
    audit = await audited(superuser)
    assert Part.ARCHIVE not in audit.found
    assert f"the archive up to {last} is not the one that was sealed" in str(audit.found[Part.SEALS])


async def test_a_seal_made_anew_with_another_key_is_refused(books, superuser):
    last = await superuser.fetchrow("SELECT * FROM ledger.seals ORDER BY number DESC LIMIT 1")
    fields = {name: value for name, value in last.items() if name != "signature"}
    assert last["signature"] == signed(Seal(desk="main", **fields))
    await superuser.execute("UPDATE ledger.seals SET signature = $1 WHERE number = $2", bytes(64), last["number"])
    audit = await audited(superuser)
    assert "the signature is not of what the row says" in str(audit.found[Part.SEALS])


async def test_tampering_at_random_is_always_found_and_the_row_named(books, superuser, last_seal):
    assert await try_all(superuser, read_last_seal(last_seal), TAMPERINGS, seed=20) == []


async def test_the_command_says_what_holds_and_ends_with_its_codes(books, superuser, last_seal, tmp_path):
    (tmp_path / "dsn").write_text(books.dsn("tollgate_reader"))
    keys = [bytes(key).hex() for key in public_keys().values()]
    (tmp_path / "keys").write_text("\n".join(keys))
    given = [
        "--dsn-file",
        str(tmp_path / "dsn"),
        "--public-keys",
        str(tmp_path / "keys"),
        "--last-seal",
        str(last_seal),
    ]
    code, said = await run("verify", "--json", *given)
    assert (code, json.loads(said)["holds"]) == (0, True)
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("UPDATE ledger.archive SET body = 'x' WHERE tape_sequence = 7")
    code, said = await run("verify", "--json", *given)
    finding = json.loads(said)["parts"]["archive"]["finding"]
    assert (code, finding["table"], finding["row"]) == (1, "archive", "7")
    code, said = await run("verify", *given)
    assert code == 1
    assert "archive 7: was changed" in " ".join(said.split())
    assert (await run("verify", *given[:2], "--public-keys", str(tmp_path / "none")))[0] == 66
    assert (await run("verify", "--dsn-file", str(tmp_path / "none"), *given[2:]))[0] == 69


async def run(*arguments: str) -> tuple[int, str]:
    """Run a command of ``tollgate audit``; in a thread, as it has an event loop of its own."""
    result = await asyncio.to_thread(CliRunner().invoke, audit_commands, list(arguments))
    return result.exit_code, result.output
