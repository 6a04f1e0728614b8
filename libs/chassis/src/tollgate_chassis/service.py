"""How a service lives: HTTP first, then the tape, until a signal, a lost connection or a contradiction ends it."""

import asyncio
import gc
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import uvloop
from fastapi import APIRouter

from tollgate_chassis import core_dumps
from tollgate_chassis.durability import check_durability
from tollgate_chassis.exits import BadConfiguration, Exit, ProcessEnd, Restart
from tollgate_chassis.http import build_server
from tollgate_chassis.measuring import measure, tell_build
from tollgate_chassis.runner import SNAPSHOT_EVERY, Identity, Runner
from tollgate_chassis.settings import DeskSettings, load_or_exit
from tollgate_chassis.shell import Shell
from tollgate_chassis.snapshots import FileSnapshots, HighWaterMark, SnapshotStore
from tollgate_chassis.standby import Standby, instance_name
from tollgate_chassis.state_lock import state_lock
from tollgate_chassis.tape import NatsTape, TapeUnavailable
from tollgate_chassis.telemetry import logs
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.tracing import Tracing
from tollgate_contracts.core import Core
from tollgate_contracts.envelope import Service
from tollgate_contracts.money import install_exact_context

# How often a starting service looks whether the broker is there; its own HTTP answers meanwhile.
_BROKER_RETRY_S = 0.1
_STOP_S = 5.0
_CANCEL_AGAIN_S = 1.0

S = TypeVar("S", bound=DeskSettings)


@dataclass(frozen=True)
class Parts:
    """What a service is made of; built without any I/O."""

    core: Core
    shell: Shell
    routers: tuple[APIRouter, ...] = ()
    snapshots: SnapshotStore | None = None
    """Where the service keeps snapshots; a file in its state directory when none is given."""
    snapshot_every: int | None = SNAPSHOT_EVERY
    """None for a shell that saves ``runner.capture()`` itself, as the ledger does with its books."""
    follows_standing_by: bool = True
    """False for a shell that keeps what it steps where only the active instance may write, as the ledger does: while
    another is active it waits, and it starts when its turn has come."""


class Host(Generic[S]):
    """Runs one service's parts."""

    def __init__(self, service: Service, settings: S, parts: Parts) -> None:
        self._service = service
        self._settings = settings
        self._parts = parts
        self._tracing = Tracing(service, settings.run_id, settings.otlp_endpoint, settings.trace_ratio)
        self._instance = instance_name()
        self._standby: Standby | None = None
        self._runner: Runner | None = None
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Live until told to stop; raises ``ProcessEnd`` with the reason when something else ends it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        port = getattr(self._settings.ports, self._service)
        check_port_is_free(self._settings.http_host, port)
        server = build_server(
            f"Tollgate {self._service}",
            self._settings.http_host,
            port,
            self._parts.routers,
            self.status,
            self.not_ready,
            self._tracing,
        )
        serving = asyncio.create_task(server.serve(), name="http")
        trading = asyncio.create_task(self._follow_tape(), name="tape")
        stopping = asyncio.create_task(self._stopping.wait(), name="signal")
        try:
            await asyncio.wait({serving, trading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                await self._drain(trading)
        finally:
            await self._end(trading)
            server.should_exit = True
            await asyncio.wait({serving}, timeout=_STOP_S)
            stopping.cancel()
            self._tracing.close()
        if trading.done() and not trading.cancelled():
            trading.result()
        if not self._stopping.is_set():
            raise Restart("the HTTP server ended by itself")

    async def _drain(self, trading: "asyncio.Task[None]") -> None:
        """Let the shell end in order what it has begun; whatever ends the reader ends that too."""
        if self._runner is None or not self._runner.live.is_set():
            return
        began = time.monotonic()
        shell = self._parts.shell
        draining = asyncio.create_task(_let_go("service.drain_failed", shell.drain()), name="drain")
        await asyncio.wait({draining, trading}, timeout=shell.drain_s_max, return_when=asyncio.FIRST_COMPLETED)
        outcome = "done" if draining.done() else "cut_short"
        await _cancel({draining})
        latency_ms = round((time.monotonic() - began) * 1_000)
        logger().info("service.drained", outcome=outcome, latency_ms=latency_ms)

    async def _end(self, trading: "asyncio.Task[None]") -> None:
        if self._runner is not None:
            self._runner.stop()
            await asyncio.wait({trading}, timeout=_STOP_S)
        await _cancel({trading})

    async def _follow_tape(self) -> None:
        tape = await self._connect()
        settings, parts = self._settings, self._parts
        mark = HighWaterMark(settings.state_dir)
        try:
            check_durability(await tape.describe(), settings.desk)
            identity = Identity(self._service, settings.desk, settings.run_id)
            standby = self._standby = Standby(tape.client, identity, self._instance, follows=parts.follows_standing_by)
            if not parts.follows_standing_by:
                await standby.until_our_turn()
            runner = self._runner = Runner(
                identity,
                parts.core,
                parts.shell,
                tape,
                parts.snapshots or FileSnapshots(settings.state_dir),
                mark,
                self._tracing,
                snapshot_every=parts.snapshot_every,
                standby=standby,
            )
            await parts.shell.start(runner)
            watching = standby.run(lambda: runner.position, runner.prove)
            measuring = measure(tape, settings.state_dir)
            await _first_to_end(runner.run(), watching, measuring, *parts.shell.background())
        finally:
            await _let_go("service.stop_failed", parts.shell.stop())
            await _let_go("tape.close_failed", tape.close())
            mark.close()

    async def _connect(self) -> NatsTape:
        said = ""
        while True:
            try:
                return await NatsTape.connect(
                    self._settings.nats_url, self._settings.nats_seed_file, self._settings.desk, self._service
                )
            except TapeUnavailable as error:
                if error.why != said:
                    logger().warning("broker.unavailable", outcome=error.why)
                    said = error.why
                await asyncio.sleep(_BROKER_RETRY_S)

    def status(self) -> dict[str, Any]:
        """Return what ``GET /v1/status`` answers."""
        runner = self._runner
        place = {
            "position": runner.position if runner else 0,
            "tip": runner.tip if runner else 0,
            "lag": runner.tip - runner.position if runner else 0,
            "live": runner.live.is_set() if runner else False,
            "instance": self._instance,
            "tenure": runner.tenure if runner else 0,
            "cycle": runner.cycles.describe() if runner else None,
            "standby": self._active_instance(),
        }
        own = self._parts.shell.status()
        return {"service": self._service, "run_id": self._settings.run_id, **place, **own}

    def _active_instance(self) -> str | None:
        """Return the instance for which this one stands by."""
        if self._standby is None or (self._runner is not None and self._runner.live.is_set()):
            return None
        return self._standby.active

    def not_ready(self) -> list[str]:
        """Return why the service is not ready, in words."""
        if active := self._active_instance():
            return [f"standing by: {active} is active"]
        if self._runner is None:
            return ["not connected to the tape"]
        if not self._runner.live.is_set():
            return [f"catching up with the tape: at {self._runner.position} of {self._runner.tip}"]
        return self._parts.shell.not_ready()


async def _let_go(event: str, ending: Coroutine[Any, Any, None]) -> None:
    """Run one step of the way out; what fails there must not hide why the process ends, nor keep the next step."""
    try:
        await ending
    except Exception as error:  # noqa: BLE001 - a lost connection raises whatever its library likes; it is told here
        logger().warning(event, outcome=type(error).__name__, detail=str(error))


async def _first_to_end(*works: Coroutine[Any, Any, None]) -> None:
    """Run all until the first ends, then end the others; raise what it raised."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _cancel(set(tasks))


async def _cancel(tasks: "set[asyncio.Task[None]]") -> None:
    """Cancel until all have ended: on Python 3.11 a cancel that meets the end of a ``wait_for`` can be lost."""
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=_CANCEL_AGAIN_S)


def check_port_is_free(host: str, port: int) -> None:
    """Raise ``BadConfiguration`` when something else listens there already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadConfiguration(
                f"port {port} on {host} cannot be used ({error.strerror}); stop what listens there, or set another port"
            ) from error


def run_service(service: Service, settings_type: type[S], build: Callable[[S], Parts]) -> None:
    """Run a service's process from settings to exit code; this is the whole ``main`` of each service."""
    install_exact_context()
    core_dumps.leave_none()
    settings = load_or_exit(settings_type)
    logs.configure(service, settings.log_level)
    Path(settings.state_dir).mkdir(parents=True, exist_ok=True)
    tell_build(service)
    logger().info("service.start", run_id=settings.run_id)

    async def live() -> None:
        host = Host(service, settings, build(settings))
        # What is alive now, above all what was imported, lives until the end. Looking through it again would stop
        # the process for 20 to 40 ms, measured, at moments that nobody chooses.
        gc.collect()
        gc.freeze()
        await host.run()

    try:
        with state_lock(settings.state_dir, service):
            uvloop.run(live())
    except ProcessEnd as end:
        logger().error("service.end", outcome=end.code.name.lower(), detail=end.why)
        sys.exit(int(end.code))
    logger().info("service.end", outcome=Exit.STOPPED.name.lower())
