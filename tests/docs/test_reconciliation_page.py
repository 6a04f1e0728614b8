"""``docs/reconciliation.md`` says of every class of difference what it is and what is done about it."""

import re
from pathlib import Path

from tollgate_contracts.reconciliation import Difference, Repair

PAGE = (Path(__file__).parents[2] / "docs" / "reconciliation.md").read_text()
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE[PAGE.index("| class |") :].split("\n\n")[0].splitlines()[2:]
]


def test_the_page_lists_every_class_of_difference() -> None:
    assert {name for row in ROWS for name in row[0].split(", ")} == {each.value for each in Difference}


def test_what_is_done_is_a_repair_by_its_name() -> None:
    for what, _, done in ROWS:
        named = re.match(r"[A-Z]+\b", done)
        assert (named and named.group(0)) in ({None} if not done else {each.value for each in Repair}), what
