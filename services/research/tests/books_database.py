"""A database with books, as a test names it."""

from dataclasses import dataclass

import asyncpg


@dataclass(frozen=True)
class Database:
    """One database of a server that is reached by its socket."""

    name: str
    socket_dir: str

    def dsn(self, role: str) -> str:
        return f"postgresql://{role}@/{self.name}?host={self.socket_dir}"

    async def connect(self, role: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(self.dsn(role))
