"""Books beside the venue's statement."""

import asyncio
import json
from decimal import Decimal

import pytest
from audited_books import Bookkeeper, money
from synthetic_tape import SYMBOLS, SyntheticDesk
from typer.testing import CliRunner

from tollgate_contracts.reconciliation import MovementType
from tollgate_ledger.core import Parameters
from tollgate_research.audit.commands import audit as audit_commands
from tollgate_research.audit.venue import STATEMENT_WITHIN_S, NoStatement, Outcome, Verdict, compare
from tollgate_research.books import opened


def desk_with_statements(*cash: str) -> SyntheticDesk:
    """Return a desk whose venue has stated its cash so often, five seconds apart."""
    desk = SyntheticDesk()
    parameters = Parameters(quote_currency="USDT", symbols=SYMBOLS, dust={"USDT": Decimal("0.5")})
    desk.config("ledger", parameters.model_dump(mode="json"))
    desk.policy()
    for amount in cash:
        desk.wait(5_000)
        desk.account(amount)
    return desk


def deposit(desk: SyntheticDesk, moved_ms: int) -> None:
    """Let a deposit be booked that moved at the venue so long after now."""
    desk.now_us += moved_ms * 1_000
    money(desk, MovementType.DEPOSIT, "100", "in-1")
    desk.now_us -= moved_ms * 1_000


async def compared(database, desk, tmp_path):
    await Bookkeeper(database.dsn("tollgate_ledger"), tmp_path).keep(desk.records)
    async with opened(database.dsn("tollgate_reader")) as connection:
        return await compare(connection)


def stated(cash: str) -> SyntheticDesk:
    return desk_with_statements("1000", cash)


def deposit_before_the_statement_that_moved_at_it(cash: str) -> SyntheticDesk:
    desk = desk_with_statements("1000")
    desk.wait(5_000)
    deposit(desk, 0)
    desk.account(cash)
    return desk


def deposit_behind_the_statement_that_moved(milliseconds: int, cash: str) -> SyntheticDesk:
    desk = desk_with_statements("1000", cash)
    deposit(desk, milliseconds)
    return desk


CASES = [
    ("the same to the last digit", stated("1000"), Verdict.AGREES, Outcome.AGREES),
    ("no more than the dust that is allowed", stated("1000.5"), Verdict.DUST, Outcome.AGREES),
    ("more than dust", stated("1000.6"), Verdict.DIFFERS, Outcome.DIFFERS),
    (
        "booked before the statement, and moved when it was made",
        deposit_before_the_statement_that_moved_at_it("1000"),
        Verdict.MOVING,
        Outcome.NOT_JUDGED,
    ),
    (
        "booked behind the statement, and moved before it",
        deposit_behind_the_statement_that_moved(-1_000, "1100"),
        Verdict.MOVING,
        Outcome.NOT_JUDGED,
    ),
    (
        "booked behind the statement and moved behind it: explains nothing of it",
        deposit_behind_the_statement_that_moved(1_000, "1100"),
        Verdict.DIFFERS,
        Outcome.DIFFERS,
    ),
]


@pytest.mark.parametrize(("desk", "verdict", "outcome"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_the_newest_statement_is_judged(database, tmp_path, desk, verdict, outcome):
    comparison = await compared(database, desk, tmp_path)
    assert [(line.currency, line.verdict) for line in comparison.lines] == [("USDT", verdict)]
    assert comparison.outcome is outcome


async def test_an_old_statement_says_nothing_of_now(database, tmp_path):
    desk = desk_with_statements("1000", "1000")
    desk.wait((STATEMENT_WITHIN_S + 1) * 1_000)
    comparison = await compared(database, desk, tmp_path)
    assert (comparison.lines[0].verdict, comparison.outcome) == (Verdict.AGREES, Outcome.NOT_JUDGED)
    assert round(comparison.behind_us / 1_000_000) == STATEMENT_WITHIN_S + 1


async def test_a_drift_that_the_ledger_has_said_does_not_agree_until_it_has_ended(database, tmp_path):
    comparison = await compared(database, desk_with_statements("1000", "990", "990", "990"), tmp_path)
    assert (comparison.lines[0].drifting, comparison.outcome) == (True, Outcome.DIFFERS)
    assert comparison.lines[0].difference == Decimal(-10)


async def test_a_drift_that_has_ended_agrees(database, tmp_path):
    comparison = await compared(database, desk_with_statements("1000", "990", "990", "990", "1000"), tmp_path)
    assert (comparison.lines[0].drifting, comparison.outcome) == (False, Outcome.AGREES)


async def test_before_the_first_statement_there_is_nothing_to_compare(database):
    async with opened(database.dsn("tollgate_reader")) as connection:
        with pytest.raises(NoStatement):
            await compare(connection)


async def test_a_statement_without_a_policy_has_no_books_to_compare_it_with(database, tmp_path):
    desk = SyntheticDesk()
    desk.config("ledger", Parameters(quote_currency="USDT", symbols=SYMBOLS).model_dump(mode="json"))
    desk.account("1000")
    with pytest.raises(NoStatement, match="the books are not open yet"):
        await compared(database, desk, tmp_path)


async def test_books_that_were_opened_with_nothing_are_compared(database, tmp_path):
    assert (await compared(database, desk_with_statements("0"), tmp_path)).outcome is Outcome.AGREES


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


async def test_the_command_says_so_when_it_cannot_judge(database, tmp_path):
    (tmp_path / "dsn").write_text(database.dsn("tollgate_reader"))
    desk = deposit_before_the_statement_that_moved_at_it("1000")
    await Bookkeeper(database.dsn("tollgate_ledger"), tmp_path).keep(desk.records)
    given = ["venue", "--dsn-file", str(tmp_path / "dsn")]
    said = await asyncio.to_thread(CliRunner().invoke, audit_commands, given)
    assert said.exit_code == 3
    assert "Nothing differs that can be judged now." in said.output
