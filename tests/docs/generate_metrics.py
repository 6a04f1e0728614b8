"""Write the table of metrics in ``docs/operators.md`` from the registry.

Run it with ``uv run python -m tests.docs.generate_metrics``.
"""

import re
from pathlib import Path

from tollgate_chassis.telemetry.catalog import catalog
from tollgate_contracts.envelope import SERVICES

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
PLACE = re.compile(r"(<!-- metrics: generated[^\n]*-->\n).*?(<!-- metrics: end -->)", re.DOTALL)


def table() -> str:
    """Return every metric of the registry, in its order."""
    lines = ["| metric | offered by | type | labels | meaning |", "|---|---|---|---|---|"]
    for metric in catalog():
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        offered_by = "every service" if metric.offered_by == SERVICES else ", ".join(metric.offered_by)
        lines.append(f"| `{metric.name}` | {offered_by} | {metric.type} | {labels} | {metric.meaning} |")
    return "\n".join(lines)


def filled(page: str) -> str:
    """Return the page with the table in its place."""
    return PLACE.sub(lambda place: f"{place[1]}\n{table()}\n\n{place[2]}", page)


def main() -> None:
    """Write the table."""
    PAGE.write_text(filled(PAGE.read_text()))
    print(f"the metrics in {PAGE} are written")


if __name__ == "__main__":
    main()
