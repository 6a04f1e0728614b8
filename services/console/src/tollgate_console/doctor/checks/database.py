"""Does the database answer to each who logs in, with the schema of this version, and does it keep what it commits?"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import asyncpg

from tollgate_console.doctor.checks.area import Area
from tollgate_console.doctor.patient import Patient
from tollgate_console.doctor.report import CheckResult
from tollgate_console.provision.database import DATABASE_LOGINS, DATABASE_SERVICES, READER, read_schema, role_of
from tollgate_console.provision.keys import POSTGRES_DSN

AREA = Area("database")
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_ANSWER_S = 3.0
# As people find it among the connections of the server; it can write nothing, whoever it logs in as.
_SESSION = {"application_name": "tollgate doctor", "default_transaction_read_only": "on"}
# Of an address that is none, whichever part of it is wrong, the library raises what Python does.
_NO_ADDRESS = (ValueError, OverflowError)
LOST = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, *_NO_ADDRESS)
"""How a login or a question fails."""
_VERSION = re.compile(r"INSERT INTO (\w+)\.schema_version \(version\) VALUES \((\d+)\)")
_KEEPS = ("fsync", "synchronous_commit", "full_page_writes")
_RIGHTS = """SELECT rolname FROM pg_roles WHERE rolname = ANY($1)
    AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)"""
_RUNBOOK = "docs/runbook.md#postgres-lost"


@asynccontextmanager
async def logged_in(dsn_file: Path) -> AsyncIterator[Connection]:
    """Log in for reading only; raises one of ``LOST``."""
    connection = await asyncpg.connect(
        _dsn(dsn_file), timeout=_ANSWER_S, command_timeout=_ANSWER_S, server_settings=_SESSION
    )
    try:
        yield connection
    finally:
        await connection.close(timeout=_ANSWER_S)


def _dsn(file: Path) -> str:
    return file.read_text().strip()


async def check_database(patient: Patient) -> list[CheckResult]:
    """Report on each login, its schema, the roles' rights, and the settings that durability rests on."""
    if patient.platform is None:
        return [AREA.skipped("database", "no platform runs")]
    expected = expected_versions(patient.deployment / "postgres")
    results = []
    for login in DATABASE_LOGINS:
        try:
            async with logged_in(patient.layout.secrets(login) / POSTGRES_DSN) as connection:
                results += await _check_session(connection, login, expected)
        except LOST as error:
            # Whatever the error says may repeat the address, and with it the password.
            said = f"{role_of(login)} cannot log in or ask: {type(error).__name__}"
            results.append(AREA.failed(f"login {login}", said, f"see logs/postgres.log; {_RUNBOOK}"))
    return results


def expected_versions(folder: Path) -> dict[str, int]:
    """Return the version of each schema that the files of ``folder`` make."""
    found = (_VERSION.search(file.sql) for file in read_schema(folder))
    return {match[1]: int(match[2]) for match in found if match is not None}


async def _check_session(connection: Connection, login: str, expected: dict[str, int]) -> list[CheckResult]:
    settings = {name: await connection.fetchval("SELECT current_setting($1)", name) for name in _KEEPS}
    results = [check_keeping(login, settings)]
    if login in DATABASE_SERVICES:
        results.append(await _check_schema(connection, login, expected[login]))
    if login == READER:
        roles = [role_of(each) for each in DATABASE_LOGINS]
        too_much = [
            f"{row['rolname']} may do more than its own schema" for row in await connection.fetch(_RIGHTS, roles)
        ]
        do = "apply deploy/postgres/roles.sql again, which `tollgate up` does"
        results.append(AREA.decided("roles", too_much, f"{', '.join(roles)} have no rights of an administrator", do))
    return results


def check_keeping(login: str, settings: dict[str, str]) -> CheckResult:
    """Say whether what a session commits is on the disk."""
    off = [f"{name} is {settings[name]}, expected on" for name in _KEEPS if settings[name] != "on"]
    do = "switch it on, and look for what a crash may have lost meanwhile: `tollgate audit verify`"
    return AREA.decided(f"login {login}", off, f"it answers, with {', '.join(_KEEPS)} on", do)


async def _check_schema(connection: Connection, schema: str, expected: int) -> CheckResult:
    name, do = f"schema {schema}", "use the version of Tollgate that made it, or start the platform again"
    try:
        # The name is one of ours, and no parameter can be one.
        found = await connection.fetchval(f"SELECT version FROM {schema}.schema_version")  # noqa: S608 - as above
    except asyncpg.PostgresError as error:
        return AREA.failed(name, f"it is not there or not readable: {type(error).__name__}, expected {expected}", do)
    wrong = [] if found == expected else [f"version {found}, expected {expected}"]
    return AREA.decided(name, wrong, f"version {found}, as this Tollgate makes it", do)
