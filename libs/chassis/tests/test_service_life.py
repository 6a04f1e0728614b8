"""A service's process ends with the code that says why, whatever fails on its way out."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

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


@pytest.fixture
def start_service(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a service; what still runs after the test is killed."""
    started = []

    def start(url: str, port: int, state: str = "state", program: str = SERVICE) -> subprocess.Popen[str]:
        environment = {
            **os.environ,
            "TOLLGATE_NATS_URL": url,
            "TOLLGATE_STATE_DIR": str(tmp_path / state),
            "TOLLGATE_PORTS__LEDGER": str(port),
        }
        command = [sys.executable, "-c", program]
        started.append(
            subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)  # noqa: S603 - our own interpreter
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


async def status_once(service: subprocess.Popen[str], port: int, reached: Callable[[dict[str, Any]], bool]) -> Any:
    """Return the service's status as soon as it is so."""
    async with asyncio.timeout(30), httpx.AsyncClient() as client:
        while service.poll() is None:
            with suppress(httpx.HTTPError):
                status = (await client.get(f"http://127.0.0.1:{port}/v1/status")).json()
                if reached(status):
                    return status
            await asyncio.sleep(0.02)
    raise AssertionError(service.communicate()[1])


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
async def test_the_exit_code_says_why_though_the_way_out_fails(
    own_broker, start_service, unused_tcp_port, end, code, says
):
    await provision(own_broker.url)
    service = start_service(own_broker.url, unused_tcp_port)
    await until_ready(service, unused_tcp_port)
    if end == "broker":
        own_broker.kill()
    else:
        service.send_signal(signal.SIGTERM)
    _, log = await asyncio.to_thread(service.communicate, timeout=20)
    assert service.returncode == code, log
    assert says in log
    assert "service.stop_failed" in log


async def test_a_stream_that_is_not_safe_for_money_is_refused_at_start(nats_url, start_service, unused_tcp_port):
    await provision(nats_url, deny_delete=False)
    service = start_service(nats_url, unused_tcp_port)
    _, log = await asyncio.to_thread(service.communicate, timeout=20)
    assert service.returncode == 78, log
    assert "deny_delete: False, expected True" in log


async def test_a_second_process_with_the_same_state_directory_is_refused_at_start(
    nats_url, start_service, tmp_path, unused_tcp_port_factory
):
    """Starting it again changes nothing; it names who has the directory, and what to do."""
    await provision(nats_url)
    port, other = unused_tcp_port_factory(), unused_tcp_port_factory()
    first = start_service(nats_url, port)
    await until_ready(first, port)
    second = start_service(nats_url, other)
    _, log = await asyncio.to_thread(second.communicate, timeout=20)
    assert first.poll() is None
    assert second.returncode == 78, log
    assert f"another ledger, pid {first.pid}, runs with the state directory {tmp_path / 'state'}" in log
    assert "TOLLGATE_STATE_DIR" in log


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped and woken"])
async def test_two_processes_one_is_active_and_the_other_takes_over(
    nats_url, start_service, unused_tcp_port_factory, end
):
    """The one that stands by says for whom and is not ready; it takes over, and who was only stopped ends with 75."""
    await provision(nats_url)
    ports = unused_tcp_port_factory(), unused_tcp_port_factory()
    first = start_service(nats_url, ports[0])
    active = await status_once(first, ports[0], lambda status: status["live"])
    assert (active["standby"], active["tenure"]) == (None, 1)
    second = start_service(nats_url, ports[1], "another-state")
    waiting = await status_once(second, ports[1], lambda status: status["standby"] is not None)
    assert (waiting["standby"], waiting["live"]) == (active["instance"], False)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{ports[1]}") as client:
        assert (await client.get("/healthz")).status_code == httpx.codes.OK
        ready = await client.get("/readyz")
    assert ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert ready.json()["reasons"] == [f"standing by: {active['instance']} is active"]
    first.send_signal(end)
    taken = await status_once(second, ports[1], lambda status: status["live"])
    assert taken["tenure"] == 2
    first.send_signal(signal.SIGCONT)
    _, log = await asyncio.to_thread(first.communicate, timeout=20)
    assert first.returncode == (-signal.SIGKILL if end is signal.SIGKILL else 75), log


STOPPING = """
import asyncio
import sys
from tollgate_chassis.service import Parts, run_service
from tollgate_chassis.settings import DeskSettings
from tollgate_chassis.shell import Shell
from tollgate_contracts.core import NOTHING

class Core:
    def step(self, sequence, message): return NOTHING
    def snapshot(self): return {}
    def restore(self, state): pass

class Stopping(Shell):
    drain_s_max = 0.5
    async def start(self, runner): self.runner = runner
    async def drain(self):
        DRAIN
        print("drained", file=sys.stderr)
    async def stop(self): print("stopped", file=sys.stderr)

run_service("ledger", DeskSettings, lambda settings: Parts(Core(), Stopping()))
"""


@pytest.mark.parametrize(
    ("drain", "said", "outcome"),
    [
        # The reader still goes on: what is under way can come back by the tape.
        ("while self.runner.live.is_set() is False: await asyncio.sleep(0.01)", ["drained", "stopped"], "done"),
        ("await asyncio.sleep(60)", ["stopped"], "cut_short"),
        ("raise ConnectionError('gone')", ["stopped"], "done"),
    ],
    ids=["in time", "too slow", "fails"],
)
async def test_a_service_that_is_told_to_stop_ends_in_order_what_it_has_begun(
    nats_url, start_service, unused_tcp_port, drain, said, outcome
):
    await provision(nats_url)
    service = start_service(nats_url, unused_tcp_port, program=STOPPING.replace("DRAIN", drain))
    await until_ready(service, unused_tcp_port)
    service.send_signal(signal.SIGTERM)
    _, log = await asyncio.to_thread(service.communicate, timeout=20)
    assert service.returncode == 0, log
    assert [line for line in log.splitlines() if line in {"drained", "stopped"}] == said
    drained = [json.loads(line) for line in log.splitlines() if '"service.drained"' in line]
    assert [line["outcome"] for line in drained] == [outcome]
    assert drained[0]["latency_ms"] < 2_000
