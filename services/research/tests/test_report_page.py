"""The page and the text: complete in themselves, true to the values, and safe from what stands in a name."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from rich.console import Console
from synthetic_books import COST_MODEL, POLICIES, SyntheticBooks

from tests.servers.postgres import Database
from tollgate_research import layout
from tollgate_research.books import opened
from tollgate_research.report import svg
from tollgate_research.report.page import page
from tollgate_research.report.reading import read_report
from tollgate_research.report.span import Span
from tollgate_research.report.terminal import text_page
from tollgate_research.report.values import Report, report_json
from tollgate_research.report.wording import Wording, hold_bins, lasting

SVG = re.compile(r"<svg.*?</svg>", re.DOTALL)


async def a_report(database: Database, superuser, books: SyntheticBooks) -> Report:
    await books.store(superuser)
    async with opened(database.dsn("tollgate_reader")) as connection:
        return await read_report(connection, Span())


def printed(report: Report) -> str:
    console = Console(width=layout.WIDTH, markup=False, highlight=False, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123 - unread
    console.print(text_page(report))
    return console.export_text()


HISTORIES = {
    "long": lambda: SyntheticBooks().run(150).transfer(900).move(dust="-0.5").run(50).trip(is_left_open=True),
    "one trip": lambda: SyntheticBooks().trip(),
    "open only": lambda: SyntheticBooks().trip(is_left_open=True),
    "nothing": SyntheticBooks,
}


@pytest.mark.parametrize("name", HISTORIES)
async def test_every_history_has_a_page_and_a_text(name: str, database, superuser):
    report = await a_report(database, superuser, HISTORIES[name]())
    content = page(report)
    for drawing in SVG.findall(content):
        ElementTree.fromstring(drawing)  # noqa: S314 - our own drawing
        assert not re.search(r"nan|inf\b", drawing)
    assert content.count("<section") == content.count("</section>")
    assert printed(report).startswith("Desk main, 2026-06-01")
    json.dumps(report_json(report), allow_nan=False)


async def test_the_page_needs_nothing_else_and_runs_nothing(database, superuser):
    content = page(await a_report(database, superuser, HISTORIES["long"]()))
    assert not re.search(r"<script|<link|<img|<iframe|\ssrc=|\shref=|url\(|@import|https?:", content)
    assert "default-src 'none'" in content
    assert "prefers-color-scheme: dark" in content


async def test_each_plot_is_drawn_for_a_wide_and_for_a_narrow_place(database, superuser):
    content = page(await a_report(database, superuser, HISTORIES["long"]()))
    wide, narrow = content.count('<svg class="wide"'), content.count('<svg class="narrow"')
    assert wide == narrow == 5
    for drawing in SVG.findall(content):
        width = float(re.search(r'viewBox="0 0 ([\d.]+)', drawing)[1])
        for x in re.findall(r'<text x="([-\d.]+)"', drawing):
            assert 0 <= float(x) <= width


async def test_what_stands_in_a_name_is_text(database, superuser):
    books = SyntheticBooks().run(4)
    for row in books.trips:
        row["signal"] = "<script>alert(1)</script>&\"'"
    report = await a_report(database, superuser, books)
    content = page(report)
    assert "<script" not in content
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in content
    assert "[red]" in printed(replace(report, groups=(replace(report.groups[0], name="[red]x"),)))


async def test_the_page_and_the_text_name_what_they_rest_on(database, superuser):
    report = await a_report(database, superuser, HISTORIES["long"]())
    content, text = page(report), printed(report)
    for digest in (COST_MODEL, *POLICIES):
        assert digest in content
        assert digest in text
    for shown in (content, text):
        assert "2026-06-01 00:00:00 to" in shown
        assert f"{report.provenance.archived_sequence:,}" in shown


async def test_the_json_is_the_report_with_exact_money(database, superuser):
    report = await a_report(database, superuser, HISTORIES["long"]())
    content = report_json(report)
    assert Decimal(content["change"]["parts"]["net"]) == report.change.parts.net
    assert content["trips"]["win_rate"]["interval"]["method"] == "Wilson"
    assert content["provenance"]["cost_models"][0]["hash"] == COST_MODEL


@pytest.mark.parametrize(
    ("low", "high", "count"), [(0, 1, 5), (-3, 12, 4), (9_990, 10_010, 5), (5, 5, 4), (0, 0, 4), (-1e-9, 2e-9, 3)]
)
def test_ticks_are_round_and_enclose_what_they_are_of(low: float, high: float, count: int):
    marks = svg.ticks(low, high, count)
    assert marks[0] <= low + 1e-12
    assert marks[-1] >= high - 1e-12
    assert 2 <= len(marks) <= count + 3
    steps = {round((after - mark) / (marks[1] - marks[0]), 6) for mark, after in pairwise(marks)}
    assert steps == {1.0}


@pytest.mark.parametrize("high", [1, 2, 3, 7, 50, 12_345])
def test_what_is_counted_has_whole_ticks(high: int):
    assert all(mark == int(mark) for mark in svg.ticks(0, high, 4, whole=True))


@pytest.mark.parametrize(
    ("microseconds", "words"),
    [(0, "0 s"), (1, "1 µs"), (999, "999 µs"), (1_500, "1.5 ms"), (12_000_000, "12 s"), (90_000_000, "1.5 min"),
     (3_600_000_000, "1 h"), (86_400_000_000 * 30, "30 d"), (-1_500, "-1.5 ms")],
)  # fmt: skip
def test_a_time_is_told_in_its_largest_unit(microseconds: int, words: str):
    assert lasting(microseconds) == words


@pytest.mark.parametrize(
    ("value", "places", "words"),
    [
        ("1234.5", 2, "+1,234.50"),
        ("-0.004", 2, "0.00"),
        ("0", 2, "0.00"),
        ("-1234567.891", 2, "\N{MINUS SIGN}1,234,567.89"),
    ],
)
def test_an_amount_is_rounded_for_reading_and_nothing_has_no_sign(value: str, places: int, words: str):
    assert Wording("USDT", places).amount(Decimal(value), signed=True) == words


async def test_bins_are_shown_from_the_first_to_the_last_that_has_any(database, superuser):
    report = await a_report(database, superuser, HISTORIES["long"]())
    bins = hold_bins(report.trips.hold_times)
    assert bins[0][1] > 0
    assert bins[-1][1] > 0
    assert sum(count for _, count in bins) == report.trips.count
