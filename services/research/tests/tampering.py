"""Change one thing anywhere in the books, as somebody who may do everything in the database, and ask who notices.

Run it with ``make tampering ARGS="--count 1000 --seed 7"``: each is tried on the same books and taken back. It
fails unless every one is found and its row is named.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
from audited_books import SEED, Bookkeeper, audited_tape
from nacl.signing import SigningKey, VerifyKey

from tests.servers import wheels
from tollgate_contracts.money import install_exact_context
from tollgate_ledger.seal import LAST_SEAL_FILE
from tollgate_ledger.sealing import Sealer
from tollgate_research.audit.findings import Audit
from tollgate_research.audit.seals import LastSeal, read_last_seal
from tollgate_research.audit.tape import Tape
from tollgate_research.audit.verify import Evidence, verify_view

SCHEMA = Path(__file__).parents[3] / "deploy" / "postgres"
KEYS_OF = {
    "archive": ("tape_sequence",),
    "entries": ("id",),
    "postings": ("entry_id", "line"),
    "trade_costs": ("tape_sequence",),
    "trips": ("number",),
    "equity": ("tape_sequence",),
    "days": ("day",),
    "seals": ("number",),
    "checkpoint": (),
}
# Of a hundred tamperings so many remove a row, add one, make a value null or give one to a null, rewrite the archive
# with its chain up to the end, take away the ledger's state, and change what the database refuses. The others change a
# digit.
_SHARES = {"remove": 5, "add": 3, "null": 8, "rewrite": 3, "forget": 2, "disarm": 6, "digit": 73}
_COUNT = 1_000
# What would let somebody change the past without the administrator's rights, and how it is named.
DISARMED = (
    ("ALTER TABLE ledger.postings DISABLE TRIGGER ALL", "trigger", "postings."),
    ("ALTER TABLE ledger.archive DISABLE TRIGGER continue_chain", "trigger", "archive.continue_chain"),
    ("ALTER TABLE ledger.seals ENABLE REPLICA TRIGGER continue_seals", "trigger", "seals.continue_seals"),
    ("DROP TRIGGER check_entry ON ledger.entries", "trigger", "entries.check_entry"),
    ("GRANT UPDATE ON ledger.entries TO tollgate_ledger", "right", "table entries tollgate_ledger UPDATE"),
    ("GRANT TRUNCATE ON ledger.postings TO PUBLIC", "right", "table postings PUBLIC TRUNCATE"),
    ("GRANT UPDATE (amount) ON ledger.postings TO tollgate_ledger", "right", "column postings.amount"),
    ("GRANT EXECUTE ON FUNCTION ledger.continue_chain TO PUBLIC", "right", "function continue_chain PUBLIC"),
    ("GRANT tollgate_owner TO tollgate_ledger", "member", "tollgate_ledger of tollgate_owner"),
    ("ALTER ROLE tollgate_ledger SET session_replication_role = replica", "setting", "tollgate_ledger session_repl"),
    ("ALTER ROLE tollgate_ledger SUPERUSER", "role", "tollgate_ledger"),
    ("ALTER TABLE ledger.entries OWNER TO tollgate_ledger", "owner", "table entries"),
    ("ALTER TABLE ledger.postings DROP CONSTRAINT amount_is_exact", "constraint", "postings.amount_is_exact"),
    ("ALTER TABLE ledger.entries DROP CONSTRAINT movement_once", "constraint", "entries.movement_once"),
    ("ALTER TABLE ledger.postings ALTER COLUMN amount DROP NOT NULL", "column", "postings.amount"),
    ("DROP INDEX ledger.trade_once", "index", "trade_once"),
    ("ALTER TABLE ledger.postings SET UNLOGGED", "relation", "postings"),
    ("ALTER TABLE ledger.postings ENABLE ROW LEVEL SECURITY", "relation", "postings"),
    ("CREATE RULE quiet AS ON INSERT TO ledger.seals DO INSTEAD NOTHING", "rule", "seals.quiet"),
    ("CREATE TABLE ledger.more () INHERITS (ledger.postings)", "column", "more."),
    (
        "CREATE OR REPLACE FUNCTION ledger.check_entry() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "function",
        "check_entry()",
    ),
)


FORGET = "UPDATE ledger.checkpoint SET state_sequence = 0, state = NULL, state_message_id = NULL"


@dataclass(frozen=True, slots=True)
class Tampering:
    """What was changed."""

    table: str
    rows: frozenset[str]
    """Keys by which the row may be named: the one before, and the one after where the key itself was changed."""
    what: str

    def is_named_in(self, audit: Audit) -> bool:
        """Say whether a finding names the row; of a posting it may name the entry, whose hash covers it."""
        for finding in audit.found.values():
            if finding.table == self.table and (finding.row in self.rows or self._begins(finding.row)):
                return True
            if self.table == "postings" and finding.table == "entries" and finding.row in self._entries:
                return True
        return False

    def _begins(self, row: str) -> bool:
        """Of what lies in the catalogs the beginning of its name will do."""
        return self.table not in KEYS_OF and any(row.startswith(each) for each in self.rows)

    @property
    def _entries(self) -> set[str]:
        return {row.split("/")[0] for row in self.rows}


def public_keys() -> dict[str, VerifyKey]:
    """Return the key that verifies the seals of the audited books."""
    return {Sealer(SEED, Path()).key_id: SigningKey(SEED).verify_key}


def evidence(last: LastSeal | None, tape: Tape | str = "") -> Evidence:
    """Return what the audited books are held against."""
    return Evidence(public_keys(), last, tape)


class Tamperer:
    """Chooses by seed what to change; whatever the columns' own rules refuse is chosen anew."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", seed: int) -> None:
        self._connection = connection
        self._random = random.Random(seed)  # noqa: S311 - by seed, so that it can be done again

    async def tamper(self) -> Tampering:
        """Change one thing, without any trigger; the caller's transaction takes it back."""
        while True:
            try:
                async with self._connection.transaction():
                    await self._connection.execute("SET LOCAL session_replication_role = replica")
                    done = await self._try()
                    await self._connection.execute("SET LOCAL session_replication_role = origin")
                    return done
            except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError, ValueError):
                continue

    async def _try(self) -> Tampering:
        [kind] = self._random.choices(list(_SHARES), list(_SHARES.values()))
        if kind == "disarm":
            return await self._disarm()
        if kind == "rewrite":
            return await self._rewrite()
        if kind == "forget":
            await self._connection.execute(FORGET)
            return Tampering("checkpoint", frozenset({""}), "state forgotten")
        return await self._change_a_row(kind)

    async def _disarm(self) -> Tampering:
        statement, kind, name = self._random.choice(DISARMED)
        # A table that is waited for by a trigger of this transaction cannot be altered.
        await self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await self._connection.execute(statement)
        return Tampering(kind, frozenset({name}), statement)

    async def _rewrite(self) -> Tampering:
        last = await self._connection.fetchval("SELECT max(archived_sequence) FROM ledger.seals")
        sequence = self._random.randrange(2, last + 1)
        await rewrite_the_archive(self._connection, sequence)
        seal = "SELECT min(number) FROM ledger.seals WHERE archived_sequence >= $1"
        number = await self._connection.fetchval(seal, sequence)
        return Tampering("seals", frozenset({str(number)}), f"the archive rewritten from {sequence} on")

    async def _change_a_row(self, kind: str) -> Tampering:
        table = self._random.choice(list(KEYS_OF))
        rows = await self._connection.fetch(f"SELECT ctid::text AS place, * FROM ledger.{table}")  # noqa: S608 - our own names
        row = dict(self._random.choice(rows))
        place = row.pop("place")
        if kind == "remove":
            remove = f"DELETE FROM ledger.{table} WHERE ctid = '{place}'::tid"  # noqa: S608 - our own names
            await self._connection.execute(remove)
            return Tampering(table, frozenset({_key(table, row)}), "removed")
        if kind == "add" and KEYS_OF[table]:
            return await self._add(table, row)
        if kind == "null":
            column = self._random.choice([name for name in row if name not in {*KEYS_OF[table], "single"}])
            changed = None if row[column] is not None else await self._some(table, column)
        else:
            chosen = [name for name, value in row.items() if value is not None and name != "single"]
            column = self._random.choice(chosen)
            changed = self._changed(row[column])
        change = f"UPDATE ledger.{table} SET {column} = $1 WHERE ctid = '{place}'::tid"  # noqa: S608 - our own names
        await self._connection.execute(change, changed)
        keys = frozenset({_key(table, row), _key(table, {**row, column: changed})})
        return Tampering(table, keys, f"{column}: {row[column]!r:.80} to {changed!r:.80}")

    async def _add(self, table: str, row: dict[str, Any]) -> Tampering:
        last = KEYS_OF[table][-1]
        row[last] = row[last] + (
            timedelta(days=900) if isinstance(row[last], date) else 90_000 if last != "line" else 90
        )
        names = ", ".join(row)
        values = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        add = f"INSERT INTO ledger.{table} ({names}) VALUES ({values})"  # noqa: S608 - our own names
        await self._connection.execute(add, *row.values())
        return Tampering(table, frozenset({_key(table, row)}), "added")

    async def _some(self, table: str, column: str) -> Any:
        """Return a value that the column could have; raises ``ValueError`` where none of its rows has one."""
        some = f"SELECT {column} FROM ledger.{table} WHERE {column} IS NOT NULL LIMIT 1"  # noqa: S608 - our own names
        found = await self._connection.fetchval(some)
        if found is None:
            raise ValueError("nothing to give")
        return found

    def _changed(self, value: Any) -> Any:
        if isinstance(value, bool):
            return not value
        if isinstance(value, date):
            return value + timedelta(days=self._random.choice((-1, 1)))
        if isinstance(value, bytes):
            place = self._random.randrange(len(value))
            return value[:place] + bytes([value[place] ^ 1 << self._random.randrange(8)]) + value[place + 1 :]
        text = self._one_digit(format(value, "f") if isinstance(value, Decimal) else str(value))
        return type(value)(text)

    def _one_digit(self, text: str) -> str:
        """Change one digit; where there is none, one letter."""
        places = [place for place, each in enumerate(text) if each.isdigit()] or list(range(len(text)))
        if not places:
            raise ValueError("nothing to change in an empty text")
        place = self._random.choice(places)
        others = "0123456789" if text[place].isdigit() else "ABCXYZabcxyz"
        return text[:place] + self._random.choice(others.replace(text[place], "")) + text[place + 1 :]


async def rewrite_the_archive(connection: "asyncpg.Connection[asyncpg.Record]", first: int) -> None:
    """Change a record and make the archive's chain anew from there on, as one could who may write everything."""
    await connection.execute("SET session_replication_role = replica")
    change = "UPDATE ledger.archive SET message_id = message_id || 'x' WHERE tape_sequence = $1"
    await connection.execute(change, first)
    chain = await connection.fetchval("SELECT chain_hash FROM ledger.archive WHERE tape_sequence = $1", first - 1)
    for sequence in range(first, 1 + await connection.fetchval("SELECT max(tape_sequence) FROM ledger.archive")):
        chain = await connection.fetchval(
            "UPDATE ledger.archive SET chain_hash = ledger.chain_hash($1, tape_sequence, subject, message_id, headers,"
            " stored_us, body) WHERE tape_sequence = $2 RETURNING chain_hash",
            chain,
            sequence,
        )
    await connection.execute("UPDATE ledger.checkpoint SET chain_hash = $1", chain)
    await connection.execute("SET session_replication_role = origin")


def _key(table: str, row: dict[str, Any]) -> str:
    return "/".join(str(row[name]) for name in KEYS_OF[table])


async def try_all(
    connection: "asyncpg.Connection[asyncpg.Record]", last: LastSeal | None, count: int, seed: int
) -> list[str]:
    """Try so many tamperings, and return those that were not found or not named."""
    tamperer, missed, tried = Tamperer(connection, seed), list[str](), Counter[str]()
    for number in range(1, count + 1):
        transaction = connection.transaction()
        await transaction.start()
        try:
            done = await tamperer.tamper()
            tried[done.table] += 1
            audit = await verify_view(connection, evidence(last))
            if not done.is_named_in(audit):
                found = "; ".join(str(finding) for finding in audit.found.values()) or "nothing"
                missed.append(f"{done.table} {'|'.join(sorted(done.rows))} {done.what}: found {found}")
        finally:
            await transaction.rollback()
        if number % 100 == 0:
            say(f"{number} tried, {len(missed)} missed")
    say(json.dumps(dict(sorted(tried.items()))))
    return missed


def say(words: str) -> None:
    """Tell whoever watches."""
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


async def run(dsn: str, count: int, seed: int) -> list[str]:
    """Make the books, see that they hold, and tamper with them."""
    connection = await asyncpg.connect(dsn)
    for name in ("roles.sql", "ledger.sql"):
        await connection.execute((SCHEMA / name).read_text())
    with tempfile.TemporaryDirectory() as directory:
        await Bookkeeper(dsn, Path(directory)).keep(audited_tape())
        last = read_last_seal(Path(directory) / LAST_SEAL_FILE)
        async with connection.transaction():
            audit = await verify_view(connection, evidence(last))
        if not audit.holds:
            return [f"the books do not hold before anything is changed: {audit.first}"]
        missed = await try_all(connection, last, count, seed)
    await connection.close()
    return missed


def main() -> None:
    """Tamper as often as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=_COUNT)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    install_exact_context()
    with wheels.postgres() as dsn:
        missed = asyncio.run(run(dsn, arguments.count, arguments.seed))
    for words in missed:
        say(words)
    say(f"{arguments.count - len(missed)} of {arguments.count} tamperings were found, and the row was named")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
