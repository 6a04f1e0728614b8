"""What the dashboards ask, read off the files that Grafana reads."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GRAFANA = Path(__file__).parents[3] / "deploy" / "grafana"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One query of one panel."""

    board: str
    panel: str
    expr: str
    legend: str

    def filled(self, desk: str, window: str, span: str) -> str:
        """Return the query with the variables as Grafana would fill them."""
        values = {"$desk": desk, "$__rate_interval": window, "$__range": span}
        expr = self.expr
        for variable, value in values.items():
            expr = expr.replace(variable, value)
        assert "$" not in expr, expr
        return expr


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Asked]:
    """Yield every query of every dashboard."""
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                yield Asked(name, panel["title"], target["expr"], target["legendFormat"])
