"""One process of the platform: started, watched, started again when it falls, and stopped for good."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from time import monotonic

from tollgate_chassis.exits import Exit
from tollgate_console.supervisor.events import Events
from tollgate_console.supervisor.identity import AS_WE_ARE, RunAs, before_exec
from tollgate_console.supervisor.leftovers import Running, started_s

# The first restart is quick, because most falls are a lost connection; then it doubles up to the last.
BACKOFF_FIRST_S = 0.1
BACKOFF_LAST_S = 5.0
# Who has lived this long has recovered, and its next fall is a first one.
HEALTHY_AFTER_S = 10.0
_REASON_LINES = 12
_REASON_BYTES = 8_192
# Endings after which starting again changes nothing.
FINAL_EXITS = {Exit.BAD_CONFIGURATION: "bad configuration", Exit.HALT: "halted, and wants a person to look"}


class ChildState(StrEnum):
    """Where a process stands."""

    NEW = "new"
    RUNNING = "running"
    WAITING = "waiting"
    """It fell and will be started again in a moment."""
    ENDED = "ended"
    """It ended in a way that starting again would not change."""
    STOPPED = "stopped"
    """It was told to stop."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """What to run, and how to end it."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    """Where it runs; where the supervisor runs when none is given."""
    run_as: RunAs = AS_WE_ARE
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """What the kernel sends when the supervisor itself is killed."""
    stop_s: float = 8.0
    """How long it may take to stop before it is killed."""


class Child:
    """Keeps one process running until told to stop, or until it says that a restart is useless."""

    def __init__(self, spec: ProcessSpec, events: Events, changed: Callable[[], None]) -> None:
        self.spec = spec
        self.state = ChildState.NEW
        self.restarts = 0
        self.reason = ""
        """The last lines of its log, after it fell."""
        self.exit_code: int | None = None
        self._events = events
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._started_s = 0.0
        self._log_start = 0
        self._stopping = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def running(self) -> Running | None:
        """Who it is while it runs."""
        if self._process is None or self.state is not ChildState.RUNNING:
            return None
        return Running(self.spec.name, self._process.pid, self._started_s, int(self.spec.stop_signal))

    async def start(self) -> None:
        """Start the process and keep it running in the background."""
        await self._spawn()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep-{self.spec.name}")

    async def _spawn(self) -> None:
        spec = self.spec
        with spec.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *spec.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=spec.environment,
                cwd=spec.directory,
                start_new_session=True,
                preexec_fn=before_exec(spec.run_as, spec.death_signal),
            )
        self._started_s = started_s(self._process.pid)
        self._set(ChildState.RUNNING)
        self._events.say(spec.name, "process.start", f"pid {self._process.pid}")

    async def _keep(self) -> None:
        delay_s = BACKOFF_FIRST_S
        while True:
            since = monotonic()
            await self._wait()
            if self._stopping.is_set():
                self._set(ChildState.STOPPED)
                return
            if self.exit_code in FINAL_EXITS:
                self._set(ChildState.ENDED)
                self._events.say(
                    self.spec.name, "process.end", f"{FINAL_EXITS[Exit(self.exit_code)]}: {self.reason}", "error"
                )
                return
            delay_s = BACKOFF_FIRST_S if monotonic() - since >= HEALTHY_AFTER_S else delay_s
            self._set(ChildState.WAITING)
            self._events.say(
                self.spec.name, "process.fall", f"{describe_exit(self.exit_code)}, again in {delay_s:.1f} s", "warning"
            )
            if await self._told_to_stop_within(delay_s):
                self._set(ChildState.STOPPED)
                return
            delay_s = min(delay_s * 2, BACKOFF_LAST_S)
            self.restarts += 1
            await self._spawn()

    async def _wait(self) -> None:
        if self._process is None:
            raise AssertionError(f"{self.spec.name} is waited for and was never started")
        self.exit_code = await self._process.wait()
        # Whatever it has started itself goes with it.
        self._signal_group(signal.SIGKILL)
        if not self._stopping.is_set():
            self.reason = self.last_lines()

    async def _told_to_stop_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Ask it to stop, wait its time, then kill it; returns when nothing of it runs."""
        self._stopping.set()
        if self._keeper is None:
            return
        if self.state is ChildState.RUNNING:
            self._signal_group(self.spec.stop_signal)
        done, _ = await asyncio.wait({self._keeper}, timeout=self.spec.stop_s)
        if not done:
            self._events.say(self.spec.name, "process.kill", f"did not stop in {self.spec.stop_s:g} s", "warning")
            self._signal_group(signal.SIGKILL)
        await self._keeper

    def _signal_group(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def last_lines(self) -> str:
        """Return the end of what the process has written since it was last started."""
        if not self.spec.log.exists():
            return ""
        with self.spec.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            # A log that was begun anew in the meantime is shorter than where we started.
            start = self._log_start if self._log_start <= size else 0
            log.seek(max(start, size - _REASON_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-_REASON_LINES:])

    def _set(self, state: ChildState) -> None:
        self.state = state
        self._changed()


def describe_exit(code: int | None) -> str:
    """Say in words how a process ended."""
    if code is None:
        return "has not ended"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    known = {Exit.RESTART: "doubts its connections", Exit.STOPPED: "stopped by itself"}
    return f"ended with {code}" + (f" ({known[Exit(code)]})" if code in known else "")
