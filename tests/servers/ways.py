"""Where a test's broker and database come from: from wheels, from given addresses, or in containers.

Three variables say so, and what they do not say clearly is refused before the first test.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers import wheels

# They do not begin with TOLLGATE_: tests start services, and those refuse such variables when they do not know them.
WAY = "TEST_SERVERS"
NATS_URL = "TEST_NATS_URL"
POSTGRES_DSN = "TEST_POSTGRES_DSN"


class Way(StrEnum):
    """How the servers come to be there."""

    WHEELS = "wheels"
    """Started from the wheels that are installed with us; nothing else is needed."""
    GIVEN = "given"
    """They run already, and are the tests' own."""
    CONTAINERS = "containers"
    """Started by a container engine, on the images of docker-compose.yml."""


class WrongVariable(ValueError):
    """A variable says what cannot be done; the text names it, and what was expected."""


@dataclass(frozen=True)
class Servers:
    """The way that was chosen, and the addresses that were given."""

    way: Way = Way.WHEELS
    nats_url: str = ""
    postgres_dsn: str = ""

    @classmethod
    def chosen(cls, environment: Mapping[str, str]) -> "Servers":
        """Read the variables; raises ``WrongVariable``."""
        name = environment.get(WAY) or Way.WHEELS
        if name not in list(Way):
            raise WrongVariable(f"{WAY} is {name!r}; expected one of {', '.join(Way)}")
        servers = cls(Way(name), environment.get(NATS_URL, ""), environment.get(POSTGRES_DSN, ""))
        if servers.way is Way.GIVEN:
            servers._check_addresses()
        elif given := [each for each in (NATS_URL, POSTGRES_DSN) if environment.get(each)]:
            raise WrongVariable(f"{given[0]} is set and {WAY} is {servers.way}; expected {WAY}={Way.GIVEN}")
        return servers

    def _check_addresses(self) -> None:
        broker, database = urlsplit(self.nats_url), urlsplit(self.postgres_dsn)
        if broker.scheme not in {"nats", "tls"} or not broker.hostname:
            raise WrongVariable(f"{NATS_URL} is {self.nats_url!r}; expected an address such as nats://127.0.0.1:4222")
        # Tests make roles, and say by its name whether they mean the superuser. A password is not repeated.
        if (database.scheme, database.username, database.path) != ("postgresql", "postgres", "/postgres"):
            raise WrongVariable(
                f"{POSTGRES_DSN} is not that of the superuser and its database; "
                "expected postgresql://postgres:<password>@<host>:<port>/postgres"
            )

    def nats(self, directory: Path) -> AbstractContextManager[str]:
        """Have a broker with JetStream for the block, and return its URL; a wheel's keeps its data in ``directory``."""
        match self.way:
            case Way.WHEELS:
                return wheels.nats(directory)
            case Way.GIVEN:
                return nullcontext(self.nats_url)
            case Way.CONTAINERS:
                from tests.servers import containers  # noqa: PLC0415 - most runs need no container engine's client

                return containers.nats()

    def postgres(self) -> AbstractContextManager[str]:
        """Have a database server for the block, and return its superuser's DSN."""
        match self.way:
            case Way.WHEELS:
                return wheels.postgres()
            case Way.GIVEN:
                return nullcontext(self.postgres_dsn)
            case Way.CONTAINERS:
                from tests.servers import containers  # noqa: PLC0415 - as above

                return containers.postgres()
