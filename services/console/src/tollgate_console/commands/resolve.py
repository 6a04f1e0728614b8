"""``tollgate resolve``: an operator's word on what the venue does not tell: an order's outcome, or a drift's cause."""

import re
from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.commands.up import DEFAULT_STATE
from tollgate_console.exits import EXIT_CODES_HELP

_OUTCOMES = ("CANCELLED", "EXPIRED", "REJECTED")
_AMOUNT = re.compile(r"-?(0|[1-9][0-9]{0,19})(\.[0-9]{1,18})?")


def _outcome(text: str) -> str:
    if text.upper() not in _OUTCOMES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(_OUTCOMES)}")
    return text.upper()


def _amount(text: str) -> str:
    if not _AMOUNT.fullmatch(text):
        raise typer.BadParameter(f"{text!r} is no amount; a plain decimal is expected, such as -12.5")
    return text


def resolve(
    reason: Annotated[str, typer.Option(help="How you know; stands on the tape.")],
    order: Annotated[str | None, typer.Argument(help="The client order id, as the status names it.")] = None,
    outcome: Annotated[
        str | None, typer.Option(parser=_outcome, metavar="|".join(_OUTCOMES), help="What became of the order.")
    ] = None,
    drift: Annotated[
        str | None, typer.Option(metavar="CURRENCY", help="The currency of an open drift, instead of an order.")
    ] = None,
    amount: Annotated[
        str | None,
        typer.Option(parser=_amount, metavar="AMOUNT", help="How much of the drift; below zero is gone at the venue."),
    ] = None,
    actor: Annotated[str, typer.Option(help="Who you are; the token's name when it is left out.")] = "",
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with a token of scope release, of a drift books; the first one when it is left out."),
    ] = None,
    state_dir: Annotated[Path, typer.Option(help="The state directory of the platform.")] = DEFAULT_STATE,
) -> None:
    """Say what became of an order that has stayed UNKNOWN, or book a drift that nothing explains."""
    # Loaded only when it is needed: ``--help`` and the other commands start quickly.
    from tollgate_console.health.collect import find_platform  # noqa: PLC0415 - as above
    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above
    from tollgate_console.resolving import DriftWord, Word, resolve_drift, resolve_order  # noqa: PLC0415 - as above

    layout = Layout(state_dir)
    if order is not None and outcome is not None and drift is None and amount is None:
        said = resolve_order(find_platform(layout), layout, order, Word(outcome, reason, actor), token_file)
    elif drift is not None and amount is not None and order is None and outcome is None:
        said = resolve_drift(find_platform(layout), layout, drift, DriftWord(amount, reason, actor), token_file)
    else:
        raise typer.BadParameter("either ORDER with --outcome is expected, or --drift with --amount")
    typer.echo(said)


resolve.__doc__ = f"""{resolve.__doc__}

An order: only after execution has asked the venue in vain as often as it is set to, and an operator has asked the venue
by its own means. The venue is asked once more first: if it shows the order, its word counts and the command fails. A
trade that the venue lists later is booked all the same. What the order had reserved is free again.

A drift: only while one of that currency is open, and never more than is left of it. The amount is booked as it is
stated, everywhere alike, and stands in suspense in the books until it is explained.

{EXIT_CODES_HELP}"""
