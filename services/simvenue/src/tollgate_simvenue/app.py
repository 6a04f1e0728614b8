"""The exchange's composition root: everything is built here, and here it ends."""

import asyncio
import gc
import signal
import socket
import sqlite3
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, cast

import structlog
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tollgate_contracts.money import install_exact_context
from tollgate_simvenue.answers import TRANSPORT
from tollgate_simvenue.api import create_app
from tollgate_simvenue.auth import ApiKey
from tollgate_simvenue.control import Control
from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.exchange import Exchange
from tollgate_simvenue.core.flavours import MANNERS
from tollgate_simvenue.drive import drive_clock, drive_generator, drive_recording, drive_timers
from tollgate_simvenue.floor import Floor, MarketStatus, wall_us
from tollgate_simvenue.hub import Hub
from tollgate_simvenue.logs import configure_logs
from tollgate_simvenue.market import formats
from tollgate_simvenue.market.generator import generate
from tollgate_simvenue.market.recording import Recorded, RecordingError
from tollgate_simvenue.settings import (
    EXIT_BAD_CONFIGURATION,
    BadConfiguration,
    Settings,
    SimvenueSection,
    load_or_exit,
    read_key,
)
from tollgate_simvenue.store import Store, StoreError

EXIT_STOPPED = 0
EXIT_RESTART = 75
CHECKPOINT_S = 30.0
# The platform asks for its account every few seconds; a connection that is silent for longer is nobody's.
_KEEP_ALIVE_S = 75
# How long open connections may delay the end.
_GRACE_S = 1
# Connections that may wait to be taken up, before and while we serve.
_WAITING_MAX = 256
_log = structlog.get_logger()


class _Server(uvicorn.Server):
    """Uvicorn inside our own loop; signals belong to the application."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


class _Protocol(HttpToolsProtocol):
    """Uvicorn's, which also shows a request its own connection, so that a fault can end it without an answer."""

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)[TRANSPORT] = self.transport


class Application:
    """The exchange, listening from its construction on and serving while ``run`` runs."""

    def __init__(self, settings: Settings, key: ApiKey, clock: Callable[[], int] = wall_us) -> None:
        section = settings.simvenue
        self._clock = clock
        self._section = section
        self._costs = settings.costs
        self._recording = _open_recording(section)
        self._listener = _listen(settings.http_host, settings.ports.simvenue)
        self.port: int = self._listener.getsockname()[1]
        self._store = Store(settings.state_dir / "simvenue.sqlite")
        self._floor, self._status = self._build_floor()
        self._control = Control(self._floor, key, section.faults)
        app = create_app(self._floor, key, section.orders_per_s_max, self._control)
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                loop="none",
                http=_Protocol,
                ws_per_message_deflate=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    async def run(self) -> int:
        """Serve until ``stop``; return the exit code."""
        self._control.begin()
        moving = [asyncio.create_task(part) for part in self._parts()]
        serving = asyncio.create_task(self._server.serve([self._listener]))
        failed = asyncio.create_task(self._floor.failed.wait())
        _log.info("simvenue.listening", port=self.port, market=self._status.source)
        try:
            await asyncio.wait((serving, failed, *moving), return_when=asyncio.FIRST_COMPLETED)
            return self._verdict(moving)
        finally:
            self.stop()
            for task in (failed, *moving):
                task.cancel()
            await asyncio.gather(serving, failed, *moving, return_exceptions=True)
            self._store.close()

    def stop(self) -> None:
        """Make ``run`` return soon."""
        self._server.should_exit = True

    def _verdict(self, moving: list[asyncio.Task[None]]) -> int:
        """Return the exit code for why the first of the parts has ended."""
        for error in (task.exception() for task in moving if task.done() and not task.cancelled()):
            if isinstance(error, RecordingError):
                _log.error("simvenue.recording_unreadable", detail=str(error))
                return EXIT_BAD_CONFIGURATION
            if error is not None and not isinstance(error, sqlite3.Error):
                raise error
        if self._floor.failed.is_set():
            _log.error("simvenue.store_failed", detail="is the disk full?")
            return EXIT_RESTART
        return EXIT_STOPPED

    def _build_floor(self) -> tuple[Floor, MarketStatus]:
        section = self._section
        ts_us = self._clock()
        restored = self._store.open(section.opening_atoms(), ts_us)
        if restored.cancelled:
            _log.warning("simvenue.orders_cancelled", orders=restored.cancelled, why="the venue was restarted")
        exchange = Exchange(
            [line.instrument() for line in section.instruments],
            Account(restored.balances),
            section.fees(self._costs, restored.traded),
            candle_interval_us=section.candle_interval_ms * 1_000,
            session=restored.session,
            opened_us=ts_us,
            known_ids=restored.known_ids,
            fill_sequence=restored.fill_sequence,
            movement_sequence=restored.movement_sequence,
            manners=MANNERS[section.venue_like],
        )
        source = "generator" if section.recording is None else f"recording:{section.recording.name}"
        status = MarketStatus(source)
        return Floor(exchange, self._store, Hub(), restored.session, status, self._clock), status

    def _parts(self) -> list[Coroutine[Any, Any, None]]:
        section = self._section
        generated = [
            instrument
            for instrument in self._floor.exchange.instruments()
            if self._recording is None or instrument.symbol != section.recording_symbol
        ]
        parts = [drive_clock(self._floor), drive_timers(self._floor), _checkpoint(self._store)]
        if generated:
            rules = section.generator_rules(self._costs)
            events = generate(generated, section.start_prices(), rules, section.seed, section.quotes_per_s)
            counted = self._status if self._recording is None else None
            parts.append(drive_generator(self._floor, events, section.quotes_per_s, counted))
        if self._recording is not None:
            parts.append(self._play(self._recording))
        return parts

    async def _play(self, events: Iterator[Recorded]) -> None:
        section = self._section
        await drive_recording(
            self._floor,
            section.recording_symbol,
            events,
            section.speed,
            self._status,
            waits=section.recording_waits,
        )
        _log.info("simvenue.recording_finished", events=self._status.events)
        await asyncio.Event().wait()  # the market is over, the venue is not


async def _checkpoint(store: Store) -> None:
    while True:
        await asyncio.sleep(CHECKPOINT_S)
        await asyncio.to_thread(store.checkpoint)


def _open_recording(section: SimvenueSection) -> Iterator[Recorded] | None:
    """Open the recording and read its first event, so that a file that cannot be read stops the start."""
    if section.recording is None:
        return None
    events = formats.read(Path(section.recording), section.recording_from_us, section.recording_until_us)
    try:
        first = next(events)
    except StopIteration as error:
        raise BadConfiguration(f"simvenue.recording: {section.recording} has no events in the chosen time") from error
    except RecordingError as error:
        raise BadConfiguration(f"simvenue.recording: {error}") from error
    return chain([first], events)


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_WAITING_MAX)
    except OSError as error:
        listener.close()
        raise BadConfiguration(
            f"ports.simvenue: {host}:{port} cannot be used ({error.strerror}); "
            "stop what listens there, or choose another port"
        ) from error
    return listener


def main() -> None:
    """Run the exchange as a process; the exit code says why it ended."""
    install_exact_context()
    settings = load_or_exit()
    configure_logs(settings.log_level)
    try:
        application = Application(settings, read_key(settings.secrets_dir))
    except (BadConfiguration, StoreError) as error:
        sys.stderr.write(f"bad configuration, nothing was started:\n  {error}\n")
        raise SystemExit(EXIT_BAD_CONFIGURATION) from error
    # What is alive now lives until the end: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    raise SystemExit(uvloop.run(_run(application)))


async def _run(application: Application) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, application.stop)
    return await application.run()
