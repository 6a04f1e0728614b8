"""Whether the database still refuses what it must: its catalogs beside those that ``ledger.sql`` makes.

Chains and seals tell what was changed. This tells who may change it, and whether anything would refuse: a trigger that
is switched off, a right that was granted, a check that was dropped, a function that says something else. What must be
there lies beside this file, as it was read off a database that ``roles.sql`` and ``ledger.sql`` have made; a test does
it again.
"""

import json
from functools import cache
from pathlib import Path
from typing import TypeAlias

from tollgate_research.audit.comparing import shown
from tollgate_research.audit.findings import Audit, Part
from tollgate_research.books import Connection

EXPECTED_FILE = Path(__file__).with_name("schema.json")
_CATALOG_FILE = Path(__file__).with_name("schema.sql")

Catalog: TypeAlias = dict[str, str]
"""What each thing of the catalogs is, by its kind and name, such as ``trigger archive.continue_chain``."""


async def check_schema(connection: Connection, audit: Audit) -> None:
    """Compare the catalogs with what they must be, and note the first thing that is otherwise."""
    found, expected = await read_catalog(connection), _expected()
    audit.checked[Part.SCHEMA] = len(found)
    for name in sorted({*found, *expected}):
        if found.get(name) == expected.get(name):
            continue
        if name not in found:
            what = "is missing"
        elif name not in expected:
            what = f"is there, and the ledger's file makes none: {shown(found[name])}"
        else:
            what = f"is {shown(found[name])}, the ledger's file makes {shown(expected[name])}"
        kind, _, thing = name.partition(" ")
        audit.note(Part.SCHEMA, kind, thing, what)
        return


async def read_catalog(connection: Connection) -> Catalog:
    """Return what the catalogs say of the ledger's schema, and of who may do what in it."""
    async with connection.transaction():
        # Names are written out with their schema, whatever the role is told to look for them in.
        before = await connection.fetchval("SHOW search_path")
        await connection.execute("SELECT set_config('search_path', 'pg_catalog', true)")
        rows = await connection.fetch(_CATALOG_FILE.read_text())
        await connection.execute("SELECT set_config('search_path', $1, true)", before)
    return {f"{row['kind']} {row['name']}": row["what"] for row in rows}


@cache
def _expected() -> Catalog:
    catalog: Catalog = json.loads(EXPECTED_FILE.read_text())
    return catalog
