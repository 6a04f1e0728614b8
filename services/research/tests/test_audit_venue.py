"""Books beside the venue's statement, and the books made again in a database of their own."""

import asyncio
import json
from decimal import Decimal

import pytest
from audited_books import Bookkeeper, audited_tape, money
from synthetic_tape import SYMBOLS, SyntheticDesk
from typer.testing import CliRunner

from tollgate_contracts.reconciliation import MovementType
from tollgate_ledger.core import Parameters
from tollgate_research.audit.commands import audit as audit_commands
from tollgate_research.audit.reading import opened
from tollgate_research.audit.rebuild import Administrator, rebuild
from tollgate_research.audit.venue import NoStatement, Verdict, compare


def desk_with_statements(*cash: str, moved: bool = False) -> SyntheticDesk:
    """Return a desk whose venue has stated its cash so often, five seconds apart; money came before the last."""
    desk = SyntheticDesk()
    parameters = Parameters(quote_currency="USDT", symbols=SYMBOLS, dust={"USDT": Decimal("0.5")})
    desk.config("ledger", parameters.model_dump(mode="json"))
    for number, amount in enumerate(cash, start=1):
        desk.wait(5_000)
        if moved and number == len(cash):
            money(desk, MovementType.DEPOSIT, "100", "in-1")
        desk.account(amount)
    return desk


async def compared(database, desk, tmp_path):
    await Bookkeeper(database.dsn("tollgate_ledger"), tmp_path).keep(desk.records)
    async with opened(database.dsn("tollgate_reader")) as connection:
        return await compare(connection)


CASES = [
    ("the same to the last digit", ("1000", "1000"), False, Verdict.AGREES, True),
    ("no more than the dust that is allowed", ("1000", "1000.5"), False, Verdict.DUST, True),
    ("more than dust", ("1000", "1000.6"), False, Verdict.DIFFERS, False),
    ("money was booked at the moment of the statement", ("1000", "1000"), True, Verdict.MOVING, True),
]


@pytest.mark.parametrize(
    ("cash", "moved", "verdict", "agrees"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
async def test_the_newest_statement_is_judged(database, tmp_path, cash, moved, verdict, agrees):
    comparison = await compared(database, desk_with_statements(*cash, moved=moved), tmp_path)
    assert [(line.currency, line.verdict) for line in comparison.lines] == [("USDT", verdict)]
    assert comparison.agrees is agrees


async def test_a_drift_that_the_ledger_has_said_does_not_agree_until_it_has_ended(database, tmp_path):
    comparison = await compared(database, desk_with_statements("1000", "990", "990", "990"), tmp_path)
    assert (comparison.lines[0].drifting, comparison.agrees) == (True, False)
    assert comparison.lines[0].difference == Decimal(-10)


async def test_a_drift_that_has_ended_agrees(database, tmp_path):
    comparison = await compared(database, desk_with_statements("1000", "990", "990", "990", "1000"), tmp_path)
    assert (comparison.lines[0].drifting, comparison.agrees) == (False, True)


async def test_before_the_first_statement_there_is_nothing_to_compare(database):
    async with opened(database.dsn("tollgate_reader")) as connection:
        with pytest.raises(NoStatement):
            await compare(connection)


async def test_the_command_prints_the_comparison_and_ends_with_its_codes(database, tmp_path):
    (tmp_path / "dsn").write_text(database.dsn("tollgate_reader"))
    given = ["venue", "--dsn-file", str(tmp_path / "dsn")]
    assert (await asyncio.to_thread(CliRunner().invoke, audit_commands, given)).exit_code == 66
    desk = desk_with_statements("1000", "1000.6")
    await Bookkeeper(database.dsn("tollgate_ledger"), tmp_path).keep(desk.records)
    said = await asyncio.to_thread(CliRunner().invoke, audit_commands, [*given, "--json"])
    assert said.exit_code == 1
    assert json.loads(said.output)["currencies"]["USDT"]["difference"] == "0.6"
    said = await asyncio.to_thread(CliRunner().invoke, audit_commands, given)
    assert "Books and venue do not agree." in said.output


@pytest.fixture
async def books(database, tmp_path, pytestconfig):
    """Books of a tape on which everything happened, and who may make a database beside them."""
    await Bookkeeper(database.dsn("tollgate_ledger"), tmp_path).keep(audited_tape())
    schema = pytestconfig.rootpath / "deploy" / "postgres"
    dsn = database.dsn("postgres").replace(f"/{database.name}", "/postgres")
    return database, Administrator(dsn, schema)


async def test_books_that_are_made_again_from_the_archive_are_equal_to_the_last_digit(books):
    database, administrator = books
    rebuilt = await rebuild(database.dsn("tollgate_reader"), administrator, keep=False)
    assert rebuilt.differences == {}
    assert rebuilt.archived == len(audited_tape()) == rebuilt.rows["archive"]
    assert all(rebuilt.rows.values()), rebuilt.rows


async def test_a_row_that_the_archive_does_not_lead_to_is_named(books, superuser):
    database, administrator = books
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("UPDATE ledger.postings SET amount = amount + 1 WHERE (entry_id, line) = (3, 2)")
    await superuser.execute("DELETE FROM ledger.trips WHERE number = 2")
    rebuilt = await rebuild(database.dsn("tollgate_reader"), administrator, keep=False)
    assert set(rebuilt.differences) == {"postings", "trips"}
    assert rebuilt.differences["postings"].startswith("entry_id 3, line 2: amount is")
    assert "number 2" in rebuilt.differences["trips"]
