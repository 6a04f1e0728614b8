"""A Postgres of a benchmark's own, from the wheel, with roles and schema as they are deployed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.servers import wheels
from tests.servers.postgres import Database


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs; nobody is asked for a password."""

    superuser: str
    """The superuser's DSN."""

    def dsn(self, database: str, role: str) -> str:
        """Return the way into a database as ``role``."""
        return Database(self.superuser, database).dsn(role)

    async def execute(self, database: str, *statements: str) -> None:
        """Execute statements one after the other, as the superuser."""
        connection = await Database(self.superuser, database).connect("postgres")
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def make_books(self, name: str) -> None:
        """Make a database with the ledger's empty books."""
        await self.execute("postgres", f"CREATE DATABASE {name}")
        await Database(self.superuser, name).apply("roles.sql", "ledger.sql")


@contextmanager
def postgres() -> Iterator[Server]:
    """Run a server for the block, with its own defaults; nothing of it is left."""
    with wheels.postgres() as superuser:
        yield Server(superuser)
