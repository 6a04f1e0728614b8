"""``tollgate provision``: make streams, roles and schemas at a broker and a database that somebody else runs."""

from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.exits import EXIT_CODES_HELP


def provision(
    directory: Annotated[Path, typer.Argument(help="Where the credentials are, as `tollgate credentials` makes them.")],
    nats: Annotated[str, typer.Option(help="The broker.", metavar="HOST:PORT")] = "nats:4222",
    nats_monitor: Annotated[
        str, typer.Option(help="Where a broker that is alone says how it was started.", metavar="HOST:PORT")
    ] = "nats:8222",
    replicas: Annotated[
        int, typer.Option(help="Copies of each stream; three where the broker is a cluster.", min=1, max=5)
    ] = 1,
    postgres: Annotated[str, typer.Option(help="The database server.", metavar="HOST:PORT")] = "postgres:5432",
    config: Annotated[Path | None, typer.Option(help="Configuration file of the desk.")] = None,
    wait_seconds: Annotated[float, typer.Option(help="How long to wait for both to answer.", min=0)] = 120,
) -> None:
    """Make the desk's streams, database, roles and schemas; what is there and differs is refused. Again is harmless."""
    import asyncio  # noqa: PLC0415 - ``--help`` and the other commands start quickly

    from tollgate_console.layout import Layout  # noqa: PLC0415 - as above
    from tollgate_console.provision.database import DatabasePlace  # noqa: PLC0415 - as above
    from tollgate_console.provision.elsewhere import Elsewhere, provision_elsewhere  # noqa: PLC0415 - as above
    from tollgate_console.settings import load_settings  # noqa: PLC0415 - as above

    settings = load_settings(config)
    elsewhere = Elsewhere(
        Layout(directory),
        settings.desk,
        settings.console.stream_sizes,
        f"nats://{nats}",
        f"http://{nats_monitor}/varz",
        replicas,
        DatabasePlace.parse(postgres),
    )
    asyncio.run(provision_elsewhere(elsewhere, wait_seconds))
    typer.echo(f"the streams and the database of desk {settings.desk} are there", err=True)


provision.__doc__ = f"{provision.__doc__}\n\n{EXIT_CODES_HELP}"
