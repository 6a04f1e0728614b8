"""Write the tables of gates and of conditions in ``docs/risk.md`` from the code.

Run it with ``uv run python -m tests.docs.generate_gates``.
"""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

from tests.docs.generate_configuration import docstrings
from tollgate_contracts.reasons import Reason
from tollgate_risk.core.case import Gate
from tollgate_risk.core.conditions import WATCHES
from tollgate_risk.core.gates import SUBMIT_GATES
from tollgate_risk.core.policy import ConditionRules

PAGE = Path(__file__).parents[2] / "docs" / "risk.md"
_REASON = re.compile(r"Reason\.([A-Z_]+)")


def reason_of(gate: Gate) -> Reason:
    """Return the one reason that a gate can give, as its source names it."""
    (name,) = set(_REASON.findall(inspect.getsource(gate)))
    return Reason[name]


def meaning_of(gate: Gate) -> str:
    """Return the first paragraph of a gate's docstring, on one line."""
    return " ".join((inspect.getdoc(gate) or "").partition("\n\n")[0].split())


def gates() -> str:
    """Return every gate, in the order in which they stand."""
    lines = ["| | reason | rule |", "|---|---|---|"]
    for number, gate in enumerate(SUBMIT_GATES, 1):
        lines.append(f"| {number} | `{reason_of(gate)}` | {meaning_of(gate)} |")
    return "\n".join(lines)


def conditions() -> str:
    """Return every condition that moves the mode, with what it counts and how it alerts."""
    meanings = docstrings(ConditionRules)
    lines = ["| condition | counts | unit | alert |", "|---|---|---|---|"]
    for watch in WATCHES:
        name = watch.condition.value
        lines.append(f"| `{name}` | {meanings[name]} | {watch.unit} | `{watch.alert}` |")
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {"gates": gates, "conditions": conditions}


def filled(page: str) -> str:
    """Return the page with each table in its place."""
    for name, table in TABLES.items():
        place = re.compile(rf"(<!-- {name}: generated[^\n]*-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        page = place.sub(lambda found, table=table: f"{found[1]}\n{table()}\n\n{found[2]}", page)
    return page


def main() -> None:
    """Write the tables."""
    PAGE.write_text(filled(PAGE.read_text()))
    print(f"the tables in {PAGE} are written")


if __name__ == "__main__":
    main()
