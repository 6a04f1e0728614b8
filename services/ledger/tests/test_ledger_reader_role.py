"""Whoever only reads the books writes nothing, whatever his session is set to."""

import asyncpg
import pytest

ROLE = "tollgate_reader"


@pytest.fixture
async def reader(database):
    connection = await database.connect(ROLE)
    yield connection
    await connection.close()


async def test_its_transactions_are_read_only_and_its_statements_end(reader):
    settings = ("default_transaction_read_only", "statement_timeout", "temp_file_limit")
    assert [await reader.fetchval("SELECT current_setting($1)", name) for name in settings] == ["on", "10min", "2GB"]


WRITES = [
    "INSERT INTO ledger.schema_version (version) VALUES (9)",
    "UPDATE ledger.checkpoint SET desk = 'x'",
    "DELETE FROM ledger.seals",
    "SELECT * FROM ledger.checkpoint FOR UPDATE",
    "CREATE TEMP TABLE mine (n integer)",
    "CREATE TABLE public.mine (n integer)",
    "CREATE SCHEMA mine",
    "SELECT lo_creat(-1)",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT pg_logical_emit_message(false, 'a', 'b')",
    "SELECT pg_logical_emit_message(true, 'a', 'b'::bytea)",
    "COPY (SELECT 1) TO '/tmp/mine'",
    "SET temp_file_limit = -1",
    "ALTER ROLE tollgate_reader SET temp_file_limit = -1",
    "ALTER ROLE tollgate_reader RESET temp_file_limit",
    "SET session_replication_role = replica",
    "SET ROLE tollgate_ledger",
]


@pytest.mark.parametrize("statement", WRITES)
async def test_it_writes_nothing_also_when_its_transactions_may(reader, statement):
    await reader.execute("SET default_transaction_read_only = off")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute(statement)
