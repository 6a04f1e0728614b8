"""A real broker for the tests of what the chassis does with it."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


class Broker:
    """A real server without accounts: what is tested here is the tape, not the permissions."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        config = directory / "nats.conf"
        store = f'jetstream {{ store_dir: "{directory}/js", sync_interval: always }}'
        config.write_text(f'listen: "127.0.0.1:-1"\n{store}\n')
        server = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        assert server is not None
        self.process = subprocess.Popen(  # noqa: S603 - the server from our own environment
            [server, "-c", config, "--ports_file_dir", directory], stderr=subprocess.DEVNULL
        )
        ports = directory / f"nats-server_{self.process.pid}.ports"
        while not ports.exists() or not ports.read_text().strip():
            assert self.process.poll() is None
        self.url: str = json.loads(ports.read_text())["nats"][0]

    def kill(self) -> None:
        """Kill it without warning."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.kill()
