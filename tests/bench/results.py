"""What a benchmark has found, and how it is shown and kept."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

_CONSOLE = Console()


@dataclass(frozen=True, slots=True)
class Result:
    """One number; ``against`` says what a ratio was measured against, and is null for anything else."""

    name: str
    value: float
    unit: str
    against: str | None = None
    note: str = ""


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least ``percent`` of all do not exceed; raises on no values."""
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def median(values: Sequence[float]) -> float:
    """Return the middle value."""
    return percentile(values, 50)


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers stand to the right."""
    table = Table(*columns, title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    _CONSOLE.print(table)


def say(text: str) -> None:
    """Print a line of progress or a note."""
    _CONSOLE.print(text, highlight=False, soft_wrap=True)


def write(path: Path, results: Sequence[Result]) -> None:
    """Write all results as a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")
