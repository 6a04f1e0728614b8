"""``docs/configuration.md`` says what the settings classes say."""

from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from tests.docs.generate_configuration import PAGE, MissingMeaning, keys_of, render


def test_the_page_is_what_the_settings_say():
    """A key that was added, changed or explained anew is on the page once it was generated anew."""
    assert PAGE.read_text() == render(), "stale: uv run python -m tests.docs.generate_configuration"


class Nested(BaseModel):
    depth: Annotated[int, Field(ge=1, lt=9)] = 3
    """How deep."""


class Explained(BaseModel):
    name: str
    """What it is
    called."""
    nested: Nested = Nested(depth=5)


class Unexplained(BaseModel):
    name: str


def test_a_key_has_its_bounds_its_default_and_its_variable():
    """The default of a nested key is that of the section that holds it."""
    rows = [key.row(("key", "type", "default", "variable", "meaning"), 1) for key in keys_of(Explained, ("top",))]
    assert rows == [
        "| `name` | text | required | `TOLLGATE_TOP__NAME` | What it is called. |",
        "| `nested.depth` | whole number, ≥ 1, < 9 | `5` | `TOLLGATE_TOP__NESTED__DEPTH` | How deep. |",
    ]


def test_a_key_that_nobody_explains_stops_the_generator():
    with pytest.raises(MissingMeaning, match=r"Unexplained\.name"):
        list(keys_of(Unexplained))
