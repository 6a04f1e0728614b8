"""The Secrets that ``tollgate credentials`` makes and exports: what an overlay's pods will find in the cluster."""

import tempfile
from functools import cache
from pathlib import Path

import yaml

from tollgate_console.layout import Layout
from tollgate_console.provision.broker import BrokerPlace, StreamSizes
from tollgate_console.provision.credentials import Place, make_credentials
from tollgate_console.provision.database import DatabasePlace
from tollgate_console.provision.kubernetes import secret_manifests

DESK, NAMESPACE = "main", "tollgate"


def make(folder: Path, sizes: StreamSizes, nodes: tuple[str, ...]) -> Layout:
    """Make a desk's credentials, for a broker with these nodes; none for one that is alone."""
    layout = Layout(folder)
    broker = BrokerPlace(4222, 8222, Path("/data"), host="0.0.0.0")  # noqa: S104 - as the command has it
    make_credentials(layout, DESK, sizes, Place(broker, DatabasePlace(5432, "postgres"), nodes))
    return layout


@cache
def exported(nodes: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Return every Secret with its keys and contents."""
    with tempfile.TemporaryDirectory() as folder:
        text = secret_manifests(make(Path(folder) / "desk", StreamSizes(), nodes), NAMESPACE)
    return {each["metadata"]["name"]: each["stringData"] for each in yaml.safe_load_all(text)}
