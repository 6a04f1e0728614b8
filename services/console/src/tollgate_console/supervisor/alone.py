"""Broker and database without the services: for what is done to a desk's data while nobody works with it."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import httpx

from tollgate_console.deployment import find_deployment
from tollgate_console.layout import Layout, write_private
from tollgate_console.provision.broker import BrokerPlace, render_config
from tollgate_console.provision.database import DATABASE_LOGINS, SUPERUSER, DatabasePlace, SchemaFile, read_schema
from tollgate_console.provision.keys import (
    POSTGRES_SUPERUSER,
    SEAL_PUBLIC_KEYS,
    broker_public_key,
    provision_secrets,
    read_password,
)
from tollgate_console.provision.permissions import DESK_ACCOUNT, User, read_table, render_accounts
from tollgate_console.settings import ConsoleSettings
from tollgate_console.supervisor.broker_process import find_server
from tollgate_console.supervisor.checks import check_disk, check_layout, check_ports
from tollgate_console.supervisor.child import Child, ProcessSpec
from tollgate_console.supervisor.events import Events
from tollgate_console.supervisor.leftovers import end_leftovers, remember
from tollgate_console.supervisor.lock import StateLock
from tollgate_console.supervisor.postgres_process import postgres_spec, prepare
from tollgate_console.supervisor.readiness import accepts, answers, until_ready


@dataclass
class Desk:
    """A desk's state directory that is held by this command and nobody else."""

    settings: ConsoleSettings
    layout: Layout
    events: Events
    running: list[Child] = field(default_factory=list)

    @property
    def database(self) -> DatabasePlace:
        """Where the database listens."""
        return DatabasePlace(self.settings.console.postgres_port)

    @property
    def broker(self) -> BrokerPlace:
        """Where the broker listens."""
        console = self.settings.console
        return BrokerPlace(console.nats_port, console.nats_monitor_port, self.layout.broker_store)

    @property
    def is_new(self) -> bool:
        """Whether the keys here were made for a restore and nothing was signed with them yet.

        A desk that has ever run, or whose keys were brought here, is not new.
        """
        return self.layout.new_desk_file.exists() and not self.layout.service_state("ledger").exists()

    @property
    def users(self) -> tuple[User, ...]:
        """Who may do what on the broker."""
        return read_table(find_deployment() / "nats" / "permissions.toml", self.settings.desk)

    @property
    def schema(self) -> tuple[SchemaFile, ...]:
        """What is applied to the database, in its order; the roles come first."""
        return read_schema(find_deployment() / "postgres")

    def superuser_dsn(self, database: str) -> str:
        """Return the administrator's way into one of the server's databases."""
        return self.database.dsn(SUPERUSER, read_password(self.layout, POSTGRES_SUPERUSER), database)


@contextmanager
def held(layout: Layout, settings: ConsoleSettings) -> Iterator[Desk]:
    """Hold the state directory; raises ``ConsoleError`` while a platform runs on it, or where it is another version's.

    Whatever an earlier supervisor has left running is ended, and its word on what runs is removed: nobody may take
    what this command starts for a platform. Secrets that are missing are made.
    """
    layout.prepare()
    with StateLock(layout):
        check_layout(layout)
        end_leftovers(layout)
        layout.platform_file.unlink(missing_ok=True)
        check_disk(layout, settings.console.disk_floor_mib)
        desk = Desk(settings, layout, Events(layout.log("supervisor")))
        if not (layout.secrets("reader") / SEAL_PUBLIC_KEYS).exists():
            write_private(layout.new_desk_file, "")
        provision_secrets(layout, tuple(user.name for user in desk.users), DATABASE_LOGINS)
        try:
            yield desk
        finally:
            layout.processes_file.unlink(missing_ok=True)


@asynccontextmanager
async def database_running(desk: Desk) -> AsyncIterator[DatabasePlace]:
    """Run the database, with whatever is in it; raises ``ConsoleError`` when it does not start."""
    place = desk.database
    check_ports(place.host, {"postgres": place.port})
    installation = await asyncio.to_thread(prepare, desk.layout)
    async with _running(desk, postgres_spec(desk.layout, installation, place)) as child:
        await until_ready(child, lambda: accepts(desk.superuser_dsn(SUPERUSER)))
        yield place


@dataclass(frozen=True, slots=True)
class Guest:
    """A user of the streams' own account whom the broker knows at this one start only."""

    name: str
    public_key: str
    may_publish: tuple[str, ...]


@asynccontextmanager
async def broker_running(desk: Desk, guest: Guest) -> AsyncIterator[BrokerPlace]:
    """Run the broker with one more user, whom no table of permissions names and no other start knows.

    It does not sync its disk for each message here, which would take hours for a long tape: whoever writes must call
    ``sync_store`` after the broker has ended, and believe nothing of what was written before that.
    """
    place, layout, sizes = desk.broker, desk.layout, desk.settings.console.stream_sizes
    check_ports(place.host, {"nats": place.port, "nats-monitor": place.monitor_port})
    # Of the users that the table names only who manages streams: a service that is started by mistake finds no door.
    provisioners = tuple(user for user in desk.users if user.manages)
    accounts = render_accounts(provisioners, {user.name: broker_public_key(layout, user.name) for user in provisioners})
    rights = {
        "publish": {"allow": list(guest.may_publish)},
        "subscribe": {"allow": [f"_INBOX_{guest.name}.>"]},
    }
    accounts[DESK_ACCOUNT]["users"].append({"nkey": guest.public_key, "permissions": rights})
    config = layout.broker_config.with_name("nats-restoring.json")
    write_private(config, render_config(desk.settings.desk, place, sizes, accounts, syncs_always=False))
    spec = ProcessSpec(
        name="nats",
        command=(find_server(), "--config", str(config.resolve())),
        log=layout.log("nats"),
        death_signal=signal.SIGTERM,
        # A large store takes its time to be written out.
        stop_s=60.0,
    )
    try:
        async with _running(desk, spec) as child, httpx.AsyncClient(timeout=1.0) as client:
            await until_ready(child, lambda: answers(client, place.health_url))
            yield place
    finally:
        config.unlink(missing_ok=True)


def sync_store(desk: Desk) -> None:
    """Bring everything that the broker has written onto the disk; the broker must have ended."""
    root = desk.layout.broker_store
    for path in (root, *root.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@asynccontextmanager
async def _running(desk: Desk, spec: ProcessSpec) -> AsyncIterator[Child]:
    child = Child(spec, desk.events, lambda: _remember(desk))
    desk.running.append(child)
    await child.start()
    try:
        yield child
    finally:
        await child.stop()
        desk.running.remove(child)


def _remember(desk: Desk) -> None:
    remember(desk.layout, [child.running for child in desk.running if child.running is not None])
