"""The compose file, built and run for real; skipped with its reason where there is no engine or no image."""

import base64
import io
import json
import os
import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ASK
from tests.deploy.compose.compose_file import services
from tests.deploy.compose.stack import ADDRESS, BUILDS, Stack, docker, need_images
from tests.security.test_secrets_canary import found_in, secrets_of

STARTED = sorted(set(services()) - {"credentials", "provision", "books"})
HEALTHY_S = 60
TRADES_S = 60
# Docker waits a little longer with each restart in a row; the first comes at once.
AGAIN_S = 45


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A desk that was built and started here, and of which nothing is left."""
    docker()
    need_images()
    stack = Stack(f"tollgate-test-{os.getpid()}")
    for name in BUILDS:
        stack.build(name, f"tollgate/{name}:0.1.0")
    try:
        stack.compose("up", "--detach", "--no-build")
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", check=False)
    assert stack.left() == {"containers": [], "volumes": [], "networks": []}


def metrics_up() -> dict[str, str]:
    """Return how Prometheus finds each of the services."""
    try:
        answer = ASK.get(f"http://{ADDRESS}:9090/api/v1/targets", timeout=5).json()
    except httpx.HTTPError:
        return {}
    targets: list[dict[str, Any]] = answer["data"]["activeTargets"]
    return {each["labels"]["service"]: each["health"] for each in targets if each["labels"]["job"] == "tollgate"}


def fills() -> int:
    try:
        return int(ASK.get(f"http://{ADDRESS}:8404/v1/status", timeout=5).json().get("fills", 0))
    except httpx.HTTPError:
        return 0


def test_everything_is_healthy_within_a_minute(stack: Stack):
    took_s = stack.wait_until(
        lambda: all(stack.health(name) == "healthy" for name in STARTED), "every container healthy", HEALTHY_S
    )
    print(f"healthy after {took_s:.0f} s")
    assert [stack.inspect(name)["State"]["ExitCode"] for name in ("credentials", "provision")] == [0, 0]


def test_it_trades_and_prometheus_sees_every_service(stack: Stack):
    stack.wait_until(fills, "a fill", TRADES_S)
    wanted = dict.fromkeys(("marketdata", "strategy", "risk", "execution", "ledger"), "up")
    stack.wait_until(lambda: metrics_up() == wanted, "every target up", TRADES_S)


@pytest.mark.parametrize(
    ("service", "reaches"),
    [
        ("marketdata", ["simvenue:8410"]),
        ("execution", ["simvenue:8410", "postgres:5432"]),
        ("strategy", []),
        ("risk", []),
        ("ledger", ["postgres:5432"]),
    ],
)
def test_a_service_reaches_what_it_needs_and_nothing_else(stack: Stack, service: str, reaches: list[str]):
    tried = ["simvenue:8410", "postgres:5432", "192.0.2.1:443"]
    program = (
        "import socket\n"
        f"for place in {tried!r}:\n"
        "    host, port = place.split(':')\n"
        "    try:\n"
        "        socket.create_connection((host, int(port)), 2).close()\n"
        "    except OSError:\n"
        "        continue\n"
        "    print(place)\n"
    )
    assert stack.python(service, program).split() == reaches


def test_a_process_is_nobody_and_can_write_nowhere_but_its_state(stack: Stack):
    program = (
        "import os, pathlib\n"
        "print(os.getuid())\n"
        "for place in ('/', '/opt/tollgate', '/run/tollgate/secrets', '/var/lib/tollgate'):\n"
        "    try:\n"
        "        (pathlib.Path(place) / 'probe').touch()\n"
        "        (pathlib.Path(place) / 'probe').unlink()\n"
        "    except OSError:\n"
        "        continue\n"
        "    print(place)\n"
    )
    assert stack.python("risk", program).split() == ["10001", "/var/lib/tollgate"]


def test_a_process_that_is_killed_comes_back_by_itself(stack: Stack):
    before = stack.inspect("execution")["RestartCount"]
    (child,) = stack.docker("exec", stack.container("execution"), "/opt/tollgate/bin/python", "-c", CHILD).split()
    stack.python("execution", f"import os; os.kill({child}, {int(signal.SIGKILL)})")
    stack.wait_until(lambda: stack.inspect("execution")["RestartCount"] == before + 1, "a restart", AGAIN_S)
    stack.wait_until(lambda: stack.health("execution") == "healthy", "execution healthy again", AGAIN_S)
    traded = fills()
    stack.wait_until(lambda: fills() > traded, "another fill", TRADES_S)


# The service is the one child of the container's init.
CHILD = "import pathlib; print(pathlib.Path('/proc/1/task/1/children').read_text().split()[0])"


def test_whoever_may_only_read_verifies_the_books(stack: Stack):
    said = stack.compose(
        "run", "--rm", "books", "audit", "verify", "--json", "--without-tape",
        "--dsn-file", "/run/tollgate/secrets/postgres_dsn",
        "--public-keys", "/run/tollgate/secrets/seal_public_keys",
        check=False,
    )  # fmt: skip
    answer = json.loads(said)
    assert answer["holds"] is True, said
    assert answer["entries"] > 0
    assert {part["finding"] for part in answer["parts"].values()} == {None}


def test_no_secret_is_in_a_log_or_in_what_the_engine_tells(stack: Stack, tmp_path: Path):
    """Who may ask the engine may do everything, but what it answers is often kept and passed on."""
    pack = "tar -C /credentials -c secrets operator images | base64"
    packed = stack.compose("run", "--rm", "--entrypoint", "sh", "credentials", "-c", pack)
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed))) as archive:
        archive.extractall(tmp_path, filter="data")
    secrets = secrets_of(tmp_path)
    assert len(secrets) > 20
    containers = stack.left()["containers"]
    told = stack.docker("inspect", *containers) + stack.compose("logs", "--no-color")
    told += "".join(stack.docker("top", stack.container(service)) for service in STARTED)
    assert found_in(told.encode(), secrets) == set()


def test_the_keys_are_new_and_the_same_after_a_second_start(stack: Stack):
    first = stack.python("risk", "print(open('/run/tollgate/secrets/approval_signing_key').read())")
    stack.compose("up", "--detach", "--no-build", "--force-recreate", "credentials")
    stack.wait_until(lambda: stack.inspect("credentials")["State"]["Status"] == "exited", "credentials end", 30)
    assert stack.python("risk", "print(open('/run/tollgate/secrets/approval_signing_key').read())") == first
    assert len(first.strip()) == 64
