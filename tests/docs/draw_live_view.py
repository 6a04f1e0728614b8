"""Draw the live view of a running platform as the picture in the README.

``uv run python -m tests.docs.draw_live_view .tollgate docs/live-view.svg`` beside a running ``make run``.
"""

import argparse
import asyncio
import io
from pathlib import Path

from rich.console import Console

from tollgate_console.health.collect import ask_all, find_platform, new_client
from tollgate_console.health.report import build_report
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import CONSOLE
from tollgate_console.provision.keys import NATS_SEED
from tollgate_console.view.feed import LiveFeed
from tollgate_console.view.render import render
from tollgate_console.view.state import ViewState
from tollgate_contracts.money import install_exact_context

WIDTH, HEIGHT = 130, 38


async def draw(state_dir: Path, picture: Path, seconds: float) -> None:
    """Listen for ``seconds`` and write what an operator would see then."""
    layout = Layout(state_dir)
    platform = find_platform(layout)
    url = f"nats://{platform['host']}:{platform['ports']['nats']}"
    feed = LiveFeed(url, layout.secrets(CONSOLE) / NATS_SEED, platform["desk"])
    listening = asyncio.create_task(feed.run())
    await asyncio.sleep(seconds)
    state = ViewState()
    for message in feed.take_in_force():
        state.remember(message)
    for sequence, message in feed.take():
        state.apply(sequence, message)
    async with new_client() as client:
        state.note_report(build_report(await ask_all(client, platform)))
    listening.cancel()
    console = Console(record=True, width=WIDTH, height=HEIGHT, file=io.StringIO(), force_terminal=True)
    console.print(render(state, f"desk {platform['desk']}  run {platform['run_id']}", HEIGHT))
    console.save_svg(str(picture), title="make run")


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    install_exact_context()
    asyncio.run(draw(arguments.state_dir, arguments.picture, arguments.seconds))


if __name__ == "__main__":
    main()
