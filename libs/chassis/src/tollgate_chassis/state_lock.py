"""One process to a state directory: two that shared one would overwrite each other's snapshots and latches."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tollgate_chassis.exits import BadConfiguration

_FILE = "lock"
_WORDS_MAX = 200


@contextmanager
def state_lock(state_dir: Path, service: str) -> Iterator[None]:
    """Hold the directory; raises ``BadConfiguration`` naming the holder when another process has it.

    The kernel lets go of it with the process, however that ends, so that there is never a stale one to remove.
    """
    descriptor = os.open(state_dir / _FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, _WORDS_MAX, 0).decode(errors="replace").strip() or "another process"
            raise BadConfiguration(
                f"{holder} runs with the state directory {state_dir.resolve()}; end it first, or give this one a "
                "directory of its own by TOLLGATE_STATE_DIR, and it stands by"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"another {service}, pid {os.getpid()},".encode(), 0)
        yield
    finally:
        os.close(descriptor)
