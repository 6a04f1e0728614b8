"""A database of each test's own, made of the files that are deployed, on a server of any of the three ways."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import asyncpg

SCHEMAS = Path(__file__).parents[2] / "deploy" / "postgres"
# What bears it is made by tests, and deleted by them.
PREFIX = "tollgate_test_"


@dataclass(frozen=True)
class Database:
    """One database, and the ways into it."""

    server: str
    """The superuser's DSN."""
    name: str

    def dsn(self, role: str) -> str:
        """Return the way in as ``role``, with the superuser's password, which every role has here."""
        parts = urlsplit(self.server)
        login = role if parts.password is None else f"{role}:{parts.password}"
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{login}@{place}", path=f"/{self.name}"))

    async def connect(self, role: str) -> "asyncpg.Connection[asyncpg.Record]":
        """Connect as ``role``; whoever asks closes it."""
        return await asyncpg.connect(self.dsn(role))

    async def apply(self, *files: str) -> None:
        """Apply files of deploy/postgres as the superuser."""
        connection = await self.connect("postgres")
        try:
            for file in files:
                await connection.execute((SCHEMAS / file).read_text())
        finally:
            await connection.close()


class Postgres:
    """A server on which tests have databases of their own."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._templates: dict[tuple[str, ...], Database] = {}

    def database(self, name: str) -> Database:
        """Name a database, whether it is there or not."""
        return Database(self._dsn, name)

    @asynccontextmanager
    async def fresh(self, *files: str) -> AsyncIterator[Database]:
        """Make a database for the block, to which files of deploy/postgres were applied.

        What is not the database's own is not copied with it: the rights on the database itself are the default ones.
        """
        if files not in self._templates:
            self._templates[files] = await self._make_template(files)
        made = self._new()
        server = await self.database("postgres").connect("postgres")
        try:
            await server.execute(f"CREATE DATABASE {made.name} TEMPLATE {self._templates[files].name}")
            try:
                yield made
            finally:
                await server.execute(f"DROP DATABASE {made.name} WITH (FORCE)")
        finally:
            await server.close()

    async def clear(self) -> None:
        """Drop every database of tests, also of a run that was killed; the roles stay."""
        self._templates.clear()
        server = await self.database("postgres").connect("postgres")
        try:
            for row in await server.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", PREFIX):
                await server.execute(f'DROP DATABASE "{row["datname"]}" WITH (FORCE)')
        finally:
            await server.close()

    def _new(self) -> Database:
        return self.database(f"{PREFIX}{os.urandom(6).hex()}")

    async def _make_template(self, files: tuple[str, ...]) -> Database:
        template = self._new()
        server = await self.database("postgres").connect("postgres")
        try:
            await server.execute(f"CREATE DATABASE {template.name}")
            await template.apply(*files)
            await self._let_in(server)
        finally:
            await server.close()
        return template

    async def _let_in(self, server: "asyncpg.Connection[asyncpg.Record]") -> None:
        """Give the roles the superuser's password, where it has one."""
        password = urlsplit(self._dsn).password
        if password is None:
            return
        # A statement of this kind takes no parameters; the server itself quotes the text.
        changes = await server.fetch(
            "SELECT format('ALTER ROLE %I PASSWORD %L', rolname, $1::text) AS change FROM pg_roles"
            " WHERE rolcanlogin AND starts_with(rolname, 'tollgate_')",
            unquote(password),
        )
        for row in changes:
            await server.execute(row["change"])
