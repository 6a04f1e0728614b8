"""The proofs: books that hold, and each way in which they do not, tried on a real database as its superuser."""

import asyncio
import json

import pytest
from audited_books import Bookkeeper, audited_tape, memory_tape, signed
from ledger_catalog import VERSIONS, catalog_of, written
from tampering import DISARMED, FORGET, evidence, public_keys, rewrite_the_archive, try_all
from typer.testing import CliRunner

from tollgate_chassis.tape import TapeUnavailable
from tollgate_chassis.tape.records import Bounds
from tollgate_ledger.seal import Seal
from tollgate_research.audit import reading
from tollgate_research.audit.commands import audit as audit_commands
from tollgate_research.audit.findings import Part
from tollgate_research.audit.schema import EXPECTED_FILE
from tollgate_research.audit.seals import read_last_seal
from tollgate_research.audit.verify import verify, verify_view
from tollgate_research.books import NoBooks

TAPE = audited_tape()
# Some for each run of the tests; `make tampering` tries a thousand.
TAMPERINGS = 40


# Audits that keep a view of the database open.
HELD = """
SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tollgate research' AND datname = current_database()
    AND (backend_xmin IS NOT NULL OR xact_start IS NOT NULL)
"""
BREAK = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'tollgate research' AND datname = current_database()
"""


@pytest.fixture
async def books(database, tmp_path):
    """Books of a tape on which everything happened."""
    bookkeeper = Bookkeeper(database.dsn("tollgate_ledger"), tmp_path)
    await bookkeeper.keep(TAPE)
    return database


@pytest.fixture
def last_seal(tmp_path):
    return tmp_path / "last-seal.json"


async def audited(books, last_seal=None, tape=""):
    """Audit with the rights of who may only read."""
    return await verify(books.dsn("tollgate_reader"), evidence(last_seal and read_last_seal(last_seal), tape))


async def test_books_that_nobody_touched_hold_in_every_part(books, last_seal):
    audit = await audited(books, last_seal, memory_tape(TAPE))
    assert audit.found == {}
    assert audit.not_proved == []
    assert (audit.desk, audit.archived) == ("main", len(TAPE))
    assert all(audit.checked[part] > 0 for part in Part), audit.checked
    assert audit.sealed == len(TAPE)


async def test_empty_books_hold(database, last_seal):
    """There is no seal yet, and nothing to seal."""
    audit = await audited(database, last_seal)
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
    ("DELETE FROM ledger.seals", Part.SEALS, "are under none"),
    (
        "UPDATE ledger.postings SET amount = 'Infinity' WHERE (entry_id, line) = (3, 2)",
        Part.SUMS,
        "entries 3: its line 2 is of Infinity, which no posting can hold",
    ),
    (
        "UPDATE ledger.postings SET amount = amount + 1e-120 WHERE (entry_id, line) = (3, 2)",
        Part.SUMS,
        "entries 3: its line 2 is of",
    ),
    (
        "UPDATE ledger.postings SET amount = NULL WHERE (entry_id, line) = (3, 2)",
        Part.SUMS,
        "entries 3: its line 2 is of None",
    ),
    (
        "UPDATE ledger.entries SET kind = 'other' WHERE kind = 'opening'",
        Part.JOURNAL,
        "entries 1: is no entry any more",
    ),
    (FORGET, Part.CHECKPOINT, f"has no state, and {len(TAPE)} records are archived"),
]


@pytest.mark.parametrize(("statement", "part", "words"), TAMPERED, ids=[case[0][:60] for case in TAMPERED])
async def test_what_a_superuser_changes_is_found_and_named(books, superuser, statement, part, words):
    await superuser.execute("SET session_replication_role = replica")
    for rule in ("postings DROP CONSTRAINT amount_is_exact", "postings ALTER COLUMN amount DROP NOT NULL"):
        await superuser.execute(f"ALTER TABLE ledger.{rule}")
    await superuser.execute("ALTER TABLE ledger.entries DROP CONSTRAINT entries_kind_check")
    await superuser.execute(statement)
    audit = await audited(books)
    assert words in str(audit.found[part])


async def test_a_last_seal_that_is_gone_is_missed(books, superuser, last_seal):
    """The database put back to an earlier time, consistent in itself: only what lies outside it can tell."""
    await superuser.execute("SET session_replication_role = replica")
    newest = await superuser.fetchval(
        "DELETE FROM ledger.seals WHERE number IN (SELECT max(number) FROM ledger.seals) RETURNING number"
    )
    audit = await audited(books, last_seal)
    assert str(audit.found[Part.SEALS]) == f"seals {newest}: is missing: the ledger has kept it outside the database"
    audit = await audited(books)
    assert "are under none" in str(audit.found[Part.SEALS])
    assert "the ledger's own copy of the last is not here" in audit.not_proved[0]


async def test_a_tail_that_was_rewritten_chain_and_all_breaks_the_seals(books, superuser):
    await rewrite_the_archive(superuser, len(TAPE) - 1)
    audit = await audited(books)
    assert set(audit.found) == {Part.SEALS}
    assert f"the archive up to {len(TAPE)} is not the one that was sealed" in str(audit.found[Part.SEALS])


async def test_a_tail_that_was_rewritten_chain_and_all_is_not_what_lies_on_the_tape(books, superuser):
    """Also behind the last seal: no key is needed to see it."""
    await rewrite_the_archive(superuser, len(TAPE) - 1)
    audit = await audited(books, tape=memory_tape(TAPE))
    assert f"archive {len(TAPE) - 1}: message_id is" in str(audit.found[Part.TAPE])


async def test_an_archive_that_reaches_beyond_the_tape_is_found(books, last_seal):
    audit = await audited(books, last_seal, memory_tape(TAPE[:100]))
    assert str(audit.found[Part.TAPE]) == "archive 101: and what follows is not on the tape, which ends at 100"
    assert audit.checked[Part.TAPE] == 100


class HeadlessTape:
    """A tape that has lost its first records, and fails at one of the others."""

    def __init__(self, first: int, breaks_at: int) -> None:
        self._tape = memory_tape(TAPE)
        self._first = first
        self._breaks_at = breaks_at

    async def bounds(self):
        return Bounds(self._first, len(TAPE))

    async def read(self, start, limit):
        if start + limit > self._breaks_at:
            limit = max(1, self._breaks_at - start)
        if start == self._breaks_at:
            raise TapeUnavailable("the broker is gone")
        return await self._tape.read(start, limit)


async def test_what_the_tape_does_not_show_is_not_proved(books, last_seal):
    audit = await audited(books, last_seal, HeadlessTape(11, len(TAPE) + 1))
    assert (audit.found, audit.checked[Part.TAPE]) == ({}, len(TAPE) - 10)
    assert audit.not_proved == ["that records up to 10 are those of the tape: it holds them no more"]
    audit = await audited(books, last_seal, HeadlessTape(1, 51))
    assert (audit.found, audit.checked[Part.TAPE]) == ({}, 50)
    assert audit.not_proved == ["that records from 51 on are those of the tape: the broker is gone"]


@pytest.mark.parametrize(("statement", "kind", "name"), DISARMED, ids=[case[0][:70] for case in DISARMED])
async def test_a_database_that_would_refuse_no_more_is_found(books, superuser, last_seal, statement, kind, name):
    """Nothing in it was changed yet; a right of a role is taken back, since all databases of the server share it."""
    transaction = superuser.transaction()
    await transaction.start()
    try:
        await superuser.execute(statement)
        audit = await verify_view(superuser, evidence(read_last_seal(last_seal)))
    finally:
        await transaction.rollback()
    assert set(audit.found) == {Part.SCHEMA}
    assert str(audit.found[Part.SCHEMA]).startswith(f"{kind} {name}")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_catalog_that_is_expected_is_what_the_ledgers_file_makes(version):
    """On the server that the platform runs on, and on the oldest at hand; `make contracts` writes it anew."""
    assert written(catalog_of(version)) == EXPECTED_FILE.read_text()


async def test_books_that_go_on_growing_hold_and_are_not_held_up(database, superuser, last_seal, tmp_path, monkeypatch):
    """Read in small pages; between any two nothing is held open, and the ledger commits."""
    monkeypatch.setattr(reading, "ROWS", 7)
    bookkeeper = Bookkeeper(database.dsn("tollgate_ledger"), tmp_path)
    await bookkeeper.keep(TAPE[:60])
    held = []

    class GrowingTape:
        async def bounds(self):
            return Bounds(1, len(TAPE))

        async def read(self, start, limit):
            held.append(await superuser.fetchval(HELD))
            if start == 1:
                await bookkeeper.keep(TAPE[60:])
            return TAPE[start - 1 : start + 9]

    audit = await audited(database, last_seal, GrowingTape())
    assert (audit.found, audit.not_proved) == ({}, [])
    assert (audit.archived, audit.checked[Part.TAPE]) == (60, 60)
    assert held == [0] * 6
    assert (await audited(database, last_seal, memory_tape(TAPE))).archived == len(TAPE)


async def test_a_database_that_is_lost_on_the_way_is_no_finding(books, superuser, last_seal):
    class Breaking:
        async def bounds(self):
            await superuser.execute(BREAK)
            return Bounds(1, len(TAPE))

    with pytest.raises(NoBooks):
        await audited(books, last_seal, Breaking())


async def test_a_seal_made_anew_with_another_key_is_refused(books, superuser):
    last = await superuser.fetchrow("SELECT * FROM ledger.seals ORDER BY number DESC LIMIT 1")
    fields = {name: value for name, value in last.items() if name != "signature"}
    assert last["signature"] == signed(Seal(desk="main", **fields))
    await superuser.execute("UPDATE ledger.seals SET signature = $1 WHERE number = $2", bytes(64), last["number"])
    audit = await audited(books)
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
        "--without-tape",
    ]
    code, said = await run("verify", "--json", *given)
    assert (code, json.loads(said)["not_proved"]) == (0, [])
    code, said = await run("verify", *given[:-3], "--last-seal", str(tmp_path / "none"))
    assert code == 3
    assert "not everything is proved" in said
    assert "the ledger's own copy of the last is not here" in " ".join(said.split())
    assert "the tape of the database that was named is not known" in " ".join(said.split())
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
