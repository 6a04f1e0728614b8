"""``docs/venue-adapters.md`` names every case of the conformance suite, and no other; and every failure."""

import re
from pathlib import Path

from tollgate_venues.conformance import CASES
from tollgate_venues.evidence import Failure

PAGE = (Path(__file__).parents[2] / "docs" / "venue-adapters.md").read_text()


def rows(header: str) -> list[list[str]]:
    """Return the cells of the rows of the table whose header begins so."""
    table = PAGE[PAGE.index(header) :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_page_lists_the_cases_of_the_suite() -> None:
    listed = [name for _, names in rows("| group |") for name in re.split(r" · ", names)]
    assert sorted(listed) == sorted(case.name for case in CASES)


def test_the_page_says_what_follows_from_every_failure() -> None:
    assert {row[0].strip("`") for row in rows("| `Failure` |")} == {failure.name for failure in Failure}
