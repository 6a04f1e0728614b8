"""The supervisor with the real broker and database, and stand-ins for the services."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tollgate_console.supervisor.plan import PROCESSES

Until = Callable[..., Awaitable[None]]


def tollgate(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("tollgate")), *arguments]
    return subprocess.run(  # noqa: S603 - the command is the test's own
        command, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_starts_everything_answers_for_it_and_leaves_nothing(platform: Any) -> None:
    """One command starts eight processes; ``status`` says they are well; a signal ends them all."""
    process = platform.start()
    described = platform.described()
    assert set(described["processes"]) == {"nats", "postgres", *PROCESSES}
    assert all(one["state"] == "running" for one in described["processes"].values())

    answer = tollgate("status", "--json", "--state-dir", str(platform.state_dir))
    report = json.loads(answer.stdout)
    assert (answer.returncode, report["healthy"]) == (0, True)
    assert report["services"]["risk"] == {"up": True, "live": True, "position": 7, "tip": 7, "lag": 0, "not_ready": []}
    assert "healthy" in tollgate("status", "--state-dir", str(platform.state_dir)).stdout

    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert "stopped, nothing is left running" in output
    assert platform.alive() == []
    assert not (platform.state_dir / "platform.json").exists()
    gone = tollgate("status", "--state-dir", str(platform.state_dir))
    assert gone.returncode == 69
    assert "no platform runs" in gone.stderr


def test_a_second_start_is_refused_at_once_and_names_the_first(platform: Any) -> None:
    """The holder's process id and command line are in the refusal; the first goes on undisturbed."""
    first = platform.start()
    began = time.monotonic()
    second = platform.start(wait=False)
    _, errors = second.communicate(timeout=30)
    assert second.returncode == 73
    assert f"pid {first.pid}" in errors
    assert "standin_platform.py" in errors
    assert time.monotonic() - began < 5
    assert first.poll() is None


@pytest.mark.parametrize("name", ["nats", "postgres", "risk"])
async def test_what_is_killed_is_started_again(platform: Any, until: Until, name: str) -> None:
    """kill -9 of broker, database or a service: it is back by itself, and all is well again."""
    platform.start()
    killed = platform.pid_of(name)
    os.kill(killed, signal.SIGKILL)
    await until(lambda: platform.pid_of(name) not in {None, killed})
    await until(lambda: platform.described()["processes"][name]["restarts"] >= 1)
    await until(lambda: tollgate("status", "--state-dir", str(platform.state_dir)).returncode == 0)
    assert "killed by SIGKILL" in platform.said()


async def test_a_supervisor_that_is_killed_takes_its_children_along(platform: Any, until: Until) -> None:
    """kill -9 of the supervisor: the kernel tells every child, and the next start finds a clean house."""
    first = platform.start()
    assert len(platform.alive()) >= 8
    first.kill()
    first.communicate()
    await until(lambda: platform.alive() == [])
    second = platform.start()
    second.send_signal(signal.SIGTERM)
    second.communicate(timeout=30)
    assert second.returncode == 0
    assert platform.alive() == []


async def test_a_service_that_refuses_its_configuration_ends_the_start(platform: Any) -> None:
    """Exit 78 at the first start is about what the operator has just given: its own words, and nothing left."""
    order = platform.state_dir / "services" / "strategy" / "exit"
    order.parent.mkdir(parents=True)
    order.write_text("78")
    process = platform.start(wait=False)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 78, errors
    assert "strategy: a key is misspelt" in errors
    assert platform.alive() == []


@pytest.mark.parametrize(("code", "restarted"), [(70, False), (75, True), (1, True), (0, True)])
async def test_only_a_halt_is_not_started_again(platform: Any, until: Until, code: int, restarted: bool) -> None:
    """A service that halts waits for a person; any other end is followed by a new start."""
    order = platform.state_dir / "services" / "ledger" / "exit"
    order.parent.mkdir(parents=True)
    order.write_text(str(code))
    platform.start(wait=False)
    expected = "running" if restarted else "ended"
    await until((platform.state_dir / "platform.json").exists)
    await until(lambda: "ledger" in platform.described()["processes"])
    await until(
        lambda: (
            (one := platform.described()["processes"]["ledger"])["state"] == expected
            and one["restarts"] == int(restarted)
        )
    )
    if not restarted:
        answer = tollgate("status", "--json", "--state-dir", str(platform.state_dir))
        report = json.loads(answer.stdout)
        assert (answer.returncode, report["healthy"]) == (1, False)
        assert report["processes"]["ledger"]["reason"] == "ledger: a key is misspelt"
        assert report["processes"]["risk"]["state"] == "running"


async def test_a_stop_in_the_middle_of_the_start_leaves_nothing(platform: Any, until: Until) -> None:
    """Ctrl-C while the database is still being made."""
    process = platform.start(wait=False)
    await until(lambda: "process.start" in platform.said())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert platform.alive() == []


def test_each_process_is_told_its_own_secrets_and_nobody_elses(platform: Any) -> None:
    """What a service gets to know is in its environment and its one private directory."""
    platform.start()
    secrets = platform.state_dir / "secrets"
    told = {
        name: json.loads((platform.state_dir / "services" / name / "environment.json").read_text())
        for name in PROCESSES
    }
    assert {path.name for path in (secrets / "risk").iterdir()} == {
        "nats_seed",
        "approval_signing_key",
        "operator_tokens.json",
    }
    assert {path.name for path in (secrets / "execution").iterdir()} == {
        "nats_seed",
        "approval_public_keys",
        "operator_tokens.json",
        "venue_api_key",
        "venue_api_secret",
        "postgres_dsn",
    }
    assert {path.name for path in (secrets / "ledger").iterdir()} == {
        "nats_seed",
        "operator_tokens.json",
        "postgres_dsn",
        "postgres_reader_dsn",
        "seal_signing_key",
    }
    assert {path.name for path in (secrets / "marketdata").iterdir()} == {"nats_seed"}
    for name, environment in told.items():
        assert environment["TOLLGATE_SECRETS_DIR"] == str((secrets / name).resolve())
        others = [str(secrets / other) for other in PROCESSES if other != name]
        assert not any(other in value for other in others for value in environment.values()), name
        assert ("TOLLGATE_POSTGRES_DSN_FILE" in environment) == (name in {"execution", "ledger"})
        assert ("TOLLGATE_NATS_SEED_FILE" in environment) == (name != "simvenue")
    for path in secrets.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_service_that_does_not_stop_is_killed(platform: Any) -> None:
    """The deadline is the supervisor's, not the service's."""
    deaf = platform.state_dir / "services" / "strategy" / "deaf"
    deaf.parent.mkdir(parents=True)
    deaf.touch()
    process = platform.start()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert "did not stop in 8 s" in platform.said()
    assert platform.alive() == []
