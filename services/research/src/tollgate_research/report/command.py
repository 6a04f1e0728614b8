"""``tollgate report``: what a trader wants to know of a span, from the books."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from tollgate_research.report.span import Span
    from tollgate_research.report.values import Report

_USAGE, _BAD_INPUT, _NOTHING, _NO_DATABASE, _CANNOT_WRITE = 2, 65, 66, 69, 73


@dataclass(frozen=True, slots=True)
class Wanted:
    """The files to write besides."""

    html: Path | None
    csv: Path | None
    parquet: Path | None
    lots: Path | None


def report(
    since: Annotated[
        str | None, typer.Option("--from", metavar="MOMENT", help="A UTC date, or microseconds since the epoch.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="MOMENT", help="The same; a date is taken in with all its hours.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as one HTML page to this file.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the rows behind it as CSV into this directory.")] = None,
    parquet: Annotated[
        Path | None, typer.Option(help="Write the rows behind it as Parquet into this directory.")
    ] = None,
    lots: Annotated[Path | None, typer.Option(help="Write what was sold, lot by lot, first in first out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    state_dir: Annotated[Path, typer.Option(help="State directory of the running platform.")] = Path(".tollgate"),
    dsn_file: Annotated[
        Path | None, typer.Option(help="A file with the database's address, where no platform runs here.")
    ] = None,
) -> None:
    """Say what was made in a span of time and where it came from: from the books, not the tape.

    Without a span it is all there is. Reads as a role that can change nothing, so it may run while the desk trades.

    Exit code 0: reported; 2: not a span; 65: a number does not fit into Parquet, or a symbol has no lots; 66: nothing
    was booked in the span; 69: the database does not answer, or has other books; 73: a file cannot be written.
    """
    from tollgate_contracts.money import install_exact_context  # noqa: PLC0415 - `tollgate --help` stays fast
    from tollgate_research import layout  # noqa: PLC0415 - as above
    from tollgate_research.books import READER_DSN, NoBooks, read_dsn  # noqa: PLC0415 - as above
    from tollgate_research.report.reading import NothingBooked  # noqa: PLC0415 - as above
    from tollgate_research.report.span import BadSpan, read_span  # noqa: PLC0415 - as above
    from tollgate_research.report.terminal import text_page  # noqa: PLC0415 - as above
    from tollgate_research.report.values import report_json  # noqa: PLC0415 - as above

    install_exact_context()
    try:
        span = read_span(since, until)
        dsn = read_dsn(dsn_file or state_dir / READER_DSN)
        made, written = asyncio.run(_report(dsn, span, Wanted(html, csv, parquet, lots)))
    except BadSpan as error:
        _fail(_USAGE, str(error))
    except NothingBooked as error:
        _fail(_NOTHING, str(error))
    except NoBooks as error:
        _fail(_NO_DATABASE, str(error))
    if as_json:
        typer.echo(json.dumps(report_json(made), indent=2))
    else:
        layout.console().print(text_page(made))
    for path in written:
        Console(stderr=True, highlight=False, markup=False).print(f"wrote {path}", soft_wrap=True)


async def _report(dsn: str, span: "Span", wanted: Wanted) -> tuple["Report", list[Path]]:
    """Read the report and write what is wanted of it, all from one state of the books."""
    from tollgate_research.books import opened  # noqa: PLC0415 - `tollgate --help` stays fast
    from tollgate_research.report import exporting  # noqa: PLC0415 - as above
    from tollgate_research.report.lots import NoLots, write_lots  # noqa: PLC0415 - as above
    from tollgate_research.report.page import page  # noqa: PLC0415 - as above
    from tollgate_research.report.reading import read_report  # noqa: PLC0415 - as above

    written: list[Path] = []
    async with opened(dsn) as connection:
        made = await read_report(connection, span)
        try:
            if wanted.html is not None:
                written.append(_write(wanted.html, page(made)))
            if wanted.csv is not None:
                written += await exporting.write_csv(connection, made, wanted.csv)
            if wanted.parquet is not None:
                written += await exporting.write_parquet(connection, made, wanted.parquet)
            if wanted.lots is not None:
                written.append(await write_lots(connection, made, wanted.lots))
        except NoLots as error:
            _fail(_BAD_INPUT, str(error))
        except exporting.DoesNotFit as error:
            _fail(_BAD_INPUT, f"{error}; --csv writes every digit")
        except OSError as error:
            _fail(_CANNOT_WRITE, f"{error.filename}: {error.strerror}")
    return made, written


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _fail(code: int, why: str) -> NoReturn:
    Console(stderr=True, highlight=False, markup=False).print(why, style="red", soft_wrap=True)
    raise typer.Exit(code)
