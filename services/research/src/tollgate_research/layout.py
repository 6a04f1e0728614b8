"""How pages for a terminal are laid out: sections, tables and times that fit a hundred columns."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tollgate_contracts.money import plain

WIDTH = 100
_MS_US, _S_US = 1_000, 1_000_000


def console() -> Console:
    """Return the console to print on: as wide as the terminal up to a bound, and as wide as that elsewhere."""
    terminal = Console(highlight=False, markup=False)
    width = min(terminal.width, WIDTH) if terminal.is_terminal else WIDTH
    return Console(highlight=False, markup=False, width=width)


def section(title: str, lines: Iterable[RenderableType]) -> list[RenderableType]:
    """Return a titled part of a page; an empty line within it stays one."""
    return ["", Text(title, style="bold"), *(Padding(line or " ", (0, 0, 0, 2), expand=False) for line in lines)]


def table(*columns: str) -> Table:
    """Return a table without rules, which takes the least room; nothing in it is cut off."""
    lines = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        lines.add_column(column, overflow="fold")
    return lines


def grid(*rows: tuple[str, str | None]) -> Table:
    """Return names with their values; a name without a value is left out."""
    lines = Table.grid(padding=(0, 2, 0, 0))
    for name, value in rows:
        if value is not None:
            lines.add_row(name, value)
    return lines


def span(microseconds: int) -> str:
    """Return a span of time in the unit that keeps it short."""
    if abs(microseconds) < _MS_US:
        return f"{microseconds} us"
    if abs(microseconds) < _S_US:
        return f"{plain(Decimal(microseconds).scaleb(-3))} ms"
    return f"{plain(Decimal(microseconds).scaleb(-6))} s"


def time_of(ts_us: int) -> str:
    """Return date and time of day, UTC."""
    return " ".join(day_and_time_of(ts_us))


def day_and_time_of(ts_us: int) -> tuple[str, str]:
    """Return the date and the time of day, UTC."""
    seconds, rest_us = divmod(ts_us, _S_US)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%d}", f"{moment:%H:%M:%S}.{rest_us:06d}"
