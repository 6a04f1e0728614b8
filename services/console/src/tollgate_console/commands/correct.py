"""``tollgate correct``: an operator's word on an entry of the books that says the wrong thing of a movement."""

from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.commands.up import DEFAULT_STATE
from tollgate_console.exits import EXIT_CODES_HELP

_TYPES = ("DEPOSIT", "WITHDRAWAL", "TRANSFER", "FUNDING", "DUST", "FEE", "REBATE", "UNEXPLAINED")


def _type(text: str) -> str:
    if text.upper() not in _TYPES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(_TYPES)}")
    return text.upper()


def correct(
    entry: Annotated[int, typer.Argument(min=1, help="The number of the entry, as the journal has it.")],
    booked_as: Annotated[str, typer.Option("--as", parser=_type, metavar="TYPE", help="What the movement really was.")],
    reason: Annotated[str, typer.Option(help="How you know; stands on the tape.")],
    actor: Annotated[str, typer.Option(help="Who you are; the token's name when it is left out.")] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="File with a token of scope books; the first one when it is left out.")
    ] = None,
    state_dir: Annotated[Path, typer.Option(help="The state directory of the platform.")] = DEFAULT_STATE,
) -> None:
    """Have an entry of a movement taken back, and the movement booked under another name."""
    # Loaded only when it is needed: ``--help`` and the other commands start quickly.
    from tollgate_console.health.collect import find_platform  # noqa: PLC0415 - as above
    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above
    from tollgate_console.resolving import CorrectionWord, correct_entry  # noqa: PLC0415 - as above

    layout = Layout(state_dir)
    word = CorrectionWord(entry, booked_as, reason, actor)
    typer.echo(correct_entry(find_platform(layout), layout, word, token_file))


correct.__doc__ = f"""{correct.__doc__}

Nothing in the journal is changed: two entries follow, one with the lines of the old one, each with its sign changed,
and one under the new name. What is held stays as it is. A trade is taken back by the venue, and by nobody else.

TYPE is one of {", ".join(_TYPES)}.

{EXIT_CODES_HELP}"""
