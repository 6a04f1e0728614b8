"""The runbook's procedures as an operator follows them: read off the page, and typed into a shell one by one."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psutil

from tests.conftest import BUSY, ROOT, SERVICES, TOLLGATE, Platform
from tollgate_console.settings import load_settings

RUNBOOK = "\n" + (ROOT / "docs" / "runbook.md").read_text()
OPERATORS = (ROOT / "docs" / "operators.md").read_text()
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What takes seconds on a quiet machine may take many on one that runs other things.
PATIENCE_S = 60
# A block may stop and start a platform, and restore its books in between.
BLOCK_S = 240
_LOOK_EVERY_S = 0.05
_OWN_PORTS = {"nats": "NATS_PORT", "nats-monitor": "NATS_MONITOR_PORT", "postgres": "POSTGRES_PORT"}


def blocks(heading: str) -> list[str]:
    """Return the commands under a heading of the runbook, block by block; those of its subheadings are theirs."""
    _, found, rest = RUNBOOK.partition(f"\n{heading}\n")
    assert found, f"the runbook has no {heading!r}"
    return BLOCK.findall(re.split(r"^#{2,3} ", rest, maxsplit=1, flags=re.MULTILINE)[0])


class Desk(Platform):
    """A desk whose ports are in its environment, so that commands need no option that the page does not have.

    It is started and stopped by what the page says, and so lives in a background of its own.
    """

    def __init__(self, directory: Path, environment: dict[str, str], policy: dict[str, object]) -> None:
        super().__init__(directory / "desk", BUSY | environment, policy=policy)
        self.directory = directory
        self.environment |= {_port_variable(name): str(port) for name, port in self._ports().items()}
        self.output.touch()
        self._terminals = count(1)

    def _ports(self) -> dict[str, int]:
        return load_settings(None, self.base_port).all_ports()

    def variables(self) -> dict[str, str]:
        """Return what an operator of this desk would have in the environment."""
        ports = self._ports()
        doors = {name.upper(): f"http://127.0.0.1:{ports[name]}" for name in (*SERVICES, "simvenue")}
        places = {"STATE": str(self.state), "BACKUPS": str(self.directory / "backups")}
        return {**self.environment, **doors, **places, "PATH": f"{TOLLGATE.parent}:{os.environ['PATH']}"}

    def terminal(self, **variables: str) -> "Terminal":
        """Open a shell with the variables of both pages in it."""
        output = self.directory / f"terminal-{next(self._terminals)}.out"
        return Terminal(self, output, self.variables() | variables)

    def end(self) -> None:
        """End the platform, whatever state it is in."""
        if not (self.state / "platform.json").exists() or not psutil.pid_exists(self.place()["pid"]):
            return
        supervisor = psutil.Process(self.place()["pid"])
        supervisor.terminate()
        try:
            supervisor.wait(PATIENCE_S)
        except psutil.TimeoutExpired:
            # Its children die with it.
            supervisor.kill()
            raise


def _port_variable(name: str) -> str:
    own = _OWN_PORTS.get(name)
    return f"TOLLGATE_PORTS__{name.upper()}" if own is None else f"TOLLGATE_CONSOLE__{own}"


class Terminal:
    """A shell that remembers its variables from block to block, and gives up at the first line that fails."""

    def __init__(self, desk: Desk, output: Path, environment: dict[str, str]) -> None:
        self._desk = desk
        self._output = output
        with output.open("wb") as file:
            self._bash = subprocess.Popen(
                ["bash", "-euo", "pipefail"],
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=environment,
                text=True,
            )
        self._typed = count(1)
        variables, helpers = BLOCK.findall(OPERATORS)[0], blocks("# Runbook")[0]
        self.type(variables + helpers)

    def type(self, *typed: str) -> str:
        """Type blocks one after the other and wait for each; return what the last one has printed.

        Fails with the block, its output and the platform's when a line of it fails.
        """
        before = 0
        for block in typed:
            before = self._output.stat().st_size
            self._type(block)
        return self._output.read_bytes()[before:].decode()

    def _type(self, block: str) -> None:
        done = self._output.with_suffix(f".{next(self._typed)}")
        assert self._bash.stdin is not None
        try:
            self._bash.stdin.write(f"{block}\n: > {done}\n")
            self._bash.stdin.flush()
        except BrokenPipeError:
            self._fail(block)
        deadline = time.monotonic() + BLOCK_S
        while not done.exists():
            if self._bash.poll() is not None or time.monotonic() > deadline:
                self._fail(block)
            time.sleep(_LOOK_EVERY_S)

    def _fail(self, block: str) -> None:
        code = self._bash.poll()
        what = f"did not end within {BLOCK_S} s" if code is None else f"ended with {code}"
        said = self._output.read_text()[-3_000:]
        raise AssertionError(f"{block}\n{what}:\n{said}\n{self._desk.tail()}")

    def close(self) -> None:
        """Leave the shell; what it has started in the background goes on."""
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.kill()
        self._bash.wait(PATIENCE_S)


@contextmanager
def operator_of(desk: Desk, **variables: str) -> Iterator[Terminal]:
    """Sit down at a desk's machine, with more ``variables`` in the environment."""
    operator = desk.terminal(**variables)
    try:
        yield operator
    finally:
        operator.close()


@contextmanager
def frozen(desk: Desk, name: str) -> Iterator[None]:
    """Stop a process in its tracks, and let it go on if it is still there afterwards."""
    pid = desk.pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        # The page may have ended it, which the supervisor notes a moment later.
        if desk.pid_or_none(name) == pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def trades(desk: Desk, more: int = 2) -> None:
    """Wait until everybody is well and so many fills have come."""
    fills = desk.fills()
    desk.wait_until(lambda: desk.all_live() and desk.fills() >= fills + more, "it trades", PATIENCE_S)


def permits(desk: Desk) -> bool:
    """Say whether execution holds a permit; one that does not answer holds none."""
    return (desk.status("execution").get("permit") or {}).get("epoch") is not None
