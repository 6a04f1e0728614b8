"""``tollgate status``: how the platform on a state directory is."""

from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.commands.up import DEFAULT_STATE
from tollgate_console.exits import EXIT_CODES_HELP, ConsoleExit


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with stable keys.")] = False,
    state_dir: Annotated[Path, typer.Option(help="The state directory of the platform.")] = DEFAULT_STATE,
) -> None:
    """Say how the running platform is: processes, tape positions, feed, mode, kill switch, orders, books."""
    # Loaded only when it is needed: ``--help`` and the other commands start quickly.
    import asyncio  # noqa: PLC0415 - as above
    import json  # noqa: PLC0415 - as above

    from rich.console import Console  # noqa: PLC0415 - as above

    from tollgate_console.health.collect import ask_all, find_platform, new_client, read_token  # noqa: PLC0415 - as above
    from tollgate_console.health.report import build_report  # noqa: PLC0415 - as above
    from tollgate_console.health.table import render_report  # noqa: PLC0415 - as above
    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above

    async def ask() -> dict[str, object]:
        async with new_client() as client:
            layout = Layout(state_dir)
            return build_report(await ask_all(client, find_platform(layout), read_token(layout)))

    report = asyncio.run(ask())
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        Console().print(render_report(report))
    raise typer.Exit(int(ConsoleExit.OK if report["healthy"] else ConsoleExit.NOT_HEALTHY))


status.__doc__ = f"""{status.__doc__}

With --json: version, healthy, desk, run_id, pid, started_us; processes (state, pid, restarts, reason); services (up,
live, position, tip, lag, not_ready); feed; mode; arming_missing; kill_switch (engaged, epoch); intents; decisions
(APPROVED, REJECTED, by_reason); orders by state; fills; refusals; permit; positions by symbol; cash; equity, realized,
fees, drawdown, for whoever may read the desk's token for `read`; details (each service's own answer). What nobody has
answered is null.

{EXIT_CODES_HELP}"""
