"""``tollgate report`` as a shell sees it."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from synthetic_books import START_US, SyntheticBooks
from typer.testing import CliRunner, Result

from tests.servers.postgres import Database
from tollgate_research.report.command import report

APP = typer.Typer()
APP.command()(report)
FIRST = f"{datetime.fromtimestamp(START_US // 1_000_000, UTC):%Y-%m-%d}"


async def run(*arguments: object) -> Result:
    """Run it beside the test's own loop, as a process of its own would."""
    return await asyncio.to_thread(CliRunner().invoke, APP, [str(each) for each in arguments])


@pytest.fixture
async def state_dir(database: Database, superuser, tmp_path: Path) -> Path:
    """Return a state directory as `tollgate up` leaves one, with some history in the books."""
    await SyntheticBooks().run(30).store(superuser)
    place = tmp_path / "state" / "secrets" / "reader" / "postgres_dsn"
    place.parent.mkdir(parents=True)
    place.write_text(database.dsn("tollgate_reader") + "\n")
    return tmp_path / "state"


async def test_the_terminal_has_the_figures_and_what_they_rest_on(state_dir: Path):
    told = await run("--state-dir", state_dir)
    assert told.exit_code == 0, told.output
    for words in ("Desk main", "Win rate", "Profit factor", "Sharpe", "Where it came from", "By signal", "cost model"):
        assert words in told.stdout
    assert max(map(len, told.stdout.splitlines())) <= 100


async def test_files_are_written_and_named(state_dir: Path, tmp_path: Path):
    html, folder = tmp_path / "out" / "report.html", tmp_path / "rows"
    told = await run("--state-dir", state_dir, "--html", html, "--csv", folder, "--parquet", folder)
    assert told.exit_code == 0, told.output
    assert html.read_text().startswith("<!doctype html>")
    assert (folder / "trips.parquet").exists()
    assert (folder / "days.csv").exists()
    assert f"wrote {html}" in told.stderr


async def test_json_is_all_that_is_printed(state_dir: Path):
    told = await run("--state-dir", state_dir, "--from", FIRST, "--to", FIRST, "--json")
    content = json.loads(told.stdout)
    assert content["span"]["from_us"] == START_US
    assert content["trips"]["count"] > 0


async def test_what_goes_wrong_has_a_code_and_a_sentence(state_dir: Path, tmp_path: Path):
    cases: dict[tuple[object, ...], tuple[int, str]] = {
        ("--state-dir", state_dir, "--from", "soon"): (2, "--from takes a UTC date"),
        ("--state-dir", state_dir, "--from", "2026-06-02", "--to", "2026-06-01"): (2, "--to must be after --from"),
        ("--state-dir", state_dir, "--to", "2020-01-01"): (66, "the books say nothing of this span"),
        ("--state-dir", tmp_path): (69, "postgres_dsn cannot be read"),
        ("--state-dir", state_dir, "--html", tmp_path): (73, "Is a directory"),
    }
    for arguments, (code, words) in cases.items():
        told = await run(*arguments)
        assert told.exit_code == code, told.output
        assert words in told.stderr
        assert told.stdout == ""


async def test_an_address_in_a_file_is_enough(state_dir: Path):
    told = await run("--dsn-file", state_dir / "secrets" / "reader" / "postgres_dsn", "--json")
    assert told.exit_code == 0, told.output
