"""The subcommands that research adds to ``tollgate``: record a run, replay it, explain it, judge it anew."""

import asyncio
import cProfile
import json
import pstats
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

_OK, _DIFFERENT, _USAGE, _BAD_INPUT, _NOT_FOUND, _NOT_RUNNING, _BAD_POLICY = 0, 1, 2, 65, 66, 69, 78
RunFile = Annotated[Path | None, typer.Option(help="Read this file of `tollgate record`, not the running platform.")]
StateDir = Annotated[Path, typer.Option(help="State directory of the running platform.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
policy = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
"""The subcommands of ``tollgate policy``."""


@policy.callback()
def _policies() -> None:
    """Look at what a policy does before it is in force."""


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
    state_dir: StateDir = Path(".tollgate"),
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


def explain(
    asked: Annotated[
        str, typer.Argument(metavar="ID", help="Of an order, an intent, a decision or a trade; its beginning will do.")
    ],
    run: RunFile = None,
    state_dir: StateDir = Path(".tollgate"),
    policy: Annotated[bool, typer.Option("--policy", help="Print the whole policy that was in force, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say why an order was written and decided as it was, and what became of it: from the tape alone.

    The gate is run again over the tape up to the order, so what every gate saw is worked out, not remembered. Also
    takes the venue's own order id, and the id of a kill switch message.

    Exit code 0: explained; 2: several orders are meant, and they are listed; 65: not a whole recorded run; 66: there
    is no such id, or no such file; 69: no platform runs with this state directory.
    """
    from tollgate_contracts.money import install_exact_context  # noqa: PLC0415 - `tollgate --help` stays fast
    from tollgate_research import layout  # noqa: PLC0415 - as above
    from tollgate_research.explain import Explainer  # noqa: PLC0415 - as above
    from tollgate_research.explain_answer import answer_of  # noqa: PLC0415 - as above
    from tollgate_research.explain_text import candidates, page  # noqa: PLC0415 - as above
    from tollgate_research.explain_values import answer_json  # noqa: PLC0415 - as above
    from tollgate_research.passing import pass_over  # noqa: PLC0415 - as above

    install_exact_context()
    if not asked:
        _fail(_USAGE, "an id is expected, or its beginning; got nothing")
    with _reading(run):
        explainer = pass_over(lambda desk: Explainer(desk, asked), run, state_dir)
    match explainer.matches:
        case []:
            looked = "no order, intent, decision or trade has an id that is or begins with"
            _fail(_NOT_FOUND, f"{looked} {asked!r}: {explainer.records:,} records of desk {explainer.desk} were read")
        case [story]:
            answer = answer_of(story, explainer, with_policy=policy)
            if as_json:
                typer.echo(json.dumps(answer_json(answer), indent=2))
            else:
                layout.console().print(page(answer))
        case several:
            shown = [(asked, story) for story in several] if explainer.exact else list(explainer.begins_so.items())
            if as_json:
                typer.echo(json.dumps([{"id": name, "client_order_id": each.client_order_id} for name, each in shown]))
            else:
                layout.console().print(candidates(shown))
            more = ", and more than are shown" if explainer.has_more else ""
            _fail(_USAGE, f"{len(shown)} ids{more}, of {len(several)} orders, are meant by {asked!r}: give one of them")


@policy.command("diff")
def policy_diff(
    new: Annotated[Path, typer.Argument(help="The policy file that would be in force.")],
    last: Annotated[int, typer.Option(min=1, max=1_000_000, help="Judge this many decisions again.")] = 1_000,
    run: RunFile = None,
    state_dir: StateDir = Path(".tollgate"),
    as_json: AsJson = False,
) -> None:
    """Say which knobs of a policy differ from the one in force, and which of the last decisions would have.

    Every intent is judged at the state as it was on the tape: orders, fills, counts and modes are those that came of
    the policy of then. What would have followed from deciding otherwise is not played.

    Exit code 0: nothing differs; 1: something does; 65: not a whole recorded run; 66: no such file; 69: no platform
    runs with this state directory; 78: the new policy is not valid, or not for this desk.
    """
    from tollgate_chassis.exits import BadConfiguration  # noqa: PLC0415 - `tollgate --help` stays fast
    from tollgate_contracts.money import install_exact_context  # noqa: PLC0415 - as above
    from tollgate_research import layout  # noqa: PLC0415 - as above
    from tollgate_research.passing import pass_over  # noqa: PLC0415 - as above
    from tollgate_research.policy_diff import PolicyDiff  # noqa: PLC0415 - as above
    from tollgate_research.policy_diff_text import difference_json, difference_page  # noqa: PLC0415 - as above
    from tollgate_risk.rules_file import read_rules  # noqa: PLC0415 - as above

    install_exact_context()
    if not new.is_file():
        _fail(_NOT_FOUND, f"{new}: no such file; a policy file was expected")
    try:
        rules = read_rules(new)
        with _reading(run):
            difference = pass_over(lambda desk: PolicyDiff(desk, rules, last), run, state_dir).finish()
    except BadConfiguration as error:
        _fail(_BAD_POLICY, error.why)
    if as_json:
        typer.echo(json.dumps(difference_json(difference), indent=2))
    else:
        layout.console().print(difference_page(difference))
    raise typer.Exit(_OK if difference.is_none else _DIFFERENT)


@contextmanager
def _reading(run: Path | None) -> Iterator[None]:
    """End with the code that is documented when the tape cannot be read."""
    from tollgate_research.record import NotRunning  # noqa: PLC0415 - `tollgate --help` stays fast
    from tollgate_research.recording import BadRecording  # noqa: PLC0415 - as above

    if run is not None and not run.is_file():
        _fail(_NOT_FOUND, f"{run}: no such file; a recorded run was expected")
    try:
        yield
    except BadRecording as error:
        _fail(_BAD_INPUT, str(error))
    except NotRunning as error:
        _fail(_NOT_RUNNING, str(error))


def _fail(code: int, why: str) -> NoReturn:
    Console(stderr=True, highlight=False, markup=False).print(why, style="red", soft_wrap=True)
    raise typer.Exit(code)
