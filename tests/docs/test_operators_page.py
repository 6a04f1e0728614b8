"""``docs/operators.md``: its commands work, and it names every metric, log event, exit code and state."""

import ast
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import BUSY, ROOT, SERVICES, TOLLGATE, Platform
from tests.docs.generate_metrics import PAGE, filled
from tollgate_chassis.exits import Exit
from tollgate_console.exits import ConsoleExit
from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.risk import TradingMode

TEXT = PAGE.read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
SOURCES = sorted(ROOT.glob("*/*/src/**/*.py"))
EVENT = re.compile(r"[a-z_]+(\.[a-z_]+)+")
TELLS = {"debug", "info", "warning", "error", "say", "_say"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform for all blocks, with some trading to show."""
    running = Platform(tmp_path_factory.mktemp("page") / "desk", BUSY)
    try:
        running.start()
        running.wait_until(lambda: running.fills() >= 1, "a fill", 60)
        yield running
    finally:
        if running.process is not None and running.process.poll() is None:
            running.stop()


@pytest.mark.platform
def test_every_command_of_the_page_works(desk: Platform):
    """Each block is run as it stands, after the one with the variables; every line of it must succeed."""
    where = {service.upper(): desk.url(service) for service in SERVICES}
    environment = {
        **os.environ,
        **where,
        "STATE": str(desk.state),
        "RUN": str(desk.state.parent / "run.jsonl.gz"),
        "PATH": f"{TOLLGATE.parent}:{os.environ['PATH']}",
    }
    variables, *blocks = BLOCKS
    failed = []
    for block in blocks:
        command = ["bash", "-euo", "pipefail", "-c", variables + block]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode != 0:
            failed.append(f"{block}\nended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    assert not failed, "\n\n".join(failed)
    assert len(blocks) > 5


def test_the_metrics_are_those_of_the_registry():
    assert filled(TEXT) == TEXT, "stale: uv run python -m tests.docs.generate_metrics"


def events(path: Path) -> Iterator[str]:
    """Yield the names of the events that a module logs."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TELLS:
            for constant in [one for argument in node.args[:2] for one in ast.walk(argument)]:
                if isinstance(constant, ast.Constant) and EVENT.fullmatch(str(constant.value)):
                    yield constant.value


def test_every_event_that_is_logged_is_named():
    logged = {event for path in SOURCES for event in events(path)}
    assert len(logged) > 30
    assert sorted(event for event in logged if f"`{event}`" not in TEXT) == []


@pytest.mark.parametrize("words", [FeedState, TradingMode, OrderState])
def test_every_state_is_explained(words):
    assert [word.value for word in words if f"`{word.value}`" not in TEXT] == []


@pytest.mark.parametrize("codes", [Exit, ConsoleExit])
def test_every_exit_code_is_explained(codes):
    assert [code.value for code in codes if f"| {code.value} |" not in TEXT] == []
