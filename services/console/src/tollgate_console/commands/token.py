"""``tollgate token``: make, list and revoke the tokens of operators."""

from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.commands.up import DEFAULT_STATE
from tollgate_console.exits import EXIT_CODES_HELP

_DAYS = 90
_DAYS_MAX = 365
_SCOPES = ("read", "kill", "release", "limits", "books")

_State = Annotated[Path, typer.Option(help="The state directory of the platform.")]

token = typer.Typer(
    help=f"Make, list and revoke the tokens of operators; a running platform follows at once.\n\n{EXIT_CODES_HELP}",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


def _scope(text: str) -> str:
    if text not in _SCOPES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(_SCOPES)}")
    return text


@token.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose it is or what for; stands beside each call.")],
    scope: Annotated[
        list[str], typer.Option(parser=_scope, metavar="|".join(_SCOPES), help="What it is good for; may be repeated.")
    ],
    days: Annotated[int, typer.Option(min=1, max=_DAYS_MAX, help="How long it is good.")] = _DAYS,
    state_dir: _State = DEFAULT_STATE,
) -> None:
    """Make a token and print it, this once; what is kept is its hash. No token both stops and releases."""
    from tollgate_chassis.operators import TokenScope  # noqa: PLC0415 - ``--help`` and the other commands start quickly
    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above
    from tollgate_console.provision.tokens import create_token  # noqa: PLC0415 - as above

    text = create_token(Layout(state_dir), name, tuple(TokenScope(one) for one in dict.fromkeys(scope)), days)
    typer.echo(f"{name}: {', '.join(scope)}, for {days} days; the token is shown this once:", err=True)
    typer.echo(text)


@token.command(name="list")
def list_all(
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list with stable keys.")] = False,
    state_dir: _State = DEFAULT_STATE,
) -> None:
    """Show every token but its text: name, scopes, from when to when, and whether it is live."""
    import json  # noqa: PLC0415 - as above

    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above
    from tollgate_console.provision.tokens import day_of, list_tokens  # noqa: PLC0415 - as above

    rows = list_tokens(Layout(state_dir))
    if as_json:
        shown = [{**entry.model_dump(mode="json", exclude={"sha256"}), "state": state} for entry, state in rows]
        typer.echo(json.dumps(shown, indent=2))
        return
    for entry, state in rows:
        scopes = ", ".join(entry.scopes)
        typer.echo(f"{entry.name:<32} {state:<8} {day_of(entry.created_us)} to {day_of(entry.expires_us)}  {scopes}")


@token.command()
def revoke(
    name: Annotated[str, typer.Argument(help="Which one, as `tollgate token list` names it.")],
    state_dir: _State = DEFAULT_STATE,
) -> None:
    """Take a token back, for good and at once; a running platform needs no restart."""
    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above
    from tollgate_console.provision.tokens import revoke_token  # noqa: PLC0415 - as above

    for words in revoke_token(Layout(state_dir), name):
        typer.echo(f"mind: {words}", err=True)
    typer.echo(f"{name} is revoked", err=True)
