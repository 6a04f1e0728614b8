"""``tollgate restore``: the database from a backup, the tape from the archive, or both."""

from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.commands.up import DEFAULT_CONFIG, DEFAULT_STATE, configuration
from tollgate_console.exits import EXIT_CODES_HELP


def restore(
    directory: Annotated[Path | None, typer.Argument(help="A directory that `tollgate backup` has written.")] = None,
    tape: Annotated[bool, typer.Option("--tape", help="Put the tape back from the archive in the database.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Where there are books already, rename them and restore beside them.")
    ] = False,
    public_keys: Annotated[
        Path | None,
        typer.Option(help="Public keys of the seals, kept apart from the backup; the state directory's by default."),
    ] = None,
    state_dir: Annotated[Path, typer.Option(help="The state directory of the platform, which must not run.")] = (
        DEFAULT_STATE
    ),
    config: Annotated[
        Path | None, typer.Option(help=f"Configuration file of the desk. [default: {DEFAULT_CONFIG}]")
    ] = None,
    base_port: Annotated[
        int | None, typer.Option(help="Use ports from this one on, as `tollgate up` does.", min=1024, max=65_500)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with stable keys.")] = False,
) -> None:
    """Restore the database from a backup, or the tape from the archive, verify it, and say how long it took."""
    # Loaded only when it is needed: ``--help`` and the other commands start quickly.
    import asyncio  # noqa: PLC0415 - as above
    import json  # noqa: PLC0415 - as above

    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above
    from tollgate_console.recovery.restore import Wish, restore_desk, told  # noqa: PLC0415 - as above

    if directory is None and not tape:
        raise typer.BadParameter("a backup is expected, or --tape, or both")
    wish = Wish(directory, tape=tape, replace=replace, public_keys=public_keys)
    outcome = asyncio.run(restore_desk(Layout(state_dir), configuration(config), base_port, wish))
    if as_json:
        typer.echo(json.dumps(outcome, indent=2))
        return
    for line in told(outcome):
        typer.echo(line)


restore.__doc__ = f"""{restore.__doc__}

Nothing is written over: a database that is there is renamed once what is restored has been verified as `tollgate audit
verify` does, and what lies on the tape is compared and kept. A restore that was cut off is run again. Then start with
`tollgate up`.

{EXIT_CODES_HELP}"""
