"""``tollgate up``: start the whole platform here, show it live, and stop it on Ctrl-C."""

from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.exits import EXIT_CODES_HELP, ConsoleError, ConsoleExit

DEFAULT_CONFIG = Path("config/tollgate.yaml")
DEFAULT_STATE = Path(".tollgate")


def _speed(text: str) -> Decimal:
    try:
        speed = Decimal(text)
    except InvalidOperation as error:
        raise typer.BadParameter(f"{text!r} is not a number") from error
    if not speed.is_finite() or speed < 0:
        raise typer.BadParameter("0 or more is expected; 0 plays as fast as possible")
    return speed


def up(
    replay: Annotated[
        Path | None,
        typer.Option(help="Play this recorded market instead of the generated one.", metavar="FILE", exists=True),
    ] = None,
    speed: Annotated[
        Decimal | None,
        typer.Option(help="How fast: 1 as recorded, 10 ten times, 0 as fast as possible.", parser=_speed, metavar="N"),
    ] = None,
    state_dir: Annotated[Path, typer.Option(help="Where data, keys and logs are kept.")] = DEFAULT_STATE,
    config: Annotated[Path | None, typer.Option(help=f"Configuration file. [default: {DEFAULT_CONFIG}]")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Print events line by line instead of the live view.")] = False,
    base_port: Annotated[
        int | None,
        typer.Option(help="Use ports from this one on, for a second platform on one machine.", min=1024, max=65_500),
    ] = None,
    until_seconds: Annotated[
        float | None, typer.Option(help="Stop by itself after so many seconds.", min=0, metavar="S")
    ] = None,
) -> None:
    """Start broker, database, simulated exchange and the five services, and show them live; Ctrl-C stops everything."""
    # Loaded only when it is needed: ``--help`` and the other commands start quickly.
    from tollgate_console.supervisor.plan import Replay  # noqa: PLC0415 - as above
    from tollgate_console.supervisor.session import Options, run_session  # noqa: PLC0415 - as above

    if speed is not None and replay is None:
        raise typer.BadParameter("--speed needs --replay")
    run_session(
        Options(
            state_dir=state_dir,
            config=configuration(config),
            replay=None if replay is None else Replay(replay, speed),
            plain=plain,
            base_port=base_port,
            until_s=until_seconds,
        )
    )


up.__doc__ = f"{up.__doc__}\n\n{EXIT_CODES_HELP}"


def configuration(given: Path | None) -> Path | None:
    """Return the file to read, which is the usual one when none is given, and none where that is not there either.

    Raises ``ConsoleError`` when the one that is given is not there.
    """
    if given is not None and not given.is_file():
        raise ConsoleError(ConsoleExit.BAD_CONFIGURATION, f"configuration file {given} is not there")
    if given is None and not DEFAULT_CONFIG.is_file():
        return None
    return given or DEFAULT_CONFIG
