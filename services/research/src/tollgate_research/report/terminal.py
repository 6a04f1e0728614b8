"""The report as a page for the terminal."""

from collections.abc import Sequence
from decimal import Decimal

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tollgate_research import layout
from tollgate_research.report.figures import Figure, result_figures, trading_figures, trip_figures
from tollgate_research.report.span import time_text
from tollgate_research.report.statements import GROUPED_BY
from tollgate_research.report.values import Attribution, ConfigInForce, Report, Trip
from tollgate_research.report.wording import NONE, Wording, hold_bins, lasting, number, percent, wording_of

_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 72
_BAR_WIDTH = 40


def text_page(report: Report) -> RenderableType:
    """Return the report as it is printed."""
    wording = wording_of(report)
    provenance = report.provenance
    span = f"{time_text(report.span.from_us)} to {time_text(report.span.until_us)} UTC"
    parts: list[RenderableType] = [Text(f"Desk {provenance.desk}, {span}", style="bold")]
    parts += layout.section("Result", [_figures(result_figures(report, wording)), _curve(report)])
    parts += layout.section("Where it came from", [_attribution(report, wording)])
    parts += layout.section("Round trips", [_figures(trip_figures(report, wording)), *_hold_times(report)])
    parts += layout.section("Trading", [_figures(trading_figures(report, wording))])
    for by in GROUPED_BY:
        if any(group.by == by for group in report.groups):
            parts += layout.section(f"By {by}", [_groups(by, report, wording)])
    for name, trips in (("Best", report.best_trips), ("Worst", report.worst_trips)):
        if trips:
            parts += layout.section(f"{name} round trips", [_trips(trips, wording)])
    parts += layout.section("What this rests on", _provenance(report))
    return Lines(*parts)


def _figures(figures: Sequence[Figure]) -> Table:
    shown = Table.grid(padding=(0, 2, 0, 0))
    for style in ("dim", "bold", ""):
        shown.add_column(style=style)
    for figure in figures:
        shown.add_row(figure.name, figure.value, figure.note)
    return shown


def _curve(report: Report) -> str:
    """Return the equity without transfers as a line of blocks, lowest to highest."""
    curve = report.exposure.curve
    width = min(_CURVE_WIDTH, len(curve))
    shown = (curve[(place + 1) * len(curve) // width - 1] for place in range(width))
    values = [float(point.equity - point.transfers) for point in shown]
    low, spread = min(values), max(values) - min(values)
    if not spread:
        return ""
    return "".join(_BLOCKS[round((value - low) / spread * (len(_BLOCKS) - 1))] for value in values)


def _attribution(report: Report, wording: Wording) -> Table:
    parts, change = report.change.parts, report.change
    lines = [
        ("price edge", parts.edge),
        ("slippage", -parts.slippage),
        ("fees", -parts.fees),
        ("funding", parts.funding),
        ("other", parts.other),
        ("net", parts.net),
        ("  of ended round trips", report.trips.parts.net),
        ("  of positions open at either end", report.open_net),
        ("transfers", change.transfers),
    ]
    shown = Table.grid(padding=(0, 2, 0, 0))
    shown.add_column()
    shown.add_column(justify="right")
    for name, amount in lines:
        shown.add_row(name, _signed(amount, wording), style="bold" if name == "net" else "")
    return shown


def _signed(amount: Decimal, wording: Wording) -> Text:
    style = "green" if amount > 0 else "red" if amount < 0 else ""
    return Text(wording.amount(amount, signed=True), style=style)


def _hold_times(report: Report) -> list[RenderableType]:
    bins = hold_bins(report.trips.hold_times)
    if not bins:
        return []
    most = max(count for _, count in bins)
    shown = Table.grid(padding=(0, 2, 0, 0))
    shown.add_column(style="dim")
    shown.add_column()
    shown.add_column(justify="right")
    for name, count in bins:
        shown.add_row(name, "█" * (count * _BAR_WIDTH // most), f"{count:,}")
    return ["", "held", shown]


def _right(table: Table, first: int) -> Table:
    for column in table.columns[first:]:
        column.justify = "right"
    return table


def _groups(by: str, report: Report, wording: Wording) -> Table:
    shown = _right(layout.table(by, "trips", "won", "edge", "slippage", "fees", "funding", "net"), 1)
    for group in report.groups:
        if group.by == by:
            won = percent(group.won / group.count if group.count else None, 0)
            shown.add_row(group.name, f"{group.count:,}", won, *_amounts(group.parts, wording))
    return shown


def _amounts(parts: Attribution, wording: Wording) -> list[RenderableType]:
    amounts = (parts.edge, -parts.slippage, -parts.fees, parts.funding)
    return [*(wording.amount(amount) for amount in amounts), _signed(parts.net, wording)]


def _trips(trips: Sequence[Trip], wording: Wording) -> Table:
    shown = _right(layout.table("trip", "closed", "symbol", "ended by", "signal", "held", "R", "net"), 5)
    for trip in trips:
        held = lasting(trip.closed_us - trip.opened_us)
        why = (trip.trigger, trip.signal or NONE)
        shown.add_row(
            *(str(trip.number), time_text(trip.closed_us), trip.symbol, *why, held, number(trip.r)),
            _signed(trip.parts.net, wording),
        )
    return shown


def _provenance(report: Report) -> list[RenderableType]:
    provenance = report.provenance
    lines: list[RenderableType] = [f"tape up to sequence {provenance.archived_sequence:,}"]
    lines += [f"cost model {_in_force(line)}" for line in provenance.cost_models] or ["no cost model is named"]
    lines += [f"policy {_in_force(line)}, {line.count:,} fills" for line in provenance.policies]
    return lines


def _in_force(line: ConfigInForce) -> str:
    return f"{line.hash}\n  from {time_text(line.first_us)} to {time_text(line.last_us)}"
