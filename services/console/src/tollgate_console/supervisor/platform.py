"""The whole platform: infrastructure side by side, then provisioning, then exchange and services; and the way back."""

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any

import httpx

from tollgate_chassis.exits import Exit
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import write_json
from tollgate_console.provision.broker import PROVISIONER, BrokerPlace, check_sync, provision_streams
from tollgate_console.provision.credentials import broker_users, make_secrets
from tollgate_console.provision.database import SUPERUSER, DatabasePlace
from tollgate_console.provision.keys import NATS_SEED, POSTGRES_SUPERUSER, read_password
from tollgate_console.provision.logins import provision_logins
from tollgate_console.supervisor.broker_process import broker_spec
from tollgate_console.supervisor.child import Child, ChildState, ProcessSpec
from tollgate_console.supervisor.events import Events
from tollgate_console.supervisor.leftovers import remember
from tollgate_console.supervisor.plan import Start, default_commands, process_specs
from tollgate_console.supervisor.postgres_process import postgres_spec, prepare
from tollgate_console.supervisor.readiness import accepts, answers, until_ready

_LOG_WATCH_S = 5.0
_MIB = 1_024 * 1_024


class Platform:
    """Every process of one desk on this machine."""

    def __init__(self, start: Start, events: Events, commands: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._start = start
        self._events = events
        self._commands = default_commands() if commands is None else commands
        self._infrastructure: list[Child] = []
        self._services: list[Child] = []
        self._failed = asyncio.Event()
        self._failure: ConsoleError | None = None
        self._log_watch: asyncio.Task[None] | None = None
        self._began = time.monotonic()
        console, layout = start.settings.console, start.layout
        self.broker = BrokerPlace(console.nats_port, console.nats_monitor_port, layout.broker_store)
        self.database = DatabasePlace(console.postgres_port)
        self.started_us = time.time_ns() // 1_000

    @property
    def children(self) -> list[Child]:
        """Every process, in the order of starting."""
        return [*self._infrastructure, *self._services]

    async def run(self, stopping: asyncio.Event) -> None:
        """Start everything, keep it running until ``stopping``, and stop it; leaves nothing running, whatever happens.

        Raises ``ConsoleError`` when the platform could not be started.
        """
        try:
            await self._bring_up(stopping)
            self._log_watch = asyncio.create_task(self._bound_logs(), name="logs")
            await self._until_told_or_failed(stopping)
        finally:
            await self._take_down()

    async def _bring_up(self, stopping: asyncio.Event) -> None:
        starting = asyncio.create_task(self._start_all(), name="start")
        told = asyncio.create_task(stopping.wait(), name="told to stop")
        await asyncio.wait({starting, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait({starting})
        if not starting.cancelled():
            starting.result()

    async def _until_told_or_failed(self, stopping: asyncio.Event) -> None:
        waits = {asyncio.create_task(event.wait()) for event in (stopping, self._failed)}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if self._failure is not None:
            raise self._failure

    async def _start_all(self) -> None:
        start = self._start
        users = broker_users(start.settings.desk)
        for words in make_secrets(start.layout, users):
            self._events.say("platform", "platform.tokens", words, "warning")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._start_broker(users))
                group.create_task(self._start_database())
        except* ConsoleError as errors:
            # Both may fail at once, and often for the same reason.
            self._failure = _first(errors)
        if self._failure is not None:
            raise self._failure
        self._say("platform.provisioned")
        for spec in process_specs(start, self._commands):
            start.layout.service_state(spec.name).mkdir(mode=0o700, parents=True, exist_ok=True)
            await self._add(self._services, spec)
        self._say("platform.started")

    def _say(self, event: str) -> None:
        self._events.say("platform", event, f"{time.monotonic() - self._began:.2f} s after the start")

    async def _start_broker(self, users: Any) -> None:
        settings, layout = self._start.settings, self._start.layout
        sizes = settings.console.stream_sizes
        child = await self._add(
            self._infrastructure, broker_spec(layout, settings.desk, self.broker, sizes, users), report=False
        )
        await self._until_healthy(child)
        seed = (layout.secrets(PROVISIONER) / NATS_SEED).read_text().strip()
        await provision_streams(self.broker.url, seed, settings.desk, sizes)

    async def _until_healthy(self, child: Child) -> None:
        async with httpx.AsyncClient(timeout=1.0) as client:
            await until_ready(child, lambda: answers(client, self.broker.health_url))
            check_sync((await client.get(self.broker.variables_url)).json())

    async def _start_database(self) -> None:
        layout = self._start.layout
        installation = await asyncio.to_thread(prepare, layout)
        child = await self._add(self._infrastructure, postgres_spec(layout, installation, self.database), report=False)
        password = read_password(layout, POSTGRES_SUPERUSER)
        await until_ready(child, lambda: accepts(self.database.dsn(SUPERUSER, password, SUPERUSER)))
        await provision_logins(layout, self.database)

    async def _add(self, children: list[Child], spec: ProcessSpec, *, report: bool = True) -> Child:
        child = Child(spec, self._events, self._note_change)
        children.append(child)
        await child.start()
        if report:
            self._write_platform()
        return child

    def _note_change(self) -> None:
        running = [child.running for child in self.children]
        remember(self._start.layout, [one for one in running if one is not None])
        if self._services:
            self._write_platform()
        for child in self._services:
            # What it says at its first start is about the configuration that the operator has just given.
            if child.exit_code == Exit.BAD_CONFIGURATION and not child.restarts:
                self._failure = ConsoleError(
                    ConsoleExit.BAD_CONFIGURATION, f"{child.spec.name} refuses its configuration:\n{child.reason}"
                )
                self._failed.set()

    def _write_platform(self) -> None:
        write_json(self._start.layout.platform_file, self.describe())

    def describe(self) -> dict[str, Any]:
        """Return what ``tollgate status`` needs to find the platform."""
        settings = self._start.settings
        return {
            "version": 1,
            "pid": os.getpid(),
            "run_id": self._start.run_id,
            "desk": settings.desk,
            "started_us": self.started_us,
            "host": settings.http_host,
            "ports": settings.all_ports(),
            "processes": {
                child.spec.name: {
                    "state": str(child.state),
                    "pid": child.running.pid if child.running else None,
                    "restarts": child.restarts,
                    "reason": child.reason if child.state is not ChildState.RUNNING else "",
                }
                for child in self.children
            },
        }

    async def _bound_logs(self) -> None:
        """Begin a log anew when it has grown too large; what was in it is kept once."""
        limit = self._start.settings.console.log_mib_max * _MIB
        while True:
            await asyncio.sleep(_LOG_WATCH_S)
            for path in (self._start.layout.root / "logs").iterdir():
                if path.suffix in {".log", ".jsonl"} and path.stat().st_size > limit:
                    path.with_name(f"{path.name}.1").write_bytes(path.read_bytes())
                    os.truncate(path, 0)

    async def _take_down(self) -> None:
        if self._log_watch is not None:
            self._log_watch.cancel()
        await asyncio.gather(*(child.stop() for child in self._services if child.spec.name != "simvenue"))
        await asyncio.gather(*(child.stop() for child in self._services))
        await asyncio.gather(*(child.stop() for child in self._infrastructure))
        layout = self._start.layout
        layout.platform_file.unlink(missing_ok=True)
        layout.processes_file.unlink(missing_ok=True)
        self._events.say("platform", "platform.stop")


def _first(errors: BaseExceptionGroup[ConsoleError]) -> ConsoleError:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, ConsoleError):
        raise TypeError(f"{error!r} was caught as a ConsoleError")
    return error
