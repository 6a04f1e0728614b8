"""The rows behind a report as files: CSV with every digit, Parquet with exact decimals.

Both are streamed: the database writes the text, Arrow reads it back in blocks, and neither ever holds a table whole.
Beside the tables lies the report itself, with the span, the policies and the cost models that they belong to.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]  # - the package has no types
from pyarrow import csv, parquet

from tollgate_research.books import Connection
from tollgate_research.report.span import Span
from tollgate_research.report.values import Report, report_json

# Twenty digits before the point and eighteen after it, as the books are kept; what does not fit is refused.
_DECIMAL = pa.decimal128(38, 18)
# Reader and writer hold some of these at once: a hundred megabytes, however many rows there are.
_BLOCK_BYTES = 1_048_576
REPORT_FILE = "report.json"
_METADATA_KEY = "tollgate"


class DoesNotFit(Exception):
    """A number has more digits than an exact Parquet column holds; the CSV has them all."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the books: its columns, and which of its rows are in a span."""

    name: str
    columns: tuple[str, ...]
    time: str
    """The column that says whether a row is in a span: microseconds, or a day, which must be in it whole."""
    order: str

    @property
    def statement(self) -> str:
        """Return what selects the rows of a span in order, ``$1`` up to and without ``$2``."""
        rows = f"{self.time} >= $1 AND {self.time} < $2 ORDER BY {self.order}"
        return f"SELECT {', '.join(self.columns)} FROM ledger.{self.name} WHERE {rows}"  # noqa: S608 - our own names

    def bounds(self, span: Span) -> Sequence[object]:
        """Return what stands for ``$1`` and ``$2``."""
        return span.whole_days if self.time == "day" else (span.from_us, span.until_us)


_WHY = ("signal", "regime", "tier", "strength", "confidence", "strategy", "cycle_id", "config_hash")
_PARTS = ("edge", "slippage", "fees", "funding", "net")
TABLES = (
    Table(
        "trips",
        (
            *("number", "symbol", "venue", "side", "opened_us", "closed_us", "opened_sequence", "closed_sequence"),
            *("entry_price", "exit_price", "quantity", "fills", "gross", *_PARTS, "risked", "trigger", *_WHY),
            *("equity_before", "equity_after", "maker_share", "entry_order", "exit_order", "found_open"),
        ),
        time="closed_us",
        order="number",
    ),
    Table(
        "trade_costs",
        (
            *("tape_sequence", "ts_us", "symbol", "trade_id", "side", "quantity", "price"),
            *("reference_price", "reference_source"),
            *("slippage", "fee", "fee_currency", "fee_value", "maker", "client_order_id", "trip", "purpose", *_WHY),
            *("fee_expected", "fee_finding", "slippage_expected"),
        ),
        time="ts_us",
        order="tape_sequence",
    ),
    Table(
        "equity",
        (
            *("ts_us", "tape_sequence", "equity", "cash", "cost", "unrealized", "realized", "fees", "moved"),
            *("funding", "peak", "drawdown", "exposure", "treasury", "transfers", "charges", "other"),
        ),
        time="ts_us",
        order="tape_sequence",
    ),
    Table("days", ("day", *_PARTS, "other", "transfers", "equity_first", "equity_last"), time="day", order="day"),
)
_INTEGERS = frozenset(
    {"number", "opened_us", "closed_us", "opened_sequence", "closed_sequence", "fills", "cycle_id", "trip"}
    | {"tape_sequence", "ts_us"}
)
_TEXTS = frozenset(
    {
        "symbol",
        "venue",
        "side",
        "trigger",
        "signal",
        "regime",
        "tier",
        "strategy",
        "config_hash",
        "purpose",
        "fee_finding",
        "trade_id",
        "fee_currency",
    }
    | {"entry_order", "exit_order", "client_order_id", "reference_source"}
)


def arrow_type(column: str) -> pa.DataType:
    """Return the Parquet type of a column, which is the same in every table; what is nothing else is money."""
    kinds = {"day": pa.date32(), "maker": pa.bool_(), "found_open": pa.bool_()}
    if column in _INTEGERS:
        return pa.int64()
    return pa.string() if column in _TEXTS else kinds.get(column, _DECIMAL)


async def write_csv(connection: Connection, report: Report, folder: Path) -> list[Path]:
    """Write every table and the report into ``folder``; return the files."""
    written = [_write_report(report, folder)]
    for table in TABLES:
        written.append(folder / f"{table.name}.csv")
        await _copy(connection, table, report.asked, written[-1])
    return written


async def write_parquet(connection: Connection, report: Report, folder: Path) -> list[Path]:
    """Write every table and the report into ``folder``; return the files. Raises ``DoesNotFit``.

    Decimals have 18 places; span, policies and cost models are also in each file's metadata, under ``tollgate``.
    """
    written = [_write_report(report, folder)]
    content = report_json(report)
    belongs = json.dumps({name: content[name] for name in ("asked", "span", "provenance")})
    with tempfile.TemporaryDirectory(prefix="tollgate-report-", dir=folder) as between:
        for table in TABLES:
            text = Path(between) / table.name
            await _copy(connection, table, report.asked, text)
            written.append(folder / f"{table.name}.parquet")
            _convert(table, text, written[-1], belongs)
            text.unlink()
    return written


def _write_report(report: Report, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / REPORT_FILE
    path.write_text(json.dumps(report_json(report), indent=2) + "\n")
    return path


async def _copy(connection: Connection, table: Table, span: Span, path: Path) -> None:
    await connection.copy_from_query(table.statement, *table.bounds(span), output=path, format="csv", header=True)


def _convert(table: Table, text: Path, path: Path, belongs: str) -> None:
    schema = pa.schema([(name, arrow_type(name)) for name in table.columns], metadata={_METADATA_KEY: belongs})
    options = csv.ConvertOptions(
        column_types=schema,
        true_values=["t"],
        false_values=["f"],
        null_values=[""],
        # An empty text is quoted, what is not known is not.
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    try:
        with (
            csv.open_csv(text, read_options=csv.ReadOptions(block_size=_BLOCK_BYTES), convert_options=options) as rows,
            parquet.ParquetWriter(path, schema, compression="zstd") as writer,
        ):
            for batch in rows:
                writer.write_batch(batch.cast(schema))
    except pa.ArrowInvalid as error:
        path.unlink(missing_ok=True)
        raise DoesNotFit(f"{table.name} has a number that Parquet cannot hold exactly: {error}") from error
