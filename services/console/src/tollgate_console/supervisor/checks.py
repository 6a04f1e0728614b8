"""What is looked at before anything starts; each refusal says what is wrong and what to do."""

import shutil
import socket

import psutil

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import LAYOUT_VERSION, Layout, write_private

_MIB = 1_024 * 1_024


def check_layout(layout: Layout) -> None:
    """Refuse a state directory that another version of Tollgate made; mark a new one as ours."""
    if not layout.version_file.exists():
        write_private(layout.version_file, f"{LAYOUT_VERSION}\n")
        return
    found = layout.version_file.read_text().strip()
    if found != str(LAYOUT_VERSION):
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION,
            f"{layout.root} has layout version {found[:20]!r}, this Tollgate reads version {LAYOUT_VERSION}; "
            "use the Tollgate that made it, or another --state-dir",
        )


def check_disk(layout: Layout, floor_mib: int) -> None:
    """Refuse to start when less than ``floor_mib`` is free where the state lies."""
    free_mib = shutil.disk_usage(layout.root).free // _MIB
    if free_mib < floor_mib:
        raise ConsoleError(
            ConsoleExit.TEMPORARY,
            f"only {free_mib} MiB are free at {layout.root.resolve()}, at least {floor_mib} MiB are wanted; free some, "
            "use another --state-dir, or lower console.disk_floor_mib",
        )


def check_ports(host: str, ports: dict[str, int]) -> None:
    """Refuse ports that are taken, or named twice; every one at once, each with its holder."""
    taken = [f"  port {port} ({name}): {_holder(port)}" for name, port in ports.items() if not _is_free(host, port)]
    users: dict[int, list[str]] = {}
    for name, port in ports.items():
        users.setdefault(port, []).append(name)
    taken += [f"  port {port}: wanted by {' and '.join(names)}" for port, names in users.items() if len(names) > 1]
    if taken:
        raise ConsoleError(
            ConsoleExit.TEMPORARY,
            "these ports cannot be used:\n"
            + "\n".join(taken)
            + "\nstop what listens there, or choose others with --base-port",
        )


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        # A connection that ended a minute ago does not keep a listener from the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _holder(port: int) -> str:
    try:
        listening = [
            entry.pid
            for entry in psutil.net_connections("tcp")
            if entry.status == psutil.CONN_LISTEN and entry.laddr and entry.laddr.port == port and entry.pid
        ]
        if listening:
            process = psutil.Process(listening[0])
            return f"taken by pid {process.pid}, {' '.join(process.cmdline())[:200]}"
    except psutil.Error:
        # Whose it is may be hidden from us; that it is taken is not.
        return "taken by a process that may not be looked at"
    return "taken by a process of another user, or not allowed here"
