"""``tollgate doctor``: whether a desk keeps its objectives, and whether what it stands on is as it must be."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.commands.up import DEFAULT_CONFIG, DEFAULT_STATE
from tollgate_console.exits import EXIT_CODES_HELP, ConsoleExit

_CYCLES = 40
# Ten minutes of the clock as it is shipped; further back only Prometheus has seen, and it has alerts for that.
_CYCLES_MAX = 2_400


class Part(StrEnum):
    """What to look at, where not at all of it."""

    SLO = "slo"
    CHECKS = "checks"


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with stable keys.")] = False,
    cycles: Annotated[
        int, typer.Option(min=2, max=_CYCLES_MAX, help="How many cycles of the tape's clock are judged.")
    ] = _CYCLES,
    state_dir: Annotated[Path, typer.Option(help="The state directory of the platform.")] = DEFAULT_STATE,
    config: Annotated[Path | None, typer.Option(help=f"Configuration file. [default: {DEFAULT_CONFIG}]")] = None,
    prometheus: Annotated[
        str | None,
        typer.Option(help="Look back in this Prometheus rather than watch the services.", metavar="URL"),
    ] = None,
    only: Annotated[Part | None, typer.Option(help="Only the objectives, or only the checks.")] = None,
) -> None:
    """Judge a desk's objectives, and look at what it stands on; changes nothing, and works on half a platform too."""
    # Loaded only when it is needed: ``--help`` and the other commands start quickly.
    import asyncio  # noqa: PLC0415 - as above

    from rich.console import Console  # noqa: PLC0415 - as above

    from tollgate_console.doctor.session import Visit, visit  # noqa: PLC0415 - as above
    from tollgate_console.doctor.table import render_doctor  # noqa: PLC0415 - as above

    asked = Visit(
        state_dir=state_dir,
        config=config or (DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None),
        cycles=cycles,
        prometheus=prometheus,
        objectives=only is not Part.CHECKS,
        checks=only is not Part.SLO,
    )
    report = asyncio.run(visit(asked))
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        Console(highlight=False).print(render_doctor(report))
        if report.exit_code not in {ConsoleExit.OK, ConsoleExit.NOT_HEALTHY}:
            typer.echo(f"no platform runs on {state_dir}: only what can be seen without one was looked at", err=True)
    raise typer.Exit(report.exit_code)


doctor.__doc__ = f"""{doctor.__doc__}

Objectives (deploy/slo.yaml) are pass, fail or no_data; checks are pass, warn, fail or skipped. It ends with 0 when
nothing failed, with 1 when something did, and with 69 when no platform runs: then what can be seen without one was
looked at all the same. What --json prints is described in docs/doctor.md.

{EXIT_CODES_HELP}"""
