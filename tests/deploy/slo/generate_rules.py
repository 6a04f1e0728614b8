"""Write the alerts of the objectives, and their table in ``docs/doctor.md``, from ``deploy/slo.yaml``.

Run it with ``uv run python -m tests.deploy.slo.generate_rules``.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.slo.expressions import (
    FAST,
    FAST_WINDOWS,
    NOW,
    SLOW,
    SLOW_WINDOWS,
    Budgeted,
    Burn,
    burning,
    error_ratio,
    exceeded_now,
    recorded,
)
from tollgate_console.doctor.objectives import Latency, Level, Never, Objective, Ratio, read_objectives

ROOT = Path(__file__).parents[3]
OBJECTIVES = ROOT / "deploy" / "slo.yaml"
RULES = ROOT / "deploy" / "prometheus" / "rules" / "slo.yaml"
PAGE = ROOT / "docs" / "doctor.md"
PLACE = re.compile(r"(<!-- objectives: generated[^\n]*-->\n).*?(<!-- objectives: end -->)", re.DOTALL)
_HEAD = """\
# Made from deploy/slo.yaml by `python -m tests.deploy.slo.generate_rules`: change that file and run it again.
#
# Of each objective the share that was not as promised, over the usual windows, by desk and service; and an alert for a
# budget that burns fast, and one for a budget that burns slowly (docs/doctor.md).
"""


def alert_name(objective: Objective, speed: str) -> str:
    """Return the name of one of an objective's two alerts."""
    return f"TollgateSlo{''.join(part.capitalize() for part in objective.name.split('-'))}{speed}"


def groups(objectives: tuple[Objective, ...]) -> list[dict[str, Any]]:
    """Return the groups of rules of each objective with a budget."""
    return [group for each in objectives if not isinstance(each, Never) for group in _groups(each)]


def _groups(objective: Budgeted) -> list[dict[str, Any]]:
    """Return what must be seen as often as it is scraped, and what reads hours and days and need not be."""
    name, labels = f"tollgate-slo-{objective.name}", {"slo": objective.name}
    made: list[dict[str, Any]] = []
    if isinstance(objective, Level):
        now = {"record": NOW, "expr": exceeded_now(objective), "labels": labels}
        made.append({"name": f"{name}-now", "rules": [now]})
    for speed, burns, severity, windows, interval in (
        ("Fast", FAST, "critical", FAST_WINDOWS, "30s"),
        ("Slow", SLOW, "warning", SLOW_WINDOWS, "2m"),
    ):
        shares = [
            {"record": recorded(each), "expr": error_ratio(objective, each), "labels": labels} for each in windows
        ]
        alert = {
            "alert": alert_name(objective, speed),
            "expr": burning(objective, burns),
            "labels": {"severity": severity, **labels},
            "annotations": annotations(objective, burns),
        }
        made.append({"name": f"{name}-{speed.lower()}", "interval": interval, "rules": [*shares, alert]})
    return made


def annotations(objective: Budgeted, burns: tuple[Burn, ...]) -> dict[str, str]:
    """Return what an alert tells."""
    budget = f"{100 * (1 - objective.target):.4g} %"
    return {
        "summary": f"{{{{ $value | humanizePercentage }}}} {objective.miss} ({{{{ $labels.service }}}}); "
        f"{budget} may be.",
        "threshold": ", or ".join(
            f"more than {100 * burn.limit(objective.target):.4g} % over {burn.short} and {burn.long}" for burn in burns
        ),
        "meaning": f"Not kept any more: {objective.what[0].lower()}{objective.what[1:]} {objective.why}",
        "response": objective.response,
        "runbook": f"docs/runbook.md#{objective.runbook}",
    }


def table(objectives: tuple[Objective, ...]) -> str:
    """Return the objectives as the page shows them."""
    lines = ["| objective | services | what is promised | judged by | target | why |", "|---|---|---|---|---|---|"]
    for each in objectives:
        services = "all five" if len(each.services) > 1 else each.services[0]
        target = "0" if isinstance(each, Never) else f"{100 * each.target:g} %"
        judged = _judged(each)
        runbook = f"[{each.name}](runbook.md#{each.runbook})"
        lines.append(f"| {runbook} | {services} | {each.what} | {judged} | {target} | {each.why} |")
    return "\n".join(lines)


def _judged(objective: Objective) -> str:
    match objective:
        case Latency():
            return f"{_shown(objective.metric, objective.only, {})} ≤ {objective.bound:g} {objective.unit}"
        case Ratio():
            bad, total = objective.bad, objective.total
            return f"{_shown(bad.metric, bad.only, bad.without)} of {_shown(total.metric, total.only, total.without)}"
        case Level():
            what = "age of " if objective.reads == "age" else ""
            pause = f", but while `{objective.pauses_on}` is 1" if objective.pauses_on else ""
            return f"{what}`{objective.metric}` ≤ {objective.bound:g} {objective.unit}{pause}"
        case Never():
            return f"`{objective.metric}`; alert `{objective.alerted_by}`"


def _shown(metric: str, only: dict[str, str], without: dict[str, str]) -> str:
    labels = [f"{name}={value}" for name, value in only.items()]
    labels += [f"{name}≠{value}" for name, value in without.items()]
    # A bar would end the table's cell.
    text = ", ".join(labels).replace("|", " or ")
    return f"`{metric}`" + (f" ({text})" if text else "")


class _Plain(yaml.SafeDumper):
    """Writes what is there twice twice: Prometheus reads an alias, and people do not."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def rendered(objectives: tuple[Objective, ...]) -> str:
    """Return the whole file of rules."""
    return _HEAD + yaml.dump(
        {"groups": groups(objectives)}, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True
    )


def filled(page: str, objectives: tuple[Objective, ...]) -> str:
    """Return the page with the table in its place."""
    return PLACE.sub(lambda place: f"{place[1]}\n{table(objectives)}\n\n{place[2]}", page)


def main() -> None:
    """Write both."""
    objectives = read_objectives(OBJECTIVES)
    RULES.write_text(rendered(objectives))
    PAGE.write_text(filled(PAGE.read_text(), objectives))
    print(f"{RULES} and the objectives in {PAGE} are written")


if __name__ == "__main__":
    main()
