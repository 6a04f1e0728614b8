"""Real servers for the console's tests: a broker, a database, and whole platforms with stand-in services."""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from tollgate_console.deployment import find_deployment
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import BrokerPlace, StreamSizes
from tollgate_console.provision.database import DATABASE_LOGINS, DatabasePlace
from tollgate_console.provision.keys import provision_secrets
from tollgate_console.provision.permissions import read_table
from tollgate_console.supervisor.broker_process import broker_spec
from tollgate_console.supervisor.child import Child
from tollgate_console.supervisor.events import Events
from tollgate_console.supervisor.postgres_process import postgres_spec, prepare

HERE = Path(__file__).parent
PATIENCE_S = 30.0
READY = "platform.ready"
MIB = 1_024 * 1_024
SIZES = StreamSizes(64 * MIB, 8 * MIB, 8 * MIB)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


_WORKERS = 8


@pytest.fixture
def base_port() -> int:
    """The first of nine ports that are free, below those that the kernel and tests of whole platforms give away.

    What one of pytest's workers finds free, another could take before it is used: each looks among its own.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    while True:
        base = 10_000 + 10 * (_WORKERS * secrets.randbelow(1_000 // _WORKERS) + worker)
        if all(_is_free(base + offset) for offset in range(10)):
            return base


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A state directory that only its owner may enter, as pytest's own are."""
    layout = Layout(tmp_path / "state")
    layout.prepare()
    return layout


@dataclass
class Running:
    """A broker or a database under the supervisor's own care."""

    child: Child
    place: Any
    layout: Layout


def _child(layout: Layout, spec: Any) -> Child:
    return Child(spec, Events(layout.log("supervisor")), lambda: None)


@pytest.fixture
async def broker(layout: Layout, base_port: int) -> Any:
    """A broker with the real permissions and no streams yet."""
    users = read_table(find_deployment() / "nats" / "permissions.toml", "main")
    provision_secrets(layout, tuple(user.name for user in users), DATABASE_LOGINS)
    place = BrokerPlace(base_port, base_port + 1, layout.broker_store)
    child = _child(layout, broker_spec(layout, "main", place, SIZES, users))
    await child.start()
    await until(lambda: not _is_free(base_port))
    yield Running(child, place, layout)
    await child.stop()


@pytest.fixture
async def database(layout: Layout, base_port: int) -> Any:
    """An empty database server."""
    provision_secrets(layout, (), DATABASE_LOGINS)
    place = DatabasePlace(base_port + 2)
    child = _child(layout, postgres_spec(layout, await asyncio.to_thread(prepare, layout), place))
    await child.start()
    await until(lambda: "ready to accept connections" in layout.log("postgres").read_text())
    yield Running(child, place, layout)
    await child.stop()


async def until(condition: Callable[[], bool | Awaitable[bool]], patience_s: float = PATIENCE_S) -> None:
    """Wait until ``condition`` holds; fails loudly when it never does."""
    give_up = time.monotonic() + patience_s
    while True:
        met = condition()
        if await met if isinstance(met, Awaitable) else met:
            return
        assert time.monotonic() < give_up, "it never came true"
        await asyncio.sleep(0.02)


@pytest.fixture(name="until")
def until_fixture() -> Callable[..., Awaitable[None]]:
    """``until``, for tests that import nothing from here."""
    return until


@dataclass
class StandinPlatform:
    """A platform in a process of its own."""

    state_dir: Path
    base_port: int
    processes: list["subprocess.Popen[str]"] = field(default_factory=list)

    def start(self, *, wait: bool = True) -> "subprocess.Popen[str]":
        """Start it, and wait until every service answers."""
        ready_before = self.said().count(READY)
        process = subprocess.Popen(  # noqa: S603 - the command is the test's own
            [sys.executable, str(HERE / "standin_platform.py"), str(self.state_dir), str(self.base_port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "TOLLGATE_CONSOLE__DISK_FLOOR_MIB": "1"},
        )
        self.processes.append(process)
        if wait:
            give_up = time.monotonic() + PATIENCE_S
            while self.said().count(READY) == ready_before:
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < give_up, self.said()
                time.sleep(0.02)
        return process

    def said(self) -> str:
        """What the supervisor has logged."""
        log = self.state_dir / "logs" / "supervisor.jsonl"
        return log.read_text() if log.exists() else ""

    def described(self) -> dict[str, Any]:
        """What the supervisor has written for ``tollgate status``."""
        content: dict[str, Any] = json.loads((self.state_dir / "platform.json").read_text())
        return content

    def pid_of(self, name: str) -> int | None:
        """The process id of a child while it runs."""
        pid: int | None = self.described()["processes"][name]["pid"]
        return pid

    def alive(self) -> list[psutil.Process]:
        """Every process that has to do with this state directory, the supervisor itself left out."""
        marks = (str(self.state_dir), str(self.base_port))
        found = []
        for process in psutil.process_iter():
            try:
                told = " ".join(process.cmdline()) + process.environ().get("TOLLGATE_STATE_DIR", "")
            except psutil.Error:
                continue
            mine = any(mark in told for mark in marks) and process.pid != os.getpid()
            if mine and process.status() != psutil.STATUS_ZOMBIE and "standin_platform" not in told:
                found.append(process)
        return found


@pytest.fixture
def platform(tmp_path: Path, base_port: int) -> Iterator[StandinPlatform]:
    """A platform that is not started yet; whatever the test leaves of it is ended."""
    platform = StandinPlatform(tmp_path / "state", base_port)
    yield platform
    for process in platform.processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_S)
