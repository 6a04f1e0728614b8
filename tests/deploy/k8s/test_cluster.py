"""Three real servers with the exported configuration: the tape has three copies and goes on when a server is lost."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import free_base_port
from tests.deploy.k8s.exported import DESK, make
from tollgate_chassis.durability import check_durability
from tollgate_chassis.tape.nats import NatsTape
from tollgate_console.exits import ConsoleError
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import PROVISIONER, StreamSizes, provision_streams
from tollgate_console.provision.keys import NATS_SEED

SERVER = Path(sys.executable).with_name("nats-server")
SERVERS = 3
_MIB = 1024**2
SIZES = StreamSizes(8 * _MIB, 4 * _MIB, 2 * _MIB)
_PATIENCE_S = 30
_AGAIN_S = 0.2


@dataclass(frozen=True)
class Cluster:
    """The servers that run, and where their clients' keys lie."""

    servers: list[subprocess.Popen[bytes]]
    urls: list[str]
    layout: Layout

    def seed_file(self, user: str) -> Path:
        """Return where a user's key lies."""
        return self.layout.secrets(user) / NATS_SEED


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Start the servers; all on this host, where they differ by ports as pods do by addresses."""
    base = free_base_port()
    layout = make(tmp_path / "desk", SIZES, tuple(f"nats-{number}.nats-cluster" for number in range(SERVERS)))
    text = layout.broker_config.read_text()
    for number in range(SERVERS):
        text = text.replace(f"nats-{number}.nats-cluster:6222", f"127.0.0.1:{base + number}")
    servers = []
    for number in range(SERVERS):
        config = json.loads(text)
        config |= {"host": "127.0.0.1", "port": base + SERVERS + number, "http": f"127.0.0.1:{base + 6 + number}"}
        config["cluster"]["listen"] = f"127.0.0.1:{base + number}"
        config["jetstream"]["store_dir"] = str(tmp_path / f"data-{number}")
        file = tmp_path / f"nats-{number}.json"
        file.write_text(json.dumps(config))
        command = [SERVER, "--config", file, "--server_name", f"nats-{number}", "--log", tmp_path / f"{number}.log"]
        servers.append(subprocess.Popen(command))
    yield Cluster(servers, [f"nats://127.0.0.1:{base + SERVERS + number}" for number in range(SERVERS)], layout)
    for server in servers:
        server.kill()
        server.wait()


async def provision(running: Cluster) -> None:
    """Make the streams once the servers have found each other."""
    seed = running.seed_file(PROVISIONER).read_text().strip()
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return await provision_streams(running.urls[0], seed, DESK, SIZES, SERVERS)
        except ConsoleError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_AGAIN_S)


async def test_the_tape_has_three_copies_and_goes_on_when_a_server_is_lost(cluster: Cluster):
    await provision(cluster)
    tape = await NatsTape.connect(cluster.urls[0], cluster.seed_file("risk"), DESK, "risk")
    description = await tape.describe()
    check_durability(description, DESK)
    assert description["config"]["num_replicas"] == SERVERS
    last = await tape.append(f"tape.{DESK}.risk.mode", b"before", "risk:1:0", 0)
    leader = int(description["cluster"]["leader"].removeprefix("nats-"))
    cluster.servers[leader].kill()
    with_majority = cluster.urls[(leader + 1) % SERVERS]
    assert await append_at_last(with_majority, cluster, last) == last + 1


async def append_at_last(url: str, running: Cluster, last: int) -> int:
    """Append once there is a new leader, and return the sequence."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        tape = await NatsTape.connect(url, running.seed_file("risk"), DESK, "risk")
        try:
            return await tape.append(f"tape.{DESK}.risk.mode", b"after", "risk:2:0", last)
        except Exception:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_AGAIN_S)
        finally:
            await tape.close()


APPENDS = 200


async def test_a_writer_is_told_its_last_word_whichever_server_it_talks_to(cluster: Cluster):
    """By a direct get one answer in twenty would not have it yet: any copy may answer that."""
    await provision(cluster)
    tapes = [await NatsTape.connect(url, cluster.seed_file("risk"), DESK, "risk") for url in cluster.urls]
    last = 0
    for number in range(APPENDS):
        writer, asker = tapes[number % SERVERS], tapes[(number + 1) % SERVERS]
        last = await writer.append(f"tape.{DESK}.risk.mode", b"content", f"risk:{number}:0", last)
        assert await asker.last_of(f"tape.{DESK}.risk") == last
    for tape in tapes:
        await tape.close()
