"""One supervisor per state directory: whoever holds the lock, and a clear word to whoever comes second."""

import fcntl
import json
import os
import sys
import time
from types import TracebackType
from typing import Self

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import PRIVATE_FILE, Layout

# ``tollgate status`` holds the lock for a moment to see whether anybody else does.
_TRIES = 4
_BETWEEN_TRIES_S = 0.03


class StateLock:
    """The kernel's lock on the state directory; it goes with its holder, however that dies."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._descriptor = -1

    def __enter__(self) -> Self:
        """Take the lock; raises ``ConsoleError`` naming the holder when it is taken."""
        self._descriptor = os.open(self._layout.lock_file, os.O_RDWR | os.O_CREAT, PRIVATE_FILE)
        if not self._take():
            holder = describe_holder(self._layout)
            os.close(self._descriptor)
            raise ConsoleError(
                ConsoleExit.ALREADY_RUNNING,
                f"{self._layout.root} is in use: {holder}\n"
                "wait until it has ended, or stop it (Ctrl-C in its terminal, or kill it by that pid), or use another "
                "--state-dir and --base-port",
            )
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, json.dumps({"pid": os.getpid(), "command": sys.argv}).encode())
        return self

    def _take(self) -> bool:
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_BETWEEN_TRIES_S)
            else:
                return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the lock back."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def is_held(layout: Layout) -> bool:
    """Tell whether a supervisor, or a command that must be alone, works on this state directory."""
    if not layout.lock_file.exists():
        return False
    descriptor = os.open(layout.lock_file, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def describe_holder(layout: Layout) -> str:
    """Return who holds this state directory, for a person."""
    try:
        holder = json.loads(layout.lock_file.read_text())
    except (OSError, ValueError):
        # It holds the lock and has not yet said who it is.
        return "a process that is just starting"
    return f"pid {holder['pid']}, {' '.join(holder['command'])}"
