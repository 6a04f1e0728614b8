"""``tollgate credentials``: make the keys of a desk that runs in containers, and hand them to Kubernetes."""

from pathlib import Path
from typing import Annotated

import typer

from tollgate_console.exits import EXIT_CODES_HELP

_Directory = Annotated[Path, typer.Argument(help="Where the credentials are kept; for its owner's eyes only.")]

credentials = typer.Typer(
    help=f"Make the credentials of a desk that runs in containers.\n\n{EXIT_CODES_HELP}",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@credentials.command()
def make(
    directory: _Directory,
    nats_node: Annotated[
        list[str] | None,
        typer.Option(help="A node of a cluster of brokers; once for each.", metavar="HOST", show_default=False),
    ] = None,
    nats_store: Annotated[Path, typer.Option(help="Where the broker keeps its streams.")] = Path("/data"),
    postgres: Annotated[str, typer.Option(help="Where services reach the database.", metavar="HOST:PORT")] = (
        "postgres:5432"
    ),
    config: Annotated[Path | None, typer.Option(help="Configuration file of the desk.")] = None,
) -> None:
    """Make every key, password and token that is not there yet, and the broker's configuration; again is harmless."""
    from tollgate_console.layout import Layout  # noqa: PLC0415 - ``--help`` and the other commands start quickly
    from tollgate_console.provision.broker import BrokerPlace  # noqa: PLC0415 - as above
    from tollgate_console.provision.credentials import Place, make_credentials  # noqa: PLC0415 - as above
    from tollgate_console.provision.database import DatabasePlace  # noqa: PLC0415 - as above
    from tollgate_console.settings import load_settings  # noqa: PLC0415 - as above

    settings = load_settings(config)
    # Inside its own network a container listens on every address; which ones there are is the deployment's business.
    broker = BrokerPlace(4222, 8222, nats_store, host="0.0.0.0")  # noqa: S104 - as above
    place = Place(broker, DatabasePlace.parse(postgres), tuple(nats_node or ()))
    for warning in make_credentials(Layout(directory), settings.desk, settings.console.stream_sizes, place):
        typer.echo(warning, err=True)
    typer.echo(f"the credentials of desk {settings.desk} are in {directory}", err=True)


@credentials.command()
def kubernetes(
    directory: _Directory,
    namespace: Annotated[str, typer.Option(help="The desk's namespace.")],
) -> None:
    """Print the credentials as Secrets, for ``kubectl apply -f -``; what is printed is secret."""
    from tollgate_console.layout import Layout  # noqa: PLC0415 - ``--help`` and the other commands start quickly
    from tollgate_console.provision.kubernetes import secret_manifests  # noqa: PLC0415 - as above

    typer.echo(secret_manifests(Layout(directory), namespace), nl=False)
