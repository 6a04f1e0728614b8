"""``docs/strategy-authors.md``: its example works, and is as pure as it says that a core must be."""

import ast
import re
import types
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "strategy-authors.md"
CORE, TEST = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
PURE = {
    "collections",
    "dataclasses",
    "decimal",
    "enum",
    "hashlib",
    "json",
    "pydantic",
    "tollgate_contracts",
    "tollgate_domain",
    "typing",
}


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """Return what the blocks define, one after the other."""
    module = types.ModuleType("strategy_page")
    # Annotations are looked up in the module that a class names as its own.
    pytest.MonkeyPatch().setitem(__import__("sys").modules, module.__name__, module)
    for block in (CORE, TEST):
        exec(compile(block, str(PAGE), "exec"), module.__dict__)  # noqa: S102 - our own page
    return module.__dict__


async def test_the_page_passes_its_own_test(page: dict[str, Any], tmp_path: Path):
    """A dip is bought once; a process that starts again on the same tape writes nothing and knows the same."""
    await page["test_a_dip_is_bought_once_and_a_second_start_writes_nothing_anew"](tmp_path)


def test_the_core_of_the_page_imports_nothing_that_a_core_may_not():
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(CORE))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported <= PURE


def test_the_core_of_the_page_holds_no_float():
    assert not [
        node for node in ast.walk(ast.parse(CORE)) if isinstance(node, ast.Constant) and isinstance(node.value, float)
    ]
