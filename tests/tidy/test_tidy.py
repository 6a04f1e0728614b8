"""Our conventions, each as a test: style that is not checked does not last."""

import ast
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(path for top in ("libs", "services") for path in (ROOT / top).glob("*/src/**/*.py"))
PURE = {"core", "core.py", "tollgate_contracts", "tollgate_domain"}
CORES = [path for path in SOURCES if PURE & set(path.parts)]
SERVICES = ("marketdata", "strategy", "risk", "execution", "ledger")
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_no_function_is_longer_than_a_screen_and_no_file_than_its_purpose():
    long = [
        f"{name(path)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for path in SOURCES
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    long += [name(path) for path in SOURCES if path.read_text().count("\n") > FILE_LINES_MAX]
    assert long == []


def test_every_module_opens_with_what_it_is_for():
    assert [name(path) for path in SOURCES if not ast.get_docstring(tree(path))] == []


def test_every_public_function_and_class_says_what_it_does():
    bare = []
    for path in SOURCES:
        for node in tree(path).body:
            public = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_"
            if public and not ast.get_docstring(node):
                bare.append(f"{name(path)}:{node.lineno} {node.name}")
    assert bare == []


def test_no_float_in_a_core():
    """A literal with a point or a call of float() in a core is a bug in money or in determinism."""
    floats = []
    for path in CORES:
        for node in ast.walk(tree(path)):
            literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
            call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
            if literal or call:
                floats.append(f"{name(path)}:{node.lineno}")
    assert floats == []


def test_no_core_opens_prints_reads_the_environment_or_iterates_over_a_set():
    found = []
    for path in CORES:
        for node in ast.walk(tree(path)):
            called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            loops = isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Set | ast.SetComp)
            of_set = (
                isinstance(node, ast.For | ast.comprehension)
                and isinstance(node.iter, ast.Call)
                and isinstance(node.iter.func, ast.Name)
                and node.iter.func.id in {"set", "frozenset"}
            )
            if called in {"open", "print", "input", "hash", "id"} or loops or of_set:
                found.append(f"{name(path)}:{getattr(node, 'lineno', '?')}")
    assert found == []


def test_every_suppression_carries_its_reason():
    pattern = re.compile(r"#\s*(noqa|type: ignore|pragma)\b(?P<rest>.*)")
    bare = []
    for path in [*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))]:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            found = pattern.search(line)
            if found and " - " not in found["rest"] and "type: ignore[" not in line:
                bare.append(f"{name(path)}:{number}")
    assert bare == []


def test_no_exception_is_swallowed():
    swallowed = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                empty = all(isinstance(child, ast.Pass | ast.Continue) for child in node.body)
                if caught in {"everything", "Exception", "BaseException"} and empty:
                    swallowed.append(f"{name(path)}:{node.lineno}")
    assert swallowed == []


def test_no_stream_is_declared_by_a_service_and_no_broker_is_made_at_import():
    found = []
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called.endswith("JStream") and not any(
                keyword.arg == "declare" and ast.unparse(keyword.value) == "False" for keyword in node.keywords
            ):
                found.append(f"{name(path)}:{node.lineno}")
        for node in tree(path).body:
            made = ast.unparse(node.value) if isinstance(node, ast.Assign) else ""
            if re.match(r"(NatsBroker|FastStream|FastAPI|fast_stream_broker|create_pool)\(", made):
                found.append(f"{name(path)}:{node.lineno}")
    assert found == []


@pytest.mark.parametrize("service", SERVICES)
def test_the_same_rooms_bear_the_same_names_in_every_service(service: str):
    rooms = ROOT / "services" / service / "src" / f"tollgate_{service}"
    assert (rooms / "core.py").exists() or (rooms / "core" / "__init__.py").exists()
    for room in ("app.py", "settings.py", "__main__.py", "__init__.py"):
        assert (rooms / room).exists(), room


def test_import_linter_watches_every_package():
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = sorted(path.name for top in ("libs", "services") for path in (ROOT / top).glob("*/src/tollgate_*"))
    assert sorted(config["tool"]["importlinter"]["root_packages"]) == folders
    without_init = [
        name(folder)
        for top in ("libs", "services")
        for folder in (ROOT / top).glob("*/src/**/")
        if any(folder.glob("*.py")) and not (folder / "__init__.py").exists()
    ]
    assert without_init == []


@pytest.mark.parametrize("package", ["tollgate-strategy", "tollgate-risk", "tollgate-execution", "tollgate-ledger"])
def test_a_core_imports_where_no_io_library_is_installed(package: str):
    """The package without its shell extra: the chassis, the broker and the database are not even there."""
    module = package.replace("-", "_")
    script = (
        f"import importlib.util, {module}.core\n"
        "present = [n for n in ('tollgate_chassis', 'nats', 'asyncpg', 'fastapi') if importlib.util.find_spec(n)]\n"
        "assert not present, present"
    )
    uv = os.environ.get("UV", "uv")
    command = [uv, "run", "-q", "--isolated", "--exact", "--no-dev", "--package", package, "python", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
