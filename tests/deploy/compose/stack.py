"""A desk in containers, as its compose file describes it, under a name and an address of its own."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.compose.compose_file import DOCKER, OURS, ROOT, filled, services

BUILDS = (*OURS, "console", "research")
# Every address of 127.0.0.0/8 is this machine: the desk's own ports stay free for another one.
ADDRESS = "127.77.0.1"
_COMMAND_S = 900


class Stack:
    """One project of Docker Compose."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("TOLLGATE_")},
            "COMPOSE_PROJECT_NAME": name,
            "COMPOSE_PROFILES": "simulated",
            "TOLLGATE_BIND": ADDRESS,
            "DOCKER_BUILDKIT": "1",
            "COMPOSE_DOCKER_CLI_BUILD": "1",
            "PATH": f"{Path(docker()).parent}:{os.environ['PATH']}",
        }
        self._compose = compose_command(self.environment)

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run a command of Compose and return what it printed."""
        return self._run([*self._compose, *arguments], check=check)

    def docker(self, *arguments: str, check: bool = True) -> str:
        """Run a command of the engine."""
        return self._run([docker(), *arguments], check=check)

    def build(self, service: str, tag: str, context: Path = ROOT, *options: str) -> None:
        """Build a service's image from a checkout, as docs/compose.md says."""
        file = context / "deploy" / "docker" / "Dockerfile"
        self.docker(
            "build", *options, "--build-arg", f"SERVICE={service}", "--tag", tag, "--file", str(file), str(context)
        )

    def _run(self, command: list[str], *, check: bool) -> str:
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=_COMMAND_S, check=False
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout[-3_000:]}\n{done.stderr[-3_000:]}"
        return done.stdout

    def container(self, service: str) -> str:
        """Return the id of a service's container, which may have ended."""
        labels = {"project": self.name, "service": service, "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        return self.docker("ps", "--all", "--quiet", *filters).strip()

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine knows of a service's container."""
        (found,) = json.loads(self.docker("inspect", self.container(service)))
        content: dict[str, Any] = found
        return content

    def health(self, service: str) -> str:
        """Return how a service is: healthy, starting, unhealthy, or the state of one that has no check."""
        state = self.inspect(service)["State"]
        return str(state.get("Health", state)["Status"])

    def python(self, service: str, program: str) -> str:
        """Run a Python program inside a service's container."""
        return self.docker("exec", self.container(service), "/opt/tollgate/bin/python", "-c", program)

    def wait_until(self, reached: Callable[[], object], what: str, timeout_s: float) -> float:
        """Wait until ``reached``, and return how many seconds that took."""
        began = time.monotonic()
        while not reached():
            if time.monotonic() - began > timeout_s:
                logs = self.compose("logs", "--tail", "8", check=False)
                raise AssertionError(f"{what}: not within {timeout_s} s\n{logs[-8_000:]}")
            time.sleep(0.5)
        return time.monotonic() - began

    def left(self) -> dict[str, list[str]]:
        """Return what of the project the engine still has."""
        mine = f"label=com.docker.compose.project={self.name}"
        return {
            kind: self.docker(*listing, "--quiet", "--filter", mine).split()
            for kind, listing in {
                "containers": ("ps", "--all"),
                "volumes": ("volume", "ls"),
                "networks": ("network", "ls"),
            }.items()
        }


def docker() -> str:
    """Return a client of the engine that builds with BuildKit; skips, and says why, where there is none."""
    for candidate in dict.fromkeys(filter(None, (shutil.which("docker"), "/usr/bin/docker"))):
        if not os.access(candidate, os.X_OK):
            continue
        # From version 23 on BuildKit is a plug-in of the client; 20.10 has it built in.
        version = _output(candidate, "version", "--format", "{{.Client.Version}} {{.Server.Version}}")
        if version is None:
            continue
        is_old = int(version.split(".")[0]) < 23
        if is_old or _output(candidate, "buildx", "version") is not None:
            return candidate
    pytest.skip("no container engine answers, or its client cannot build with BuildKit")


def compose_command(environment: dict[str, str]) -> list[str]:
    """Return how Compose is called here, of either version."""
    for command in (["docker", "compose"], ["docker-compose"]):
        found = shutil.which(command[0], path=environment["PATH"])
        if found is not None and _output(found, *command[1:], "version") is not None:
            return [found, *command[1:]]
    pytest.skip("neither `docker compose` nor `docker-compose` is here")


def images_of_others() -> list[str]:
    """Return the images that the stack is made of and built on, but for our own."""
    dockerfile = (DOCKER / "Dockerfile").read_text()
    bases = [line.partition("=")[2] for line in dockerfile.splitlines() if "_IMAGE=" in line and line.startswith("ARG")]
    others = [image for each in services().values() if not (image := filled(each["image"])).startswith("tollgate/")]
    return [*bases, *others]


def need_images(*images: str) -> None:
    """Skip, naming them, where images are not there and cannot be had; when none is named, those of the stack."""
    engine = docker()
    missing = [
        image
        for image in images or images_of_others()
        if _output(engine, "image", "inspect", image) is None and _output(engine, "pull", "--quiet", image) is None
    ]
    if missing:
        pytest.skip(f"these images are not here and cannot be pulled: {', '.join(missing)}")


def _output(*command: str) -> str | None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
