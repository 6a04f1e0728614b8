"""``tollgate backup``: the desk's database as of one moment, in a directory."""

from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.commands.up import DEFAULT_CONFIG, DEFAULT_STATE, configuration
from tollgate_console.exits import EXIT_CODES_HELP


def backup(
    directory: Annotated[Path, typer.Argument(help="Where the backup is written; it must not be there yet.")],
    state_dir: Annotated[Path, typer.Option(help="The state directory of the platform.")] = DEFAULT_STATE,
    config: Annotated[
        Path | None,
        typer.Option(help=f"Configuration file, for a platform that is stopped. [default: {DEFAULT_CONFIG}]"),
    ] = None,
    base_port: Annotated[
        int | None, typer.Option(help="Use ports from this one on, as `tollgate up` does.", min=1024, max=65_500)
    ] = None,
) -> None:
    """Write a backup of books, archive and journal; the platform may run meanwhile."""
    # Loaded only when it is needed: ``--help`` and the other commands start quickly.
    import asyncio  # noqa: PLC0415 - as above

    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above
    from tollgate_console.recovery.backup import backup_desk  # noqa: PLC0415 - as above

    manifest, took_s = asyncio.run(backup_desk(Layout(state_dir), configuration(config), base_port, directory))
    place = manifest.checkpoint
    size_mib = manifest.dump_bytes / 1_048_576
    typer.echo(f"{directory}: records up to {place['archived_sequence']}, entries up to {place['entry']}")
    typer.echo(
        f"{size_mib:.1f} MiB in {took_s:.1f} s; it has no keys: copy {state_dir}/secrets to where only you can read"
    )


backup.__doc__ = f"""{backup.__doc__}

`tollgate restore` restores it. What comes after it is on the tape; what it is worth without the tape is as old as the
backup.

{EXIT_CODES_HELP}"""
