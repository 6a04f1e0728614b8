"""Watching the platform from ``tollgate up``: live on a terminal, line by line elsewhere."""

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
from rich.console import Console
from rich.live import Live

from tollgate_console.health.collect import ask_all, new_client
from tollgate_console.health.report import build_report
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import CONSOLE
from tollgate_console.provision.keys import NATS_SEED
from tollgate_console.settings import ConsoleSettings
from tollgate_console.supervisor.events import Event, Events
from tollgate_console.supervisor.platform import Platform
from tollgate_console.view.notable import Line
from tollgate_console.view.render import render, render_line
from tollgate_console.view.state import ViewState
from tollgate_console.view.words import money
from tollgate_contracts.money import install_exact_context

if TYPE_CHECKING:
    from tollgate_console.view.feed import LiveFeed

_DRAW_S = 0.25
_ASK_S = 1.0


class Watch:
    """Keeps the view's state and draws it."""

    def __init__(self, settings: ConsoleSettings, layout: Layout, platform: Platform, plain: bool) -> None:
        # Prices come in as decimals; rounding one for the screen must be said, as everywhere.
        install_exact_context()
        self._platform = platform
        self._plain = plain or not sys.stdout.isatty()
        self._console = Console(soft_wrap=self._plain)
        self._state = ViewState()
        self._desk = settings.desk
        self._seed_file = layout.secrets(CONSOLE) / NATS_SEED
        self._started = asyncio.Event()
        self._feed: LiveFeed | None = None
        self._events: Events | None = None

    def listen(self, events: Events) -> None:
        """Show what the supervisor says."""
        self._events = events
        events.listen(self._note)

    def _note(self, event: Event) -> None:
        if event.event == "platform.started":
            self._started.set()
        what = f"{event.event} {event.outcome}".strip()
        self._print(self._state.note_process(time.time_ns() // 1_000, event.service, what, event.level != "info"))

    def _print(self, line: Line) -> None:
        if self._plain:
            self._console.print(render_line(line))

    async def run(self) -> None:
        """Watch until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._ask())
            group.create_task(self._print_lines() if self._plain else self._draw())

    def farewell(self, logs: str) -> str:
        """Return the last words after the screen is gone: what was done, what stands, and where to read more."""
        state = self._state
        equity = "" if state.books is None else f", equity {money(state.books.equity)}"
        return f"stopped, nothing is left running: {state.intents} intents, {state.fills} fills{equity}; logs in {logs}"

    async def _listen(self) -> None:
        # Loading FastStream takes half a second, which the services may have first.
        await self._started.wait()
        from tollgate_console.view.feed import LiveFeed  # noqa: PLC0415 - as above

        self._feed = LiveFeed(self._platform.broker.url, self._seed_file, self._desk)
        await self._feed.run()

    async def _ask(self) -> None:
        ready = False
        async with new_client() as client:
            while True:
                report = await self._report(client)
                self._state.note_report(report)
                if report["healthy"] and not ready and self._events is not None:
                    ready = True
                    self._events.say("platform", "platform.ready", f"every service is live; {_arming(report)}")
                await asyncio.sleep(_ASK_S if ready else _DRAW_S)

    async def _report(self, client: httpx.AsyncClient) -> dict[str, Any]:
        return build_report(await ask_all(client, self._platform.describe()))

    async def _print_lines(self) -> None:
        while True:
            self._take_in()
            await asyncio.sleep(_DRAW_S)

    async def _draw(self) -> None:
        description = self._platform.describe()
        title = f"Tollgate · desk {description['desk']} · Ctrl-C stops"
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            while True:
                self._take_in()
                live.update(render(self._state, title, self._console.height), refresh=True)
                await asyncio.sleep(_DRAW_S)

    def _take_in(self) -> None:
        if self._feed is None:
            return
        for message in self._feed.take_in_force():
            self._state.remember(message)
        for sequence, message in self._feed.take():
            line = self._state.apply(sequence, message)
            if line is not None:
                self._print(line)


def _arming(report: dict[str, Any]) -> str:
    missing = report["arming_missing"]
    if missing is None:
        return "no policy is in force yet"
    return f"NOT ARMED, nothing is approved: {', '.join(missing)}" if missing else "armed"
