"""``tollgate resolve``: an operator's word on an order of which the venue does not say what became."""

from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.commands.up import DEFAULT_STATE
from tollgate_console.exits import EXIT_CODES_HELP

_OUTCOMES = ("CANCELLED", "EXPIRED", "REJECTED")


def _outcome(text: str) -> str:
    if text.upper() not in _OUTCOMES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(_OUTCOMES)}")
    return text.upper()


def resolve(
    order: Annotated[str, typer.Argument(help="The client order id, as the status names it.")],
    outcome: Annotated[str, typer.Option(parser=_outcome, metavar="|".join(_OUTCOMES), help="What became of it.")],
    reason: Annotated[str, typer.Option(help="How you know; stands on the tape.")],
    actor: Annotated[str, typer.Option(help="Who you are; the token's name when it is left out.")] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="File with a token of scope release; the first one when it is left out.")
    ] = None,
    state_dir: Annotated[Path, typer.Option(help="The state directory of the platform.")] = DEFAULT_STATE,
) -> None:
    """Say what became of an order that has stayed UNKNOWN; what it had reserved is free again."""
    # Loaded only when it is needed: ``--help`` and the other commands start quickly.
    from tollgate_console.health.collect import find_platform  # noqa: PLC0415 - as above
    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above
    from tollgate_console.resolving import Word, resolve_order  # noqa: PLC0415 - as above

    layout = Layout(state_dir)
    typer.echo(resolve_order(find_platform(layout), layout, order, Word(outcome, reason, actor), token_file))


resolve.__doc__ = f"""{resolve.__doc__}

Only after execution has asked the venue in vain as often as it is set to, and an operator has asked the venue by its
own means. The venue is asked once more first: if it shows the order, its word counts and the command fails. A trade
that the venue lists later is booked all the same.

{EXIT_CODES_HELP}"""
