"""What was published stays as it was."""

import copy
import json
from typing import Any

import pytest

from tollgate_chassis.publish_contracts import (
    DOCS,
    SCHEMAS,
    asyncapi_document,
    published_models,
    reasons_page,
    schema_of,
)
from tollgate_contracts.compatibility import breaking_changes
from tollgate_contracts.reasons import Reason


@pytest.mark.parametrize("name", published_models())
def test_a_published_schema_keeps_its_rules(name: str):
    published = json.loads((SCHEMAS / f"{name}.json").read_text())
    assert breaking_changes(published, schema_of(published_models()[name])) == []


def test_every_committed_schema_belongs_to_a_message():
    assert sorted(path.stem for path in SCHEMAS.glob("*.json")) == sorted(published_models())


def test_the_generated_documents_are_those_of_this_code():
    assert json.loads((DOCS / "asyncapi.json").read_text()) == asyncapi_document()
    assert (DOCS / "reasons.md").read_text() == reasons_page()


def test_every_reason_is_documented_with_a_sentence():
    page = reasons_page()
    for reason in Reason:
        line = next(line for line in page.splitlines() if f"`{reason}`" in line)
        assert line.rstrip(" |").endswith(".")


def _without(schema: dict[str, Any], *path: str) -> dict[str, Any]:
    changed = copy.deepcopy(schema)
    place = changed
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return changed


def test_each_kind_of_breaking_change_is_found_and_words_are_not_one():
    intent = json.loads((SCHEMAS / "intent.v3.json").read_text())
    added = copy.deepcopy(intent)
    added["properties"]["leverage"] = {"type": "integer"}
    loosened = copy.deepcopy(intent)
    loosened["properties"]["post_only"]["type"] = "string"
    words = copy.deepcopy(intent)
    words["description"] = "Other words."
    assert breaking_changes(intent, _without(intent, "properties", "symbol")) == ["$.properties.symbol: removed"]
    assert breaking_changes(intent, _without(intent, "$defs", "Side"))
    assert breaking_changes(intent, added) == ["$.properties.leverage: added"]
    assert breaking_changes(intent, loosened) == ["$.properties.post_only.type: was 'boolean', is 'string'"]
    assert breaking_changes(intent, words) == []
