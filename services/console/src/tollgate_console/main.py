"""The ``tollgate`` command: finds its subcommands by entry point, and loads only the one that is asked for.

A package adds a subcommand with one line, an entry point in the group ``tollgate.commands`` that names a function
with typer's annotations, or a ``typer.Typer`` with commands of its own.
"""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from tollgate_console.exits import EXIT_CODES_HELP, ConsoleError, ConsoleExit

# As a shell counts it: 128 and the number of SIGINT.
_INTERRUPTED = 130
COMMAND_GROUP = "tollgate.commands"
_ABOUT = (
    "Run and watch a Tollgate trading platform on this machine: one tape, five services, and a risk gate that no "
    "order gets around."
)


class Commands(TyperGroup):
    """The subcommands that are installed; one that cannot be loaded says so and leaves the others alone."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click calls it so
        """Return their names in alphabetical order."""
        return sorted(_installed())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as above
        """Return one of them, none when there is no such."""
        point = _installed().get(cmd_name)
        return None if point is None else load_command(point)


def _installed() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=COMMAND_GROUP)}


def load_command(point: EntryPoint) -> Any:
    """Return the command behind an entry point, or one in its place that explains why it cannot run."""
    try:
        loaded: typer.Typer | Callable[..., None] = point.load()
        return _as_group(point.name, loaded) if isinstance(loaded, typer.Typer) else _as_command(point.name, loaded)
    except Exception as error:  # noqa: BLE001 - a package of somebody else's may fail in any way; it is reported below
        return _as_command(point.name, _broken(point, error))


def _as_group(name: str, app: typer.Typer) -> Any:
    """Return the command behind an app of several; its name in the list of commands is that of the entry point."""
    group = get_command(app)
    group.name = name
    return group


def _as_command(name: str, function: Callable[..., None]) -> Any:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name)(function)
    return get_command(app)


def _broken(point: EntryPoint, error: Exception) -> Callable[[], None]:
    def explain() -> None:
        raise ConsoleError(
            ConsoleExit.NOT_HEALTHY,
            f"the command {point.name!r} ({point.value}) cannot be loaded: {type(error).__name__}: {error}",
        )

    explain.__doc__ = f"Cannot be loaded: {type(error).__name__}: {error}"
    return explain


def main() -> None:
    """Run the command line and exit with one of the documented codes."""
    app = typer.Typer(
        cls=Commands,
        help=f"{_ABOUT}\n\n{EXIT_CODES_HELP}",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(_nothing)
    try:
        app()
    except ConsoleError as error:
        sys.stderr.write(f"tollgate: {error.what}\n")
        sys.exit(int(error.code))
    except KeyboardInterrupt:
        # Before anything was started; what runs has handlers of its own.
        sys.exit(_INTERRUPTED)


def _nothing() -> None:
    """Leave everything to the subcommand."""
