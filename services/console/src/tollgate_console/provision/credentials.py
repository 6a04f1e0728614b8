"""Everything that a desk's processes need to trust each other, made in one directory before any of them is started."""

import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tollgate_console.deployment import find_deployment
from tollgate_console.layout import PRIVATE_DIRECTORY, Layout, write_private
from tollgate_console.provision.broker import BrokerPlace, StreamSizes, render_config
from tollgate_console.provision.database import DATABASE_LOGINS, DatabasePlace
from tollgate_console.provision.keys import (
    POSTGRES_SUPERUSER,
    broker_public_key,
    provision_secrets,
    read_password,
)
from tollgate_console.provision.logins import write_logins
from tollgate_console.provision.permissions import User, read_table, render_accounts
from tollgate_console.provision.tokens import provision_tokens

_CLUSTER_PORT = 6222
_CLUSTER_USER = "node"
_RANDOM_BYTES = 32
_OPEN_DIRECTORY, _OPEN_FILE = 0o755, 0o644


@dataclass(frozen=True, slots=True)
class Place:
    """Where a desk's broker and database are, as its processes see them."""

    broker: BrokerPlace
    """As the broker itself is to listen."""
    database: DatabasePlace
    nodes: tuple[str, ...] = ()
    """The hosts of a cluster of brokers; empty for a broker that is alone."""


def broker_users(desk: str) -> tuple[User, ...]:
    """Return the lines of the table of permissions."""
    return read_table(find_deployment() / "nats" / "permissions.toml", desk)


def make_secrets(layout: Layout, users: tuple[User, ...]) -> list[str]:
    """Make every key, password and token that is not there yet; returns what runs out soon, in words."""
    provision_secrets(layout, tuple(user.name for user in users), DATABASE_LOGINS)
    return provision_tokens(layout)


def make_credentials(layout: Layout, desk: str, sizes: StreamSizes, place: Place) -> list[str]:
    """Make the secrets of a desk that runs elsewhere, and write down how each process gets in; again is harmless."""
    layout.root.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    users = broker_users(desk)
    warnings = make_secrets(layout, users)
    keys = {user.name: broker_public_key(layout, user.name) for user in users}
    config = render_config(desk, place.broker, sizes, render_accounts(users, keys), cluster=_cluster(layout, place))
    write_private(layout.broker_config, config)
    write_logins(layout, place.database)
    _hand_over(layout, "postgres", "password", read_password(layout, POSTGRES_SUPERUSER))
    _hand_over(layout, "grafana", "admin_password", _kept(layout.secrets("grafana") / "admin_password"))
    return warnings


def _cluster(layout: Layout, place: Place) -> dict[str, Any] | None:
    if not place.nodes:
        return None
    password = _kept(layout.secrets("nats") / "cluster_password")
    return {
        "name": "tollgate",
        "listen": f"0.0.0.0:{_CLUSTER_PORT}",
        "authorization": {"user": _CLUSTER_USER, "password": password},
        "routes": [f"nats://{_CLUSTER_USER}:{password}@{node}:{_CLUSTER_PORT}" for node in place.nodes],
    }


def _kept(path: Path) -> str:
    """Return the secret in ``path``, made now if it is not there."""
    if not path.exists():
        write_private(path, f"{secrets.token_hex(_RANDOM_BYTES)}\n")
    return path.read_text().strip()


def _hand_over(layout: Layout, image: str, name: str, secret: str) -> None:
    """Copy a secret to where an image of somebody else's reads it as a user of its own.

    Whoever can enter the directory can read it; a deployment mounts it into that one container and into no other.
    """
    path = layout.root / "images" / image / name
    write_private(path, f"{secret}\n")
    for each, mode in ((path.parent.parent, _OPEN_DIRECTORY), (path.parent, _OPEN_DIRECTORY), (path, _OPEN_FILE)):
        if stat.S_IMODE(each.stat().st_mode) != mode:
            each.chmod(mode)
