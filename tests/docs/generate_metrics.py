"""Write the table of metrics in ``docs/operators.md`` from the registry.

Run it with ``uv run python -m tests.docs.generate_metrics``.
"""

import re
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from tollgate_chassis.telemetry import metrics

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
PLACE = re.compile(r"(<!-- metrics: generated[^\n]*-->\n).*?(<!-- metrics: end -->)", re.DOTALL)


def table() -> str:
    """Return every metric of the registry, in its order."""
    lines = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (described,) = metric.describe()
            name = f"{described.name}_total" if described.type == "counter" else described.name
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            lines.append(f"| `{name}` | {described.type} | {labels} | {described.documentation} |")
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
