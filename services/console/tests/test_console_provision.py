"""Provisioning against the real broker and database: once and again, and never over something else."""

import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from nats.aio.client import Client

from tollgate_chassis.durability import check_durability
from tollgate_console.deployment import find_deployment
from tollgate_console.exits import ConsoleError, ConsoleExit
from tollgate_console.layout import Layout
from tollgate_console.provision.broker import (
    PROVISIONER,
    StreamSizes,
    provision_streams,
    stream_configs,
    stream_differences,
)
from tollgate_console.provision.database import (
    DATABASE_LOGINS,
    READER,
    SUPERUSER,
    DatabasePlace,
    SchemaFile,
    provision_database,
    read_schema,
    role_of,
)
from tollgate_console.provision.keys import NATS_SEED, provision_secrets, read_password
from tollgate_console.provision.permissions import read_table

MIB = 1_024 * 1_024
SIZES = StreamSizes(32 * MIB, 8 * MIB, 8 * MIB)
SCHEMA = read_schema(find_deployment() / "postgres")


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_secrets_are_made_once(layout: Layout) -> None:
    """A second provisioning changes no byte."""
    provision_secrets(layout, ("risk", "execution"), DATABASE_LOGINS)
    before = contents(layout.root / "secrets")
    provision_secrets(layout, ("risk", "execution"), DATABASE_LOGINS)
    assert contents(layout.root / "secrets") == before
    values = [value for name, value in before.items() if not name.endswith(("venue_api_key", "venue_api_secret"))]
    assert len(set(values)) == len(values)


def test_execution_trusts_the_key_that_risk_signs_with(layout: Layout) -> None:
    """A new signing key is trusted beside the one before."""
    provision_secrets(layout, (), ())
    keys = layout.secrets("execution") / "approval_public_keys"
    first = keys.read_text().split()
    (layout.secrets("risk") / "approval_signing_key").unlink()
    provision_secrets(layout, (), ())
    assert keys.read_text().split()[:1] == first
    assert len(keys.read_text().split()) == 2


async def provision(broker: Any, sizes: StreamSizes = SIZES) -> None:
    seed = (broker.layout.secrets(PROVISIONER) / NATS_SEED).read_text().strip()
    await provision_streams(broker.place.url, seed, "main", sizes)


async def ask(broker: Any, subject: str, content: Any = None) -> dict[str, Any]:
    client = Client()
    seed = (broker.layout.secrets(PROVISIONER) / NATS_SEED).read_text().strip()
    await client.connect(
        servers=[broker.place.url], nkeys_seed_str=seed, inbox_prefix=b"_INBOX_provisioner", allow_reconnect=False
    )
    try:
        answer = await client.request(subject, json.dumps(content).encode() if content else b"", timeout=2)
        parsed: dict[str, Any] = json.loads(answer.data)
        return parsed
    finally:
        await client.close()


async def describe(broker: Any) -> dict[str, Any]:
    return await ask(broker, "$JS.API.STREAM.INFO.TAPE_main")


async def test_streams_are_made_once_and_are_what_the_services_insist_on(broker: Any) -> None:
    """The second provisioning finds them as they are; the services' own start-up check agrees."""
    await provision(broker)
    first = await describe(broker)
    await provision(broker)
    second = await describe(broker)
    assert (second["config"], second["created"]) == (first["config"], first["created"])
    check_durability(second, "main")
    assert second["config"]["max_msg_size"] == 262_144


async def test_a_stream_may_grow_and_may_not_shrink(broker: Any) -> None:
    """Its size is the one setting that may be changed, in one direction."""
    await provision(broker, StreamSizes(16 * MIB, 8 * MIB, 8 * MIB))
    await provision(broker, SIZES)
    assert (await describe(broker))["config"]["max_bytes"] == 32 * MIB
    with pytest.raises(ConsoleError, match="not made smaller"):
        await provision(broker, StreamSizes(16 * MIB, 8 * MIB, 8 * MIB))


async def test_a_stream_that_promises_less_is_refused(broker: Any) -> None:
    """A tape that forgets when full, or takes deletes, is not taken for one; the message names every difference."""
    weak = {**stream_configs("main", SIZES)[0], "discard": "old", "deny_delete": False, "max_age": 60_000_000_000}
    del weak["republish"]
    assert "error" not in await ask(
        broker, "$JS.API.STREAM.CREATE.TAPE_main", weak | {"duplicate_window": 1_000_000_000}
    )
    with pytest.raises(ConsoleError) as error:
        await provision(broker)
    assert error.value.code == ConsoleExit.BAD_CONFIGURATION
    for name in ("discard", "deny_delete", "max_age", "republish", "duplicate_window", "--state-dir"):
        assert name in error.value.what


async def test_streams_that_do_not_fit_the_store_are_refused(broker: Any) -> None:
    """More than the broker may store at all."""
    with pytest.raises(ConsoleError) as error:
        await provision(broker, StreamSizes(512 * MIB, 8 * MIB, 8 * MIB))
    assert error.value.code == ConsoleExit.TEMPORARY
    assert "TAPE_main" in error.value.what


async def test_a_full_tape_takes_nothing_more_and_forgets_nothing(broker: Any) -> None:
    """Discard new: the append is refused in words, and what is there stays."""
    await provision(broker, StreamSizes(1 * MIB, 1 * MIB, 1 * MIB))
    client = Client()
    seed = (broker.layout.secrets("risk") / NATS_SEED).read_text().strip()
    await client.connect(servers=[broker.place.url], nkeys_seed_str=seed, inbox_prefix=b"_INBOX_risk")
    answers = [
        json.loads((await client.request("tape.main.risk.policy", b"x" * 200_000, timeout=2)).data) for _ in range(8)
    ]
    await client.close()
    taken = [answer for answer in answers if "error" not in answer]
    assert len(taken) == 5
    assert "maximum bytes exceeded" in answers[-1]["error"]["description"]
    assert (await describe(broker))["state"]["messages"] == 5


def test_what_the_server_leaves_out_is_no_difference() -> None:
    """False and empty settings are not in the server's answer."""
    wanted = stream_configs("main", SIZES)[0]
    assert stream_differences(wanted, {key: value for key, value in wanted.items() if value}) == []
    assert stream_differences(wanted, {**wanted, "sources": [{"name": "OTHER"}]}) != []


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('[users.risk]\npublishes = ["x"]', "no such column publishes"),
        ('[users.risk]\nhears = ["secret.x"]', "nobody says secret.x"),
        ('[users.boss]\nmanages = ["TAPE_x"]\nappends = ["tape.x"]', "may do nothing else"),
    ],
)
def test_a_wrong_table_of_permissions_is_refused(tmp_path: Path, table: str, words: str) -> None:
    """The error names the line."""
    path = tmp_path / "permissions.toml"
    path.write_text(table)
    with pytest.raises(ConsoleError, match=words):
        read_table(path, "main")


async def provision_all(database: Any, schema: tuple[SchemaFile, ...] = SCHEMA) -> DatabasePlace:
    layout, place = database.layout, database.place
    passwords = {role_of(login): read_password(layout, login) for login in DATABASE_LOGINS}
    await provision_database(place, read_password(layout, SUPERUSER), passwords, schema)
    assert isinstance(place, DatabasePlace)
    return place


async def as_role(database: Any, service: str) -> Any:
    return await asyncpg.connect(database.place.dsn(role_of(service), read_password(database.layout, service)))


async def test_roles_and_schemas_are_made_once_and_kept_apart(database: Any) -> None:
    """Again changes nothing; a service reaches its own schema and no other's, and cannot become the owner."""
    await provision_all(database)
    await provision_all(database)
    execution = await as_role(database, "execution")
    assert await execution.fetchval("SELECT count(*) FROM execution.journal") == 0
    assert await execution.fetchval("SHOW synchronous_commit") == "on"
    forbidden = [
        "SELECT * FROM ledger.archive",
        "CREATE TABLE public.door (x int)",
        "CREATE TABLE execution.door (x int)",
        "CREATE SCHEMA door",
        "CREATE TEMP TABLE door (x int)",
        "CREATE ROLE door",
        "SET ROLE tollgate_owner",
        "SET ROLE tollgate_ledger",
        "SET ROLE postgres",
        "ALTER ROLE tollgate_ledger PASSWORD 'x'",
        "CREATE DATABASE door",
        "DELETE FROM execution.journal",
        "TRUNCATE execution.journal",
        "DROP TABLE execution.journal",
        "ALTER TABLE execution.journal DISABLE TRIGGER ALL",
        "COPY execution.journal TO PROGRAM 'cat'",
        "SELECT pg_read_file('PG_VERSION')",
        "SET session_replication_role = replica",
    ]
    for statement in forbidden:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await execution.execute(statement)
    await execution.close()
    ledger = await as_role(database, "ledger")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ledger.execute("SELECT * FROM execution.journal")
    await ledger.close()


async def test_the_reader_sees_the_books_and_can_do_nothing_else(database: Any) -> None:
    """Not even where it takes its transactions' read-only default away."""
    await provision_all(database)
    reader = await as_role(database, READER)
    for table in ("archive", "entries", "postings", "balances", "trips", "trade_costs", "equity", "days", "checkpoint"):
        await reader.fetch(f"SELECT * FROM ledger.{table}")  # noqa: S608 - our own names
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await reader.execute("DELETE FROM ledger.entries")
    await reader.execute("SET default_transaction_read_only = off")
    forbidden = [
        "SELECT * FROM execution.journal",
        "DELETE FROM ledger.entries",
        "INSERT INTO ledger.days SELECT * FROM ledger.days",
        "UPDATE ledger.checkpoint SET desk = 'other'",
        "TRUNCATE ledger.postings",
        "CREATE TABLE ledger.door (x int)",
        "CREATE TEMP TABLE door (x int)",
        "SET ROLE tollgate_ledger",
        "SET session_replication_role = replica",
    ]
    for statement in forbidden:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(statement)
    await reader.close()


async def test_nobody_gets_in_without_a_password(database: Any) -> None:
    """Wrong passwords, other databases, and the owner, who cannot log in at all."""
    place = await provision_all(database)
    ledger = read_password(database.layout, "ledger")
    for dsn in (
        place.dsn("tollgate_ledger", "wrong"),
        place.dsn("tollgate_execution", ledger),
        place.dsn("tollgate_ledger", ledger, "postgres"),
        place.dsn("tollgate_ledger", ledger, "template1"),
        place.dsn("tollgate_owner", ledger),
        place.dsn(SUPERUSER, ""),
    ):
        with pytest.raises((asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidPasswordError)):
            await asyncpg.connect(dsn, timeout=2)


async def test_the_database_is_on_the_disk_before_it_says_so(database: Any) -> None:
    """The settings that a commit's promise rests on."""
    place = await provision_all(database)
    connection = await asyncpg.connect(place.dsn(SUPERUSER, read_password(database.layout, SUPERUSER)))
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        assert await connection.fetchval("SELECT current_setting($1)", setting) == "on"
    assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
    assert await connection.fetchval("SHOW unix_socket_directories") == ""
    await connection.close()


async def test_a_schema_that_cannot_be_applied_is_named(database: Any) -> None:
    """The file, and the database's own words."""
    broken = SchemaFile(Path("deploy/postgres/broken.sql"), "CREATE TABL x")
    with pytest.raises(ConsoleError, match=r"broken\.sql cannot be applied.*syntax error"):
        await provision_all(database, (broken,))
