"""What kustomize makes of each overlay: built once, and read by all tests."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.tools import tool

ROOT = Path(__file__).parents[3]
K8S = ROOT / "deploy" / "k8s"
GRAFANA = ROOT / "deploy" / "grafana"
OVERLAYS = ("dev", "production", "second-desk")
SERVICES = ("marketdata", "strategy", "risk", "execution", "ledger")
_BUILD_S = 60

Object = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """The template of the pods that an object makes."""

    owner: Object
    labels: dict[str, str]
    spec: Object

    @property
    def name(self) -> str:
        """Return the name of what makes it."""
        name: str = self.owner["metadata"]["name"]
        return name

    @property
    def containers(self) -> list[Object]:
        """Return every container, those that only prepare included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]


def missing_dashboards() -> list[str]:
    """Return the dashboards that deploy/grafana/kustomization.yaml names and nobody has made yet."""
    generators = yaml.safe_load((GRAFANA / "kustomization.yaml").read_text())["configMapGenerator"]
    return [file for generator in generators for file in generator["files"] if not (GRAFANA / file).exists()]


@cache
def build(folder: Path) -> tuple[Object, ...]:
    """Return the objects that a folder's kustomization makes."""
    done = subprocess.run(
        [tool("kustomize"), "build", str(folder)], capture_output=True, text=True, check=False, timeout=_BUILD_S
    )
    assert done.returncode == 0, done.stderr
    # Kustomize says on standard error what it will not understand much longer.
    assert done.stderr == ""
    return tuple(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))


def overlay(name: str) -> tuple[Object, ...]:
    """Return an overlay's objects; skip where it needs dashboards that are not there."""
    missing = missing_dashboards()
    if missing and name != "dev":
        pytest.skip(f"deploy/grafana has no {', '.join(missing)} yet, which the overlay {name} needs")
    return build(K8S / "overlays" / name)


def of_kind(objects: tuple[Object, ...], *kinds: str) -> list[Object]:
    """Return the objects of these kinds."""
    return [each for each in objects if each["kind"] in kinds]


def named(objects: tuple[Object, ...], kind: str, name: str) -> Object:
    """Return the one object of that kind and name; the name of what may not change counts without its hash."""
    found = [each for each in of_kind(objects, kind) if name in {each["metadata"]["name"], _plain_name(each)}]
    assert len(found) == 1, (kind, name, len(found))
    return found[0]


def _plain_name(each: Object) -> str:
    name: str = each["metadata"]["name"]
    return name.rpartition("-")[0] if each["kind"] == "ConfigMap" and each.get("immutable") else name


def pods(objects: tuple[Object, ...]) -> list[Pod]:
    """Return the template of every pod that the objects make, except those of an operator."""
    return [Pod(each, *_template(each)) for each in objects if "template" in each.get("spec", {})]


def _template(each: Object) -> tuple[dict[str, str], Object]:
    template = each["spec"]["template"]
    return template["metadata"]["labels"], template["spec"]


def pod(objects: tuple[Object, ...], name: str) -> Pod:
    """Return the template of the object of that name."""
    return next(each for each in pods(objects) if each.name == name)


def volumes_of_secrets(spec: Object) -> Iterator[tuple[str, str, list[Object] | None, int | None]]:
    """Return volume, Secret, items (none for all keys) and mode of every Secret that a pod mounts."""
    for volume in spec.get("volumes", []):
        if "secret" in volume:
            source = volume["secret"]
            yield volume["name"], source["secretName"], source.get("items"), source.get("defaultMode")
        for source in volume.get("projected", {}).get("sources", []):
            if "secret" in source:
                secret, mode = source["secret"], volume["projected"].get("defaultMode")
                yield volume["name"], secret["name"], secret.get("items"), mode
