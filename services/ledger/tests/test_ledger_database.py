"""Which databases the ledger works with, and how it ends when one says no."""

import asyncpg
import pytest

from tollgate_chassis.exits import BadConfiguration, Restart
from tollgate_ledger.store import BooksContradicted, CommitInDoubt, Store, _explained


async def test_a_database_without_the_schema_says_what_to_apply(database):
    with pytest.raises(BadConfiguration, match=r"was deploy/postgres/ledger\.sql applied"):
        await Store(database.dsn("tollgate_ledger").replace(database.name, "postgres"), "main").open()


async def test_a_schema_of_another_version_is_refused(superuser, database):
    await superuser.execute("UPDATE ledger.schema_version SET version = 1")
    with pytest.raises(BadConfiguration, match="has version 1, this program needs 3"):
        await Store(database.dsn("tollgate_ledger"), "main").open()


async def test_an_unknown_login_or_database_is_bad_configuration(database):
    for dsn in (database.dsn("nobody"), database.dsn("tollgate_ledger").replace(database.name, "no_such")):
        with pytest.raises(BadConfiguration):
            await Store(dsn, "main").open()


async def test_a_database_that_is_not_there_asks_for_a_restart(tmp_path):
    with pytest.raises(Restart, match="connecting to the ledger's database"):
        await Store(f"postgresql://x@/x?host={tmp_path}", "main").open()


async def test_a_session_that_does_not_wait_for_the_disk_is_refused(monkeypatch, database):
    connect = asyncpg.connect

    async def careless(dsn, **options):
        options["server_settings"] = {**options["server_settings"], "synchronous_commit": "off"}
        return await connect(dsn, **options)

    monkeypatch.setattr(asyncpg, "connect", careless)
    with pytest.raises(BadConfiguration, match="synchronous_commit: off, expected on"):
        await Store(database.dsn("tollgate_ledger"), "main").open()


ENDS = [
    (asyncpg.UniqueViolationError, BooksContradicted),
    (asyncpg.CheckViolationError, BooksContradicted),
    (asyncpg.NumericValueOutOfRangeError, BooksContradicted),
    (asyncpg.CharacterNotInRepertoireError, BooksContradicted),
    (asyncpg.InsufficientPrivilegeError, BadConfiguration),
    (asyncpg.UndefinedTableError, BadConfiguration),
    (asyncpg.InvalidPasswordError, BadConfiguration),
    (asyncpg.InvalidCatalogNameError, BadConfiguration),
    (asyncpg.DiskFullError, CommitInDoubt),
    (asyncpg.AdminShutdownError, CommitInDoubt),
    (asyncpg.LockNotAvailableError, CommitInDoubt),
    (asyncpg.ConnectionDoesNotExistError, CommitInDoubt),
    (asyncpg.InterfaceError, CommitInDoubt),
    (asyncpg.InternalClientError, CommitInDoubt),
    (ConnectionResetError, CommitInDoubt),
    (TimeoutError, CommitInDoubt),
]


@pytest.mark.parametrize(("error", "end"), ENDS, ids=[error.__name__ for error, _ in ENDS])
def test_only_what_a_restart_can_cure_asks_for_one(error, end):
    """A restart that meets the same refusal again is a crash loop, so those end the process for good."""
    with pytest.raises(end, match="committing"), _explained("committing", CommitInDoubt):
        raise error("why")
