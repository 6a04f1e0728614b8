"""Every secret of a running desk, looked for wherever else it could turn up: it is in its own file and nowhere else."""

import os
import re
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ASK, BUSY, SERVICES, Platform

pytestmark = pytest.mark.platform
DOORS = ("risk", "execution", "ledger")
TRADES = 3
# What is no secret though it lies among them: public keys, and the list that has tokens by their hashes alone.
OPEN_FILES = {"approval_public_keys", "seal_public_keys", "operator_tokens.json"}
# A file is looked through in pieces that overlap by more than the longest secret.
_PIECE, _OVERLAP = 1 << 24, 1 << 10


class Receiver(ThreadingHTTPServer):
    """Keeps all that it is sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Receiver)
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def secrets_of(root: Path) -> dict[str, bytes]:
    """Return every secret of a state directory by where it lies; of an address of the database the password in it."""
    found = {}
    for folder in ("secrets", "operator", "images"):
        for path in sorted((root / folder).rglob("*")):
            if not path.is_file() or path.name in OPEN_FILES or path.name == "lock":
                continue
            text = path.read_text().strip()
            secret = text.split(":")[2].split("@")[0] if text.startswith("postgresql://") else text
            assert len(secret) >= 32, path
            found[str(path.relative_to(root))] = secret.encode()
    return found


def found_in(content: bytes, secrets: dict[str, bytes]) -> set[str]:
    return {name for name, secret in secrets.items() if secret in content}


def found_on_disk(desk: Platform, secrets: dict[str, bytes]) -> dict[str, set[str]]:
    """Return which file holds which secret, of all that the desk has written but the secrets themselves."""
    own = {desk.state / "secrets", desk.state / "operator"}
    files = [path for path in desk.state.rglob("*") if path.is_file() and not own & set(path.parents)]
    assert any(path.suffix == ".jsonl" for path in files)
    assert any("nats" in path.parts and path.stat().st_size > 10_000 for path in files)
    found = {str(path): _search(path, secrets) for path in [*files, desk.output]}
    return {path: names for path, names in found.items() if names}


def _search(path: Path, secrets: dict[str, bytes]) -> set[str]:
    names: set[str] = set()
    with path.open("rb") as file:
        tail = b""
        while piece := file.read(_PIECE):
            names |= found_in(tail + piece, secrets)
            tail = piece[-_OVERLAP:]
    return names


def answers(desk: Platform) -> bytes:
    """Return what every service answers to every question that needs no more than a token, and to wrong ones."""
    said = b""
    for service in (*SERVICES, "simvenue"):
        url = desk.url(service)
        for path in _paths(desk, service):
            for headers in ({}, desk.operator("read"), {"Authorization": "Bearer wrong"}):
                said += ASK.get(f"{url}{path}", headers=headers, timeout=10).content
        if service in DOORS:
            for body in (b"{", b'{"reason": 7}', b"x" * 100_000):
                for method in ("PUT", "DELETE", "PATCH", "POST"):
                    answer = ASK.request(
                        method, f"{url}/v1/nothing", headers=desk.operator("read"), content=body, timeout=10
                    )
                    said += answer.content + str(answer.headers).encode()
    return said


def _paths(desk: Platform, service: str) -> list[str]:
    if service == "simvenue":
        return ["/healthz", "/api/v1/time", "/nothing"]
    described: dict[str, Any] = ASK.get(f"{desk.url(service)}/v1/openapi.json", timeout=10).json()
    return [path for path, methods in described["paths"].items() if "get" in methods and "{" not in path]


def command_lines(desk: Platform) -> bytes:
    """Return how every process of the desk was called, and what it was told by its environment."""
    assert desk.process is not None
    processes = psutil.Process(desk.process.pid).children(recursive=True)
    assert len(processes) >= len(SERVICES)
    return b"".join(
        Path(f"/proc/{process.pid}/{part}").read_bytes() for process in processes for part in ("cmdline", "environ")
    )


def dump_limits(desk: Platform) -> dict[str, str]:
    """Return of each process how many bytes of its memory the kernel would keep."""
    assert desk.process is not None
    processes = [psutil.Process(desk.process.pid), *psutil.Process(desk.process.pid).children(recursive=True)]
    limits = {f"{each.name()} {each.pid}": Path(f"/proc/{each.pid}/limits").read_text() for each in processes}
    return {name: re.findall(r"^Max core file size +(\w+) ", text, re.MULTILINE)[0] for name, text in limits.items()}


@pytest.fixture
def dumps_wanted() -> Iterator[None]:
    """What this machine allows its processes to dump, all of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


@pytest.mark.usefixtures("dumps_wanted")
def test_no_secret_is_in_any_log_trace_metric_answer_stream_or_table(
    platform: Callable[..., Platform], receiver: Receiver
):
    """Also not after crashes: one process is killed and one aborts, with all that it then writes."""
    told = {
        "TOLLGATE_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.server_port}",
        "TOLLGATE_TRACE_RATIO": "1",
        "TOLLGATE_LOG_LEVEL": "debug",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "PYTHONFAULTHANDLER": "1",
    }
    desk = platform(BUSY | told)
    desk.start()
    desk.wait_until(lambda: desk.fills() >= TRADES, f"{TRADES} fills", 60)
    secrets = secrets_of(desk.state)
    assert len(secrets) > 20
    said = answers(desk) + command_lines(desk)
    # Less than a page is no dump at all.
    assert set(dump_limits(desk).values()) <= {"0", "1"}
    for service, number in (("strategy", signal.SIGKILL), ("risk", signal.SIGABRT)):
        os.kill(desk.place()["processes"][service]["pid"], number)
    desk.wait_until(lambda: not desk.all_live(), "they have fallen", 30)
    desk.wait_until(desk.all_live, "every service live again", 60)
    desk.wait_until(lambda: receiver.bodies, "spans", 30)
    assert desk.stop() == 0

    assert found_in(said, secrets) == set()
    assert found_in(b"".join(receiver.bodies), secrets) == set()
    assert found_on_disk(desk, secrets) == {}


def test_the_search_finds_a_secret_wherever_it_is(tmp_path: Path):
    """Also across the border of two pieces that are read."""
    secret = {"it": b"s" * 20 + b"ecret" * 9}
    path = tmp_path / "file"
    path.write_bytes(b"." * (_PIECE - 10) + secret["it"] + b".")
    assert _search(path, secret) == {"it"}
    path.write_bytes(b"." * (_PIECE - 10) + secret["it"][:-1] + b".")
    assert _search(path, secret) == set()
