"""The subcommands that research adds to ``tollgate``: record a run, and replay it."""

import asyncio
import cProfile
import pstats
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

_OK, _DIFFERENT, _BAD_INPUT, _NOT_RUNNING = 0, 1, 65, 69


def replay(
    tape: Annotated[Path, typer.Argument(help="A file that `tollgate record` has written.")],
    profile: Annotated[bool, typer.Option(help="Say where the time goes.")] = False,
) -> None:
    """Run every core again over a recorded run and compare each output byte for byte.

    Prints a fingerprint of all that was compared. Exit code 0: all equal; 1: something differs, and the first
    differences are printed; 65: the file is not a whole recorded run.
    """
    from tollgate_contracts.money import install_exact_context  # noqa: PLC0415 - `tollgate --help` stays fast
    from tollgate_research import recording  # noqa: PLC0415 - as above
    from tollgate_research.replay import Replay  # noqa: PLC0415 - as above

    install_exact_context()
    console = Console()
    try:
        run = recording.load(tape)
    except recording.BadRecording as error:
        Console(stderr=True).print(f"[red]{error}[/red]", soft_wrap=True)
        raise typer.Exit(_BAD_INPUT) from error
    began = time.perf_counter()
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("replaying", total=len(run.records))
        with _profiled(profile):
            report = Replay(run.desk).run(run, lambda done: progress.update(task, completed=done))
        progress.update(task, completed=len(run.records))
    took_s = time.perf_counter() - began
    table = Table("service", "outputs equal", "outside events")
    for service in ("marketdata", "strategy", "risk", "execution", "ledger"):
        table.add_row(service, str(report.compared[service]), str(report.inputs[service]))
    console.print(table)
    console.print(f"{report.records} records, {report.records / took_s:,.0f} a second")
    for name, count in (
        ("refused by every reader", report.refused),
        ("duplicates", report.duplicates),
        ("cut off at the tape's end", report.tail),
        ("market messages without recorded frames", report.unrecorded_market),
    ):
        if count:
            console.print(f"{name}: {count}")
    for difference in report.differences:
        console.print(f"[red]differs[/red] {difference}", soft_wrap=True, highlight=False)
    console.print(f"fingerprint {report.fingerprint}", soft_wrap=True)
    raise typer.Exit(_OK if report.equal else _DIFFERENT)


@contextmanager
def _profiled(wanted: bool) -> Iterator[None]:
    """Print the functions that took most time, when wanted."""
    if not wanted:
        yield
        return
    with cProfile.Profile() as profiler:
        yield
    pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(25)


def record(
    file: Annotated[Path, typer.Argument(help="Where the run is written, such as run.jsonl.gz.")],
    state_dir: Annotated[Path, typer.Option(help="State directory of the running platform.")] = Path(".tollgate"),
) -> None:
    """Write the running platform's tape and market frames, up to now, to one file for `tollgate replay`.

    Exit code 0: written; 69: no platform runs with this state directory.
    """
    from tollgate_research.record import NotRunning, record_run  # noqa: PLC0415 - `tollgate --help` stays fast

    try:
        records, frames = asyncio.run(record_run(state_dir, file))
    except NotRunning as error:
        Console(stderr=True).print(f"[red]{error}[/red]", soft_wrap=True)
        raise typer.Exit(_NOT_RUNNING) from error
    Console().print(f"{records} tape records and {frames} market messages in {file}")
