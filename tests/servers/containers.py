"""A broker and a database in containers, on the images that docker-compose.yml deploys.

They are removed at the end of the block, and by the reaper of testcontainers when that is not reached.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import ExecWaitStrategy, LogMessageWaitStrategy

from tests.deploy.compose.compose_file import filled, services
from tests.servers.wheels import nats_config

NATS_PORT, POSTGRES_PORT = 4222, 5432
_CONFIG = "/nats.conf"
_DATA = "/data"


def image(service: str) -> str:
    """Return the image of a service of the compose file."""
    return filled(services()[service]["image"])


@contextmanager
def nats() -> Iterator[str]:
    """Run a broker for the block, and return its URL."""
    container = (
        DockerContainer(image("nats"))
        .with_command(["--config", _CONFIG])
        .with_copy_into_container(nats_config(f"0.0.0.0:{NATS_PORT}", _DATA).encode(), _CONFIG)
        .waiting_for(LogMessageWaitStrategy("Server is ready"))
    )
    with _running(container, NATS_PORT) as address:
        yield f"nats://{address}"


@contextmanager
def postgres() -> Iterator[str]:
    """Run a database server for the block, and return its superuser's DSN."""
    password = secrets.token_hex(16)
    container = (
        DockerContainer(image("postgres"))
        .with_env("POSTGRES_PASSWORD", password)
        # While it is made the server listens on its socket alone.
        .waiting_for(ExecWaitStrategy(["pg_isready", "--quiet", "--host", "127.0.0.1", "--username", "postgres"]))
    )
    with _running(container, POSTGRES_PORT) as address:
        yield f"postgresql://postgres:{password}@{address}/postgres"


@contextmanager
def _running(container: DockerContainer, port: int) -> Iterator[str]:
    """Run a container for the block, and return where its port is reached."""
    try:
        container.with_exposed_ports(port).start()
        yield f"{container.get_container_host_ip()}:{container.get_exposed_port(port)}"
    except DockerException as error:
        if not testcontainers_config.ryuk_disabled:
            error.add_note(f"Without {testcontainers_config.ryuk_image}, the reaper: TESTCONTAINERS_RYUK_DISABLED=true")
        raise
    finally:
        container.stop()
