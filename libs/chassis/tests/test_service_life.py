"""A service's process ends with the code that says why, whatever fails on its way out."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import nats
import pytest
from nats.js.api import DiscardPolicy, RePublish, StreamConfig

SERVICE = """
from tollgate_chassis.service import Parts, run_service
from tollgate_chassis.settings import DeskSettings
from tollgate_chassis.shell import Shell
from tollgate_contracts.core import NOTHING

class Core:
    def step(self, sequence, message): return NOTHING
    def snapshot(self): return {}
    def restore(self, state): pass

class FailingOnTheWayOut(Shell):
    async def stop(self): raise ConnectionError("the other connection is gone too")

run_service("ledger", DeskSettings, lambda settings: Parts(Core(), FailingOnTheWayOut()))
"""


def start_broker(directory: Path) -> tuple[subprocess.Popen[bytes], str]:
    config = directory / "nats.conf"
    config.write_text(f'listen: "127.0.0.1:-1"\njetstream {{ store_dir: "{directory}/js" }}\n')
    server = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert server is not None
    process = subprocess.Popen(  # noqa: S603 - the server from our own environment
        [server, "-c", config, "--ports_file_dir", directory], stderr=subprocess.DEVNULL
    )
    ports = directory / f"nats-server_{process.pid}.ports"
    while not ports.exists() or not ports.read_text().strip():
        assert process.poll() is None
    return process, json.loads(ports.read_text())["nats"][0]


async def provision(url: str, **changes: object) -> None:
    client = await nats.connect(url)
    settings: dict[str, object] = {
        "name": "TAPE_main",
        "subjects": ["tape.main.>"],
        "allow_direct": True,
        "deny_delete": True,
        "deny_purge": True,
        "discard": DiscardPolicy.NEW,
        "max_bytes": 10_000_000,
        "duplicate_window": 600,
        "republish": RePublish(src="tape.main.>", dest="live.main.>"),
    }
    await client.jetstream().add_stream(StreamConfig(**(settings | changes)))  # type: ignore[arg-type]
    await client.close()


def start_service(directory: Path, url: str, port: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "TOLLGATE_NATS_URL": url,
        "TOLLGATE_STATE_DIR": str(directory / "state"),
        "TOLLGATE_PORTS__LEDGER": str(port),
    }
    return subprocess.Popen(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", SERVICE], env=environment, stderr=subprocess.PIPE, text=True
    )


async def until_ready(service: subprocess.Popen[str], port: int) -> None:
    async with asyncio.timeout(30), httpx.AsyncClient() as client:
        while service.poll() is None:
            try:
                if (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == httpx.codes.OK:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(0.05)
    raise AssertionError(service.communicate()[1])


@pytest.mark.parametrize(
    ("end", "code", "says"),
    [("broker", 75, '"service.end"'), ("signal", 0, '"outcome": "stopped"')],
)
async def test_the_exit_code_says_why_though_the_way_out_fails(tmp_path, unused_tcp_port, end, code, says):
    broker, url = start_broker(tmp_path)
    await provision(url)
    service = start_service(tmp_path, url, unused_tcp_port)
    try:
        await until_ready(service, unused_tcp_port)
        victim, how = (broker, signal.SIGKILL) if end == "broker" else (service, signal.SIGTERM)
        victim.send_signal(how)
        _, log = await asyncio.to_thread(service.communicate, timeout=20)
    finally:
        broker.kill()
        broker.wait()
    assert service.returncode == code, log
    assert says in log
    assert "service.stop_failed" in log


async def test_a_stream_that_is_not_safe_for_money_is_refused_at_start(tmp_path, unused_tcp_port):
    broker, url = start_broker(tmp_path)
    await provision(url, deny_delete=False)
    service = start_service(tmp_path, url, unused_tcp_port)
    try:
        _, log = await asyncio.to_thread(service.communicate, timeout=20)
    finally:
        broker.kill()
        broker.wait()
    assert service.returncode == 78, log
    assert "deny_delete: False, expected True" in log
