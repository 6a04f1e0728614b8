"""As whom a process runs. PostgreSQL refuses to run as root, so root must make it think otherwise.

The robust way is a user namespace: inside it the process has an unprivileged user's id, outside it is still root, so
every directory that root may enter stays open to it, whatever its mode. Where namespaces are forbidden, as in many
containers, the process becomes a real unprivileged user, and what it needs must lie where that user can go.
"""

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

# Users that practically every system has; initdb wants its user to be known by name.
_UNPRIVILEGED = ("postgres", "nobody", "daemon")
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1
_LINUX = sys.platform == "linux"


class Way(StrEnum):
    """How a process gets its identity."""

    SELF = "self"
    """It runs as whoever started the platform."""
    NAMESPACE = "namespace"
    """It sees an unprivileged id and is, outside its namespace, still root."""
    USER = "user"
    """It is an unprivileged user."""


@dataclass(frozen=True, slots=True)
class RunAs:
    """An identity to run as; ``uid`` and ``gid`` mean nothing for ``Way.SELF``."""

    way: Way = Way.SELF
    uid: int = -1
    gid: int = -1


AS_WE_ARE = RunAs()


def unprivileged(probe: tuple[str, ...]) -> RunAs:
    """Return how to run a program that refuses to be root; ``probe`` is a harmless command to try it with."""
    if os.geteuid() != 0:
        return AS_WE_ARE
    user = next((entry for entry in map(_known_user, _UNPRIVILEGED) if entry is not None), None)
    if user is None:
        raise LookupError(f"none of the users {', '.join(_UNPRIVILEGED)} exists here; start as another user than root")
    namespace = RunAs(Way.NAMESPACE, user.pw_uid, user.pw_gid)
    return namespace if _works(namespace, probe) else RunAs(Way.USER, user.pw_uid, user.pw_gid)


def _known_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _works(run_as: RunAs, probe: tuple[str, ...]) -> bool:
    if not _LINUX:
        return False
    try:
        subprocess.run(  # noqa: S603 - the command is our own
            probe, preexec_fn=before_exec(run_as), check=True, capture_output=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def before_exec(run_as: RunAs, death_signal: signal.Signals | None = None) -> Callable[[], None]:
    """Return what a forked child does before it becomes the program.

    It takes on ``run_as``, and asks the kernel for ``death_signal`` when its parent dies, however that happens.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()
    uid, gid = os.geteuid(), os.getegid()

    def prepare() -> None:
        if run_as.way is Way.USER:
            os.setgroups([])
            os.setgid(run_as.gid)
            os.setuid(run_as.uid)
        elif run_as.way is Way.NAMESPACE:
            if libc.unshare(_CLONE_NEWUSER) != 0:
                raise OSError(ctypes.get_errno(), "no user namespace")
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{run_as.uid} {uid} 1")
            Path("/proc/self/gid_map").write_text(f"{run_as.gid} {gid} 1")
        # Last, because a change of identity forgets it.
        if death_signal is not None and _LINUX:
            libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGKILL)

    return prepare


def may_enter(path: Path, run_as: RunAs) -> bool:
    """Tell whether a real other user can reach ``path``: every directory above it must let strangers through."""
    if run_as.way is not Way.USER:
        return True
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)
