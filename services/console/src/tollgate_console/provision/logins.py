"""The database's logins: roles and schemas with their passwords, and the way in for each process that has one."""

from tollgate_console.deployment import find_deployment
from tollgate_console.layout import Layout, write_private
from tollgate_console.provision.database import (
    DATABASE_LOGINS,
    READER,
    DatabasePlace,
    provision_database,
    read_schema,
    role_of,
)
from tollgate_console.provision.keys import POSTGRES_DSN, POSTGRES_READER_DSN, POSTGRES_SUPERUSER, read_password


async def provision_logins(layout: Layout, place: DatabasePlace) -> None:
    """Make database, roles and schemas, and write down for each process how it gets in; doing it again is harmless."""
    await make_logins(layout, place)
    write_logins(layout, place)


async def make_logins(layout: Layout, place: DatabasePlace) -> None:
    """Make database, roles and schemas at the server; doing it again is harmless."""
    passwords = {role_of(login): read_password(layout, login) for login in DATABASE_LOGINS}
    schema = read_schema(find_deployment() / "postgres")
    await provision_database(place, read_password(layout, POSTGRES_SUPERUSER), passwords, schema)


def write_logins(layout: Layout, place: DatabasePlace) -> None:
    """Write down for each process how it gets into the database."""
    for login in DATABASE_LOGINS:
        _write(layout, login, POSTGRES_DSN, place.dsn(role_of(login), read_password(layout, login)))
    # Whoever asks the ledger for the books is answered with the reader's rights, and not with the ledger's own.
    _write(layout, "ledger", POSTGRES_READER_DSN, place.dsn(role_of(READER), read_password(layout, READER)))


def _write(layout: Layout, process: str, name: str, dsn: str) -> None:
    write_private(layout.secrets(process) / name, f"{dsn}\n")
