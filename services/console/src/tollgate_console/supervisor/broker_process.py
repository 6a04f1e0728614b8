"""Starting the NATS server from its wheel."""

import shutil
import signal
import sys
from pathlib import Path

from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout, write_private
from tollgate_console.provision.broker import BrokerPlace, StreamSizes, render_config
from tollgate_console.provision.keys import broker_public_key
from tollgate_console.provision.permissions import User, render_accounts
from tollgate_console.supervisor.child import ProcessSpec


def find_server() -> str:
    """Return the path of ``nats-server``: beside this Python, where the wheel puts it, else on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if found is None:
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION, "nats-server was not found; run `make install`, which gets it as a wheel"
        )
    return found


def broker_spec(
    layout: Layout, desk: str, place: BrokerPlace, sizes: StreamSizes, users: tuple[User, ...]
) -> ProcessSpec:
    """Write the server's configuration and return how to run it."""
    keys = {user.name: broker_public_key(layout, user.name) for user in users}
    write_private(layout.broker_config, render_config(desk, place, sizes, render_accounts(users, keys)))
    return ProcessSpec(
        name="nats",
        command=(find_server(), "--config", str(layout.broker_config.resolve())),
        log=layout.log("nats"),
        # Killed with us it loses nothing; ended in order it is also quicker to start again.
        death_signal=signal.SIGTERM,
    )
