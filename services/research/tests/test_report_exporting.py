"""The files of a report: every digit of every row of the span, and nothing else."""

import csv
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from synthetic_books import COST_MODEL, DAY_US, START_US, SyntheticBooks

from tests.servers.postgres import Database
from tollgate_research.books import opened
from tollgate_research.report.exporting import TABLES, DoesNotFit, write_csv, write_parquet
from tollgate_research.report.reading import read_report
from tollgate_research.report.span import Span

SPAN = Span(START_US + DAY_US, START_US + 9 * DAY_US)


async def written(database: Database, folder: Path, write=write_parquet, span: Span = SPAN) -> list[Path]:
    async with opened(database.dsn("tollgate_reader")) as connection:
        return await write(connection, await read_report(connection, span), folder)


def of_span(books: SyntheticBooks, table: str) -> list[dict]:
    time = {"trips": "closed_us", "trade_costs": "ts_us", "equity": "ts_us"}.get(table)
    if time is None:
        return books.days[1:9]
    return [row for row in getattr(books, table) if SPAN.from_us <= row[time] < SPAN.until_us]


async def test_parquet_has_the_rows_of_the_span_exactly(database, superuser, tmp_path):
    books = SyntheticBooks().run(100)
    await books.store(superuser)
    await written(database, tmp_path)
    for name in ("trips", "trade_costs", "equity", "days"):
        content = parquet.read_table(tmp_path / f"{name}.parquet")
        assert content.to_pylist() == of_span(books, name), name
        assert content.num_rows > 5
        assert content.schema.field("fees" if name != "trade_costs" else "fee").type == pa.decimal128(38, 18)


async def test_csv_has_the_rows_of_the_span_exactly(database, superuser, tmp_path):
    books = SyntheticBooks().run(100)
    await books.store(superuser)
    await written(database, tmp_path, write_csv)
    with (tmp_path / "trips.csv").open() as file:
        rows = list(csv.DictReader(file))
    expected = of_span(books, "trips")
    assert [Decimal(row["net"]) for row in rows] == [row["net"] for row in expected]
    assert [row["signal"] for row in rows] == [row["signal"] for row in expected]
    assert {path.name for path in tmp_path.iterdir()} == {f"{table.name}.csv" for table in TABLES} | {"report.json"}


async def test_every_column_of_the_books_is_exported(database, superuser):
    for table in TABLES:
        columns = await superuser.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'ledger' AND table_name = $1",
            table.name,
        )
        assert set(table.columns) == {row["column_name"] for row in columns}, table.name


async def test_span_policies_and_cost_model_go_with_the_files(database, superuser, tmp_path):
    await SyntheticBooks().run(100).store(superuser)
    await written(database, tmp_path)
    metadata = parquet.read_schema(tmp_path / "trips.parquet").metadata
    beside = json.loads((tmp_path / "report.json").read_text())
    belongs = json.loads(metadata[b"tollgate"])
    assert belongs["asked"] == beside["asked"] == {"from_us": SPAN.from_us, "until_us": SPAN.until_us}
    assert belongs["span"] == beside["span"]
    assert belongs["provenance"]["cost_models"][0]["hash"] == COST_MODEL


async def test_nothing_and_an_empty_text_stay_two_things(database, superuser, tmp_path):
    books = SyntheticBooks().run(3)
    books.trips[0]["signal"], books.trips[1]["signal"], books.trips[2]["signal"] = None, "", 'a "b",\nc'
    await books.store(superuser)
    await written(database, tmp_path, span=Span())
    content = parquet.read_table(tmp_path / "trips.parquet")
    assert content["signal"].to_pylist() == [None, "", 'a "b",\nc']


async def test_a_number_that_parquet_cannot_hold_exactly_is_refused_and_csv_has_it(database, superuser, tmp_path):
    books = SyntheticBooks().run(3)
    tiny = Decimal("0.1234567890123456789")
    books.trips[1]["strength"] = tiny
    await books.store(superuser)
    with pytest.raises(DoesNotFit, match="trips has a number"):
        await written(database, tmp_path / "parquet", span=Span())
    assert not (tmp_path / "parquet" / "trips.parquet").exists()
    await written(database, tmp_path / "csv", write_csv, span=Span())
    assert str(tiny) in (tmp_path / "csv" / "trips.csv").read_text()


async def test_tables_without_rows_are_files_too(database, superuser, tmp_path):
    await SyntheticBooks().store(superuser)
    paths = await written(database, tmp_path, span=Span())
    assert [path.name for path in paths][1:] == [f"{table.name}.parquet" for table in TABLES]
    assert parquet.read_table(tmp_path / "trips.parquet").num_rows == 0
