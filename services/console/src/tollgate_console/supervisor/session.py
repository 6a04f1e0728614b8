"""One life of ``tollgate up``: checks, lock, platform, view, and the end."""

import asyncio
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tollgate_chassis import core_dumps
from tollgate_console.layout import Layout
from tollgate_console.settings import load_settings
from tollgate_console.supervisor.checks import check_disk, check_layout, check_ports
from tollgate_console.supervisor.events import Events
from tollgate_console.supervisor.leftovers import end_leftovers
from tollgate_console.supervisor.lock import StateLock
from tollgate_console.supervisor.plan import Replay, Start


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for."""

    state_dir: Path
    config: Path | None = None
    replay: Replay | None = None
    plain: bool = False
    base_port: int | None = None
    until_s: float | None = None
    commands: Mapping[str, tuple[str, ...]] | None = None
    """How each process is run; what the workspace brings when none is given."""


def run_session(options: Options) -> None:
    """Run the platform until it is told to stop; raises ``ConsoleError`` when it cannot be started."""
    core_dumps.leave_none()
    settings = load_settings(options.config, options.base_port)
    layout = Layout(options.state_dir)
    layout.prepare()
    with StateLock(layout):
        check_layout(layout)
        left = end_leftovers(layout)
        check_disk(layout, settings.console.disk_floor_mib)
        check_ports(settings.http_host, settings.all_ports())
        events = Events(layout.log("supervisor"))
        for name in left:
            events.say(name, "process.leftover", "an earlier supervisor was killed and had left it", "warning")
        start = Start(settings, layout, new_run_id(), options.replay)
        asyncio.run(_live(options, start, events))


def new_run_id() -> str:
    """Return an id that names this start and sorts by time; two starts cannot share one, as the lock parts them."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")


async def _live(options: Options, start: Start, events: Events) -> None:
    from tollgate_console.supervisor.platform import Platform  # noqa: PLC0415 - a start that is refused loads nothing
    from tollgate_console.view.watch import Watch  # noqa: PLC0415 - as above

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopping.set)
    if options.until_s is not None:
        loop.call_later(options.until_s, stopping.set)
    platform = Platform(start, events, options.commands)
    watch = Watch(start.settings, start.layout, platform, options.plain)
    watch.listen(events)
    watching = asyncio.create_task(watch.run(), name="view")
    watching.add_done_callback(lambda _: stopping.set())
    try:
        await platform.run(stopping)
    finally:
        watching.cancel()
        await asyncio.wait({watching})
    if not watching.cancelled():
        # A view that broke has stopped the platform, rather than leave an operator blind.
        watching.result()
    sys.stdout.write(f"{watch.farewell(str(start.layout.root / 'logs'))}\n")
