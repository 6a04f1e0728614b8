"""The report of books that the ledger itself has written from a tape: trips, a bust, a deposit, a charge, some days."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest
from audited_books import Bookkeeper, audited_tape

from tests.servers.postgres import Database
from tollgate_research.books import opened
from tollgate_research.report.lots import NoLots, write_lots
from tollgate_research.report.reading import read_report
from tollgate_research.report.span import DAY_US, Span, day_us
from tollgate_research.report.values import Report


@pytest.fixture
async def kept(database: Database, tmp_path: Path) -> Database:
    """Return a database with the books of a tape of ten round trips."""
    await Bookkeeper(database.dsn("tollgate_ledger"), tmp_path).keep(audited_tape(10))
    return database


async def report_of(database: Database, span: Span | None = None) -> Report:
    async with opened(database.dsn("tollgate_reader")) as connection:
        return await read_report(connection, span or Span())


async def test_what_came_in_is_no_result_and_what_was_charged_is_a_fee(kept: Database):
    report = await report_of(kept)
    change, parts = report.change, report.change.parts
    assert change.transfers == Decimal("250.25")
    assert parts.net == change.last.equity - change.first.equity - change.transfers
    assert parts.net == parts.edge - parts.slippage - parts.fees + parts.funding + parts.other
    assert parts.fees == change.last.fees - change.first.fees + Decimal("1.5")
    assert report.trips.count == 3
    # Nothing is open at the end, so what is no trip's is the charge alone.
    assert report.open_net == Decimal("-1.5")


async def test_days_that_the_ledger_closed_have_the_result_of_their_span(kept: Database):
    connection = await kept.connect("postgres")
    days = await connection.fetch("SELECT * FROM ledger.days ORDER BY day")
    await connection.close()
    assert len(days) > 2
    for day in days:
        report = await report_of(kept, Span(day_us(day["day"]), day_us(day["day"]) + DAY_US))
        for name in ("edge", "slippage", "fees", "funding", "other", "net"):
            assert getattr(report.change.parts, name) == day[name], (day["day"], name)
        assert report.change.transfers == day["transfers"]


async def test_every_fill_is_traded_once_and_the_bust_takes_one_out(kept: Database, tmp_path: Path):
    connection = await kept.connect("postgres")
    kinds = dict(await connection.fetch("SELECT kind, count(*) FROM ledger.entries GROUP BY kind"))
    await connection.close()
    report = await report_of(kept)
    assert kinds["bust"] == 1
    assert report.trading.fills == kinds["fill"] - 1


async def test_gains_by_lots_sum_to_what_was_realized_once_everything_is_sold(kept: Database, tmp_path: Path):
    report = await report_of(kept)
    async with opened(kept.dsn("tollgate_reader")) as connection:
        path = await write_lots(connection, report, tmp_path / "lots.csv")
    connection = await kept.connect("postgres")
    realized, cost = await connection.fetchrow(
        "SELECT realized, cost FROM ledger.equity ORDER BY tape_sequence DESC LIMIT 1"
    )
    await connection.close()
    with path.open() as file:
        sales = list(csv.DictReader(file))
    assert cost == 0
    assert sum(Decimal(sale["gain"]) for sale in sales) == realized
    assert {sale["what"] for sale in sales} >= {"sale", "bust"}
    for sale in sales:
        if sale["what"] == "sale":
            assert Decimal(sale["proceeds"]) - Decimal(sale["cost"]) == Decimal(sale["gain"])
            assert int(sale["bought_us"]) <= int(sale["sold_us"])


async def test_lots_of_a_span_are_of_its_sales_and_know_what_was_bought_before(kept: Database, tmp_path: Path):

    async def sold(span: Span) -> list[str]:
        report = await report_of(kept, span)
        async with opened(kept.dsn("tollgate_reader")) as connection:
            path = await write_lots(connection, report, tmp_path / "lots.csv")
        return path.read_text().splitlines()[1:]

    whole = await sold(Span())
    # The time of the last sale is the first that is no longer in the span before it.
    cut_us = int(whole[-1].split(",")[2])
    before, after = await sold(Span(0, cut_us)), await sold(Span(cut_us))
    assert before + after == whole
    assert before
    assert after


async def test_a_symbol_without_lots_is_named(kept: Database, tmp_path: Path):
    report = await report_of(kept)
    connection = await kept.connect("postgres")
    await connection.execute(
        "SET session_replication_role = replica;"
        "DELETE FROM ledger.entries WHERE id = (SELECT min(id) FROM ledger.entries WHERE kind = 'fill')"
    )
    await connection.close()
    async with opened(kept.dsn("tollgate_reader")) as connection:
        with pytest.raises(NoLots, match="USDT has no lots at record"):
            await write_lots(connection, report, tmp_path / "lots.csv")
