"""The report as one HTML page that needs nothing else: no script, no font, no picture from anywhere."""

from collections.abc import Callable, Sequence
from html import escape

from tollgate_research.report import charts, tables
from tollgate_research.report.charts import Size
from tollgate_research.report.figures import Figure, result_figures, trading_figures, trip_figures
from tollgate_research.report.page_style import STYLE
from tollgate_research.report.span import time_text
from tollgate_research.report.statements import GROUPED_BY
from tollgate_research.report.values import Report
from tollgate_research.report.wording import MINUS, Wording, plural, wording_of

# Nothing may be fetched and nothing may run, whatever stands in a name.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_FALLS = Size(960, 160), Size(340, 140)


def page(report: Report) -> str:
    """Return the page."""
    wording = wording_of(report)
    title = escape(f"Desk {report.provenance.desk}, {_span(report)}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head>\n<body><main>"
        f"{_head(report)}{_figures(report, wording)}{_plots(report, wording)}{_groups(report, wording)}"
        f"{_trips(report, wording)}{_provenance(report)}</main></body></html>\n"
    )


def _span(report: Report) -> str:
    return f"{time_text(report.span.from_us)} to {time_text(report.span.until_us)} UTC"


def _head(report: Report) -> str:
    return f'<h1>Desk {escape(report.provenance.desk)}</h1><p class="soft">{escape(_span(report))}</p>'


def _section(title: str, content: str, about: str = "") -> str:
    told = f'<p class="soft">{escape(about)}</p>' if about else ""
    return f"<section><h2>{escape(title)}</h2>{told}{content}</section>\n"


def _figures(report: Report, wording: Wording) -> str:
    rows = (result_figures(report, wording), trip_figures(report, wording), trading_figures(report, wording))
    return f"<section>{''.join(map(_tiles, rows))}</section>\n"


def _tiles(figures: Sequence[Figure]) -> str:
    tiles = "".join(
        f'<div><dt>{escape(figure.name)}</dt><dd class="value">{escape(figure.value)}</dd>'
        f'<dd class="note">{escape(figure.note)}</dd></div>'
        for figure in figures
    )
    return f'<dl class="tiles">{tiles}</dl>'


def _drawn(draw: Callable[[Size], str], wide: Size, narrow: Size = charts.NARROW) -> str:
    """Draw twice, for letters cannot shrink with a picture; the style shows the one that fits."""
    sizes = (("wide", wide), ("narrow", narrow))
    return "".join(draw(size).replace("<svg", f'<svg class="{name}"', 1) for name, size in sizes)


def _plots(report: Report, wording: Wording) -> str:
    curve, days, times = report.exposure.curve, report.daily.days, report.trips.hold_times
    rises = _drawn(lambda size: charts.equity(curve, wording, size), charts.WIDE)
    falls = _drawn(lambda size: charts.drawdown(curve, wording, size), *_FALLS)
    daily = '<p class="soft">No whole UTC day of this span has ended.</p>'
    if days:
        daily = _drawn(lambda size: charts.daily(days, wording, size), Size(960, 220))
    held = '<p class="soft">No round trip has ended.</p>'
    if any(times.counts):
        held = _drawn(lambda size: charts.hold_times(times, size), charts.HALF)
    result = _drawn(lambda size: charts.waterfall(report.change.parts, wording, size), charts.HALF)
    currency = wording.currency
    return (
        _section(f"Equity, {currency}", rises)
        + _section(f"Below the highest, {currency}", falls, "Transfers are no fall.")
        + _section(f"Result of each day, {currency}", daily)
        + f'<div class="pair">{_section(f"Where the result came from, {currency}", result)}'
        + f"{_section('How long trips were held', held)}</div>"
    )


def _groups(report: Report, wording: Wording) -> str:
    parts = []
    for by in GROUPED_BY:
        lines = [group for group in report.groups if group.by == by]
        if lines:
            parts.append(f"<h3>By {by}</h3>{tables.groups(by, lines, report, wording)}")
    trips, change = report.trips, report.change
    sums = (
        f"Ended trips {wording.amount(trips.parts.net, signed=True)}, positions open at either end "
        f"{wording.amount(report.open_net, signed=True)}: in all {wording.money(change.parts.net, signed=True)}."
    )
    aside = [
        plural(trips.corrections, "correction") + " of an ended trip" if trips.corrections else "",
        plural(trips.found_open, "trip") + " found open at the start of the books" if trips.found_open else "",
    ]
    also = "; ".join(part for part in aside if part)
    told = f"{sums} In the sums, not counted as trips: {also}." if also else sums
    return _section(f"Where it came from: net = edge {MINUS} slippage {MINUS} fees + funding", "".join(parts), told)


def _trips(report: Report, wording: Wording) -> str:
    lists = (("Best", report.best_trips), ("Worst", report.worst_trips), ("Last", report.last_trips))
    parts = [f"<h3>{name}</h3>{tables.trips(lines, wording)}" for name, lines in lists if lines]
    return _section("Round trips", "".join(parts)) if parts else ""


def _provenance(report: Report) -> str:
    provenance = report.provenance
    read = f"Read from the books of desk {provenance.desk} up to tape sequence {provenance.archived_sequence:,}. "
    how = (
        "Intervals hold the true value with a confidence of 95 %: Wilson's for a share, Student's for a mean, "
        "resampled for a ratio. A day's return is the equity at its end over that at its start and transfers, less "
        "one; a year has 365 days."
    )
    parts = (
        tables.in_force("Cost model", provenance.cost_models, "Configurations"),
        tables.in_force("Policy", provenance.policies, "Fills"),
    )
    return _section("What this rests on", "".join(parts), read + how)
