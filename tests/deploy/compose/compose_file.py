"""The compose file as data, with what each of its services is."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
DOCKER = ROOT / "deploy" / "docker"
OURS = ("marketdata", "strategy", "risk", "execution", "ledger", "simvenue")


@cache
def compose() -> dict[str, Any]:
    """Return the compose file with its anchors resolved."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def services() -> dict[str, dict[str, Any]]:
    """Return every service by name."""
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def on_network(name: str) -> set[str]:
    """Return which services are on a network."""
    return {service for service, content in services().items() if name in content.get("networks", ())}


def mounts(service: str) -> dict[str, str]:
    """Return what a service mounts, by the place inside; a volume's name or a path."""
    return {each.split(":")[1]: each.split(":")[0] for each in services()[service].get("volumes", ())}


def image_environment() -> dict[str, str]:
    """Return the variables that every image of ours has."""
    text = (DOCKER / "Dockerfile").read_text()
    return dict(re.findall(r"(TOLLGATE_\w+)=(\S+)", text))


def filled(value: str) -> str:
    """Return a value of the file with the defaults of its variables."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)
