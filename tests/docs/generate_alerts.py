"""Write the table of alerts in ``docs/runbook.md`` from the rules.

Run it with ``uv run python -m tests.docs.generate_alerts``.
"""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "runbook.md"
RULES = ROOT / "deploy" / "prometheus" / "rules"
PLACE = re.compile(r"(<!-- alerts: generated[^\n]*-->\n).*?(<!-- alerts: end -->)", re.DOTALL)
# What is only looked at to see which instance or which desk is meant is not what the alert is about.
BESIDE = {"tollgate_live", "tollgate_kill_switch_engaged"}
METRIC = re.compile(r"\b(tollgate_\w+|process_\w+|up)\b(?=[{\[) ]|$)")


def rules() -> list[dict[str, Any]]:
    """Return every alert, in the order of the files and of each file."""
    groups = [group for path in sorted(RULES.glob("*.yaml")) for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def metrics_of(rule: dict[str, Any]) -> list[str]:
    """Return the metrics that the alert is about, each once; of an objective the share that is recorded of it."""
    if "slo" in rule["labels"]:
        return [f'slo:error_ratio:…{{slo="{rule["labels"]["slo"]}"}}']
    asked = list(dict.fromkeys(METRIC.findall(rule["expr"])))
    return [metric for metric in asked if metric not in BESIDE] or asked


def table() -> str:
    """Return every alert with what it means and the first thing to do."""
    lines = ["| alert | severity | metric | threshold | meaning | response |", "|---|---|---|---|---|---|"]
    for rule in rules():
        said = rule["annotations"]
        metrics = ", ".join(f"`{metric}`" for metric in metrics_of(rule))
        response = f"{said['response']} [More](#{said['runbook'].partition('#')[2]})"
        cells = (
            f"`{rule['alert']}`",
            rule["labels"]["severity"],
            metrics,
            said["threshold"],
            said["meaning"],
            response,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def filled(page: str) -> str:
    """Return the page with the table in its place."""
    return PLACE.sub(lambda place: f"{place[1]}\n{table()}\n\n{place[2]}", page)


def main() -> None:
    """Write the table."""
    PAGE.write_text(filled(PAGE.read_text()))
    print(f"the alerts in {PAGE} are written")


if __name__ == "__main__":
    main()
