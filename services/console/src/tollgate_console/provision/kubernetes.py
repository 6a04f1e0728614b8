"""A desk's credentials as Kubernetes Secrets: one for each process, with its own files and no other's."""

from pathlib import Path
from typing import Any

import yaml

from tollgate_chassis.operators import TOKENS_FILE
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision.keys import (
    APPROVAL_KEY,
    APPROVAL_PUBLIC_KEYS,
    NATS_SEED,
    POSTGRES_DSN,
    POSTGRES_READER_DSN,
    SEAL_KEY,
    SEAL_PUBLIC_KEYS,
    VENUE_KEY,
    VENUE_SECRET,
)

VENUE_SECRET_NAME = "tollgate-venue"  # noqa: S105 - the name of an object
# Of which process, which of its files. The venue's keys are a Secret of their own, so that a pod gets them by being
# given that one, and a glance at the manifests shows which do.
SECRETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "tollgate-marketdata": ("marketdata", (NATS_SEED,)),
    "tollgate-strategy": ("strategy", (NATS_SEED,)),
    "tollgate-risk": ("risk", (NATS_SEED, APPROVAL_KEY, TOKENS_FILE)),
    "tollgate-execution": ("execution", (NATS_SEED, POSTGRES_DSN, APPROVAL_PUBLIC_KEYS, TOKENS_FILE)),
    "tollgate-ledger": ("ledger", (NATS_SEED, POSTGRES_DSN, POSTGRES_READER_DSN, SEAL_KEY, TOKENS_FILE)),
    VENUE_SECRET_NAME: ("execution", (VENUE_KEY, VENUE_SECRET)),
    "tollgate-reader": ("reader", (POSTGRES_DSN, SEAL_PUBLIC_KEYS)),
}


def secret_manifests(layout: Layout, namespace: str) -> str:
    """Return every Secret of the desk as YAML; raises ``ConsoleError`` when the credentials are not all there."""
    manifests = [
        _manifest(name, namespace, {file: layout.secrets(process) / file for file in files})
        for name, (process, files) in SECRETS.items()
    ]
    passwords = {path.name: path for path in sorted(layout.secrets("postgres").glob("*_password"))}
    provisioner = {NATS_SEED: layout.secrets("provisioner") / NATS_SEED, **passwords}
    manifests += [
        _manifest("tollgate-provision", namespace, provisioner),
        _manifest("nats-config", namespace, {"nats.json": layout.broker_config}),
        _superuser(layout, namespace),
    ]
    return "---\n".join(yaml.safe_dump(manifest, sort_keys=False) for manifest in manifests)


def _superuser(layout: Layout, namespace: str) -> dict[str, Any]:
    # In the shape in which operators of PostgreSQL take the administrator's login.
    manifest = _manifest(
        "postgres-superuser", namespace, {"password": layout.secrets("postgres") / "postgres_password"}
    )
    manifest["type"] = "kubernetes.io/basic-auth"
    manifest["stringData"] = {"username": "postgres", "password": manifest["stringData"]["password"].strip()}
    return manifest


def _manifest(name: str, namespace: str, files: dict[str, Path]) -> dict[str, Any]:
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION,
            f"{', '.join(missing)}: not there; make the credentials first: tollgate credentials make {_root(files)}",
        )
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "tollgate"}},
        "type": "Opaque",
        "stringData": {key: path.read_text() for key, path in files.items()},
    }


def _root(files: dict[str, Path]) -> Path:
    return next(iter(files.values())).parents[2]
