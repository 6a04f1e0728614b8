"""The tables of the page: groups, trips, days' sums, and what the report rests on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

from tollgate_contracts.money import ZERO, plain, round_to_places
from tollgate_research.report.span import time_text
from tollgate_research.report.values import Attribution, ConfigInForce, Group, Report, Trip
from tollgate_research.report.wording import NONE, Wording, lasting, number, percent, short

# Averages are kept to 18 places, which nobody reads.
_PRICE_PLACES = 8


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of a table."""

    words: str
    class_: str = "words"
    tip: str = ""


def table(head: Sequence[str], rows: Iterable[Sequence[Cell]], foot: Iterable[Sequence[Cell]] = ()) -> str:
    """Return a table that scrolls on its own where the page is narrower."""
    rows, foot = list(rows), list(foot)
    kinds = [cell.class_.split()[0] for cell in (rows or foot)[0]] if rows or foot else [""] * len(head)
    top = "".join(f'<th scope="col" class="{kind}">{escape(name)}</th>' for name, kind in zip(head, kinds, strict=True))
    body = "".join(_row(row) for row in rows)
    end = f"<tfoot>{''.join(_row(row) for row in foot)}</tfoot>" if foot else ""
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody>{end}</table></div>'


def _row(cells: Sequence[Cell]) -> str:
    return f"<tr>{''.join(_cell(cell) for cell in cells)}</tr>"


def _cell(cell: Cell) -> str:
    tip = f' title="{escape(cell.tip)}"' if cell.tip else ""
    return f'<td class="{cell.class_}"{tip}>{escape(cell.words)}</td>'


def _parts(parts: Attribution, wording: Wording) -> list[Cell]:
    amounts = (parts.edge, -parts.slippage, -parts.fees, parts.funding)
    return [_net(parts, wording), *(Cell(wording.amount(amount), "number") for amount in amounts)]


def _net(parts: Attribution, wording: Wording) -> Cell:
    kind = "gain-text" if parts.net > ZERO else "loss-text" if parts.net < ZERO else ""
    return Cell(wording.amount(parts.net, signed=True), f"number {kind}".rstrip())


def groups(by: str, lines: Sequence[Group], report: Report, wording: Wording) -> str:
    """Return one grouping, whose lines sum to all trips, and these with the open positions to the whole."""
    head = (by.capitalize(), "Trips", "Won", "Net", "Edge", "Slippage", "Fees", "Funding")
    rows = [
        [
            Cell(f"{group.name}:00" if by == "hour" else group.name),
            Cell(f"{group.count:,}", "number"),
            Cell(percent(group.won / group.count if group.count else None, 0), "number"),
            *_parts(group.parts, wording),
        ]
        for group in lines
    ]
    trips = report.trips
    won = Cell(percent(trips.win_rate.value, 0), "number")
    foot = [
        [Cell("All"), Cell(f"{trips.count:,}", "number"), won, *_parts(trips.parts, wording)],
    ]
    return table(head, rows, foot)


def trips(lines: Sequence[Trip], wording: Wording) -> str:
    """Return a list of round trips."""
    head = ("Trip", "Symbol", "Net", "R", "Closed", "Held", "Side", "Entry", "Exit", "Quantity", "Ended by", "Signal")
    return table(head, (_trip(trip, wording) for trip in lines))


def _trip(trip: Trip, wording: Wording) -> list[Cell]:
    prices = (trip.entry_price, trip.exit_price, trip.quantity)
    return [
        Cell(str(trip.number)),
        Cell(trip.symbol),
        _net(trip.parts, wording),
        Cell(number(trip.r), "number"),
        Cell(time_text(trip.closed_us)),
        Cell(lasting(trip.closed_us - trip.opened_us), "number"),
        Cell(trip.side.lower()),
        *(Cell(NONE if price is None else plain(round_to_places(price, _PRICE_PLACES)), "number") for price in prices),
        Cell(trip.trigger),
        Cell(trip.signal or NONE),
    ]


def in_force(name: str, lines: Sequence[ConfigInForce], of: str) -> str:
    """Return the policies or cost models and when they were in force."""
    rows = [
        [
            Cell(short(line.hash), "digest", line.hash),
            Cell(time_text(line.first_us)),
            Cell(time_text(line.last_us)),
            Cell(f"{line.count:,}", "number"),
        ]
        for line in lines
    ]
    return table((name, "First", "Last", of), rows) if rows else f"<p>{escape(name)}: none is named.</p>"
