"""What the catalogs say of a database that ``roles.sql`` and ``ledger.sql`` have just made; the audit compares with it.

Write it down anew with ``make contracts`` after a change of one of the two files.
"""

import asyncio
import json
from pathlib import Path

import asyncpg

from tests.servers import wheels
from tollgate_research.audit.schema import EXPECTED_FILE, Catalog, read_catalog

SCHEMA = Path(__file__).parents[3] / "deploy" / "postgres"
# The newest and the oldest that come as a wheel; the platform runs on the newest.
VERSIONS = (18, 16)


def catalog_of(version: int) -> Catalog:
    """Return what a server of this major version says."""
    with wheels.postgres(version) as dsn:
        return asyncio.run(_catalog(dsn))


async def _catalog(dsn: str) -> Catalog:
    connection = await asyncpg.connect(dsn)
    try:
        for name in ("roles.sql", "ledger.sql"):
            await connection.execute((SCHEMA / name).read_text())
        return await read_catalog(connection)
    finally:
        await connection.close()


def written(catalog: Catalog) -> str:
    """Return the file's content."""
    return json.dumps(dict(sorted(catalog.items())), indent=1) + "\n"


if __name__ == "__main__":
    EXPECTED_FILE.write_text(written(catalog_of(VERSIONS[0])))
