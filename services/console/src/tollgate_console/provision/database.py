"""The database: one role and one schema for each service that stores anything, from the files in deploy/postgres."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import asyncpg

from tollgate_console.exits import ConsoleError, ConsoleExit

DATABASE = "tollgate"
RESTORING = "tollgate_restoring"
"""Where a backup is restored and verified before it takes the place of ``DATABASE``."""
SUPERUSER = "postgres"
DATABASE_SERVICES = ("execution", "ledger")
READER = "reader"
"""No service: whoever reports on the books or verifies them logs in as this, and may only read."""
DATABASE_LOGINS = (*DATABASE_SERVICES, READER)
# The roles must be there before the schemas that grant them anything.
_FIRST = "roles.sql"
_CONNECT_S = 5.0


@dataclass(frozen=True, slots=True)
class DatabasePlace:
    """Where the database listens."""

    port: int
    host: str = "127.0.0.1"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the place named by ``HOST:PORT``; raises ``ConsoleError`` when it is not one."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdigit():
            raise ConsoleError(ConsoleExit.USAGE, f"{text!r}: HOST:PORT is expected, such as postgres:5432")
        return cls(int(port), host)

    def dsn(self, role: str, password: str, database: str = DATABASE) -> str:
        """Return what a client connects with."""
        return f"postgresql://{role}:{password}@{self.host}:{self.port}/{database}"


def role_of(service: str) -> str:
    """Return the role as which a service, or the reader, logs in."""
    return f"tollgate_{service}"


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One file of the deployment, and what is in it."""

    path: Path
    sql: str


def read_schema(folder: Path) -> tuple[SchemaFile, ...]:
    """Return the files of ``folder`` in the order in which they must be applied."""
    paths = sorted(folder.glob("*.sql"), key=lambda path: (path.name != _FIRST, path.name))
    return tuple(SchemaFile(path, path.read_text()) for path in paths)


async def provision_database(
    place: DatabasePlace,
    superuser_password: str,
    role_passwords: dict[str, str],
    schema: tuple[SchemaFile, ...],
    database: str = DATABASE,
) -> None:
    """Make database, roles and schemas, and set the roles' passwords; doing it again changes nothing.

    Raises ``ConsoleError`` with the database's own words when a file cannot be applied.
    """
    await _make_database(place, superuser_password, database)
    connection = await asyncpg.connect(place.dsn(SUPERUSER, superuser_password, database), timeout=_CONNECT_S)
    try:
        for file in schema:
            await _apply(connection, file)
        for role, password in role_passwords.items():
            await _set_password(connection, role, password)
    finally:
        await connection.close()


async def _make_database(place: DatabasePlace, password: str, database: str) -> None:
    connection = await asyncpg.connect(place.dsn(SUPERUSER, password, SUPERUSER), timeout=_CONNECT_S)
    try:
        if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", database):
            await connection.execute(f'CREATE DATABASE "{database}"')
            # The other databases are nobody's business.
            await connection.execute(f'REVOKE ALL ON DATABASE "{SUPERUSER}" FROM PUBLIC')
    finally:
        await connection.close()


async def _apply(connection: "asyncpg.Connection[asyncpg.Record]", file: SchemaFile) -> None:
    try:
        await connection.execute(file.sql)
    except asyncpg.PostgresError as error:
        raise ConsoleError(
            ConsoleExit.BAD_CONFIGURATION, f"{file.path} cannot be applied to the database: {error}"
        ) from error


async def _set_password(connection: "asyncpg.Connection[asyncpg.Record]", role: str, password: str) -> None:
    # ALTER ROLE takes no parameters; our passwords are hexadecimal, and so need no quoting.
    if not password.isalnum():
        raise ConsoleError(ConsoleExit.BAD_CONFIGURATION, f"the password of {role} must be letters and digits only")
    await connection.execute(f"ALTER ROLE \"{role}\" PASSWORD '{password}'")
