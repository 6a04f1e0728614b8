"""The children of a supervisor that was killed: known by process id and start time, and ended before a new start."""

import json
import signal
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from tollgate_console.layout import Layout, write_json

# A process that has not ended by then is killed.
_PATIENCE_S = 5.0
# The kernel counts start times in hundredths of a second.
_SAME_START_S = 0.02


@dataclass(frozen=True, slots=True)
class Running:
    """A process that the supervisor has started."""

    name: str
    pid: int
    started_s: float
    stop_signal: int


def started_s(pid: int) -> float:
    """Return when a process was started, in seconds since the epoch; 0 when it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def remember(layout: Layout, running: Iterable[Running]) -> None:
    """Write down who runs, before anything else can go wrong."""
    content = [
        {"name": one.name, "pid": one.pid, "started_s": one.started_s, "stop_signal": one.stop_signal}
        for one in running
    ]
    write_json(layout.processes_file, content)


def end_leftovers(layout: Layout) -> list[str]:
    """End what an earlier supervisor has left, and return the names; a process id used anew is left alone."""
    if not layout.processes_file.exists():
        return []
    left = [
        (one, process)
        for one in (Running(**entry) for entry in json.loads(layout.processes_file.read_text()))
        if (process := _find(one)) is not None
    ]
    for one, process in left:
        _send(process, signal.Signals(one.stop_signal))
    _, alive = psutil.wait_procs([process for _, process in left], timeout=_PATIENCE_S)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=_PATIENCE_S)
    layout.processes_file.unlink()
    return [one.name for one, _ in left]


def _find(one: Running) -> psutil.Process | None:
    try:
        process = psutil.Process(one.pid)
        same = abs(process.create_time() - one.started_s) < _SAME_START_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
