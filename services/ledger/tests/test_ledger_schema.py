"""What the database refuses by itself, tried with the ledger service's own login."""

import re
from dataclasses import replace
from decimal import Decimal

import asyncpg
import pytest

from tollgate_chassis.tape.archived import archived_headers, archived_text
from tollgate_ledger import statements as sql
from tollgate_ledger.chain import GENESIS, chain_hash, entry_hash
from tollgate_ledger.core import EntryKind, JournalEntry, Posting
from tollgate_ledger.rows import columns, entry_rows

ARCHIVE = """
INSERT INTO ledger.archive (tape_sequence, message_id, subject, body, headers, stored_us, chain_hash)
VALUES ($1, $2, 'tape.main.execution.fill', $3, '{}', 0, $4)
"""
POSTING = "INSERT INTO ledger.postings (entry_id, line, account, currency, amount) VALUES ($1, $2, $3, $4, $5)"
BALANCED = (("asset:USDT", "USDT", "-5"), ("trading:BTC-USDT", "USDT", "5"))
DEPOSIT = (("asset:USDT", "USDT", "5"), ("equity:transfers", "USDT", "-5"))
COLUMNS = (
    "id", "desk", "venue", "tape_sequence", "message_id", "kind", "ts_us", "run_id", "cycle_id", "lines", "symbol",
    "trade_id", "client_order_id", "config_hash", "protects", "movement_id", "fee_rate", "fee_rate_source", "reverses",
    "chain_hash",
)  # fmt: skip


async def archive(connection, sequence, previous=GENESIS):
    message_id, body = f"m{sequence}", b"body"
    chain = chain_hash(previous, sequence, "tape.main.execution.fill", message_id, body)
    await connection.execute(ARCHIVE, sequence, message_id, body, chain)
    return chain


def entry(number, postings=BALANCED, kind="fill", **fields):
    """Return an entry of a tape sequence that is its number; ``fields`` are those that the test is about."""
    origin = {"tape_sequence": number, "message_id": f"m{fields.get('tape_sequence', number)}"}
    trade = {"symbol": "BTC-USDT", "trade_id": f"t{number}", "client_order_id": "tg", "config_hash": "a" * 64}
    ids = {
        "fill": trade,
        "bust": trade,
        "movement": {"movement_id": f"d{number}"},
        "correction": {"reverses": 1},
    }.get(kind, {})
    return JournalEntry(
        number=number,
        kind=EntryKind(kind),
        postings=tuple(Posting(account, currency, Decimal(amount)) for account, currency, amount in postings),
        **{"desk": "main", "venue": "simulated", "ts_us": 0, "run_id": "r1", "cycle_id": 0, **origin, **ids, **fields},
    )


async def insert(connection, entry, *, previous=None, **changed):
    """Insert the row of an entry alone; ``changed`` are columns that say something else than the entry."""
    if previous is None:
        stored = await connection.fetchval(
            "SELECT chain_hash FROM ledger.entries WHERE id < $1 ORDER BY id DESC", entry.number
        )
        previous = stored or GENESIS
    (row,), _ = entry_rows(previous, [entry])
    row = [changed.get(name, value) for name, value in zip(COLUMNS, row, strict=True)]
    await connection.execute(sql.INSERT_ENTRIES, *columns([tuple(row)]))


async def insert_lines(connection, entry):
    for line, posting in enumerate(entry.postings, start=1):
        await connection.execute(POSTING, entry.number, line, posting.account, posting.currency, posting.amount)


async def book(connection, number, postings=BALANCED, *, lines=None, kind="fill", **fields):
    made = entry(number, postings, kind, **fields)
    await insert(connection, made, lines=len(postings) if lines is None else lines)
    await insert_lines(connection, made)


async def commit(connection, made, lines_of=None, **changed):
    """Insert an entry with its lines, or those of another one, in a transaction of their own."""
    async with connection.transaction():
        await insert(connection, made, **changed)
        await insert_lines(connection, lines_of or made)


async def commit_line(connection, account, currency, amount):
    """Insert an entry and one line of it, its amount as text: so the database and no client library refuses it."""
    async with connection.transaction():
        await insert(connection, entry(2))
        await connection.execute(POSTING.replace("$5", "$5::text::numeric"), 2, 1, account, currency, amount)


@pytest.fixture
async def service(database):
    """The service's login, three archived records, and one entry booked because of the first."""
    connection = await database.connect("tollgate_ledger")
    chain = GENESIS
    for sequence in (1, 2, 3):
        chain = await archive(connection, sequence, chain)
    async with connection.transaction():
        await book(connection, 1, BALANCED)
    yield connection
    await connection.close()


COUNT = {name: f"SELECT count(*) FROM ledger.{name}" for name in ("archive", "entries", "postings")}  # noqa: S608 - our own names


async def count(connection, table):
    return await connection.fetchval(COUNT[table])


async def test_a_balanced_entry_is_taken(service):
    assert (await count(service, "entries"), await count(service, "postings")) == (1, 2)


UNBALANCED = [
    ("off by the last place", [("asset:USDT", "USDT", "-5"), ("expense:fees", "USDT", "5.000000000000000001")]),
    ("balanced over two currencies only", [("asset:USDT", "USDT", "-5"), ("asset:BTC", "BTC", "5")]),
    ("one currency of two is off", [*BALANCED, ("asset:BTC", "BTC", "1"), ("trading:BTC-USDT", "BTC", "-2")]),
]


@pytest.mark.parametrize("postings", [case[1] for case in UNBALANCED], ids=[case[0] for case in UNBALANCED])
async def test_an_unbalanced_entry_cannot_be_committed(service, postings):
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        async with service.transaction():
            await book(service, 2, postings)
    assert (await count(service, "entries"), await count(service, "postings")) == (1, 2)


async def test_the_balance_is_checked_at_commit_and_not_before(service):
    transaction = service.transaction()
    await transaction.start()
    await book(service, 2, UNBALANCED[0][1])
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        await transaction.commit()


async def test_the_balance_cannot_be_dodged_by_checking_early(service):
    """The constraint is made immediate while the entry balances, and unbalanced afterwards."""
    transaction = service.transaction()
    await transaction.start()
    await book(service, 2, BALANCED)
    await service.execute("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(asyncpg.CheckViolationError, match="line 3 is not one of them"):
        await service.execute(POSTING, 2, 3, "expense:fees", "USDT", Decimal(1))
    await transaction.rollback()
    assert await count(service, "entries") == 1


@pytest.mark.parametrize(
    ("postings", "lines", "error"),
    [
        ([], 2, "has 0 postings, it says 2"),
        ([("asset:USDT", "USDT", "5")], 1, "entries_lines_check"),
        ([("asset:USDT", "USDT", "5")], 2, "does not balance"),
        (BALANCED, 3, "has 2 postings, it says 3"),
    ],
)
async def test_an_entry_with_fewer_postings_than_it_needs_is_refused(service, postings, lines, error):
    with pytest.raises(asyncpg.CheckViolationError, match=error):
        async with service.transaction():
            await book(service, 2, postings, lines=lines)


async def test_a_line_cannot_be_added_to_a_complete_entry_even_in_balance(service):
    with pytest.raises(asyncpg.CheckViolationError, match="entry 1 has 2 postings, line 3 is not one of them"):
        await service.execute(POSTING, 1, 3, "asset:USDT", "USDT", Decimal(1))
    with pytest.raises(asyncpg.UniqueViolationError, match="postings_pkey"):
        await service.execute(POSTING, 1, 2, "asset:USDT", "USDT", Decimal(1))


LINES = "ledger.postings VALUES (2, 1, 'asset:USDT', 'USDT', -5), (2, 7, 'trading:BTC-USDT', 'USDT', 5)"
SLIPPED_IN = {
    "the entry in a part that nothing waits for": (
        "WITH made AS (INSERT INTO ledger.entries VALUES ({entry})) INSERT INTO {lines}"
    ),
    "the lines in a part that the entry waits for": (
        "WITH lines AS (INSERT INTO {lines} RETURNING line)"
        " INSERT INTO ledger.entries SELECT {entry} FROM (SELECT count(*) FROM lines) AS written"
    ),
}


@pytest.mark.parametrize("statement", SLIPPED_IN.values(), ids=SLIPPED_IN)
async def test_a_line_that_comes_in_one_statement_before_its_entry_is_refused(service, statement):
    """Nothing says then which lines the entry has: line 7 would leave room for a second one, out of balance."""
    (row,), _ = entry_rows(await service.fetchval("SELECT chain_hash FROM ledger.entries WHERE id = 1"), [entry(2)])
    types = re.findall(r"\$\d+::(\w+)\[\]", sql.INSERT_ENTRIES)
    places = ", ".join(f"${place}::{kind}" for place, kind in enumerate(types, start=1))
    with pytest.raises(asyncpg.CheckViolationError, match="entry 2 is not there for line 1"):
        await service.execute(statement.format(entry=places, lines=LINES), *row)
    assert (await count(service, "entries"), await count(service, "postings")) == (1, 2)


async def test_a_transaction_that_does_not_see_the_entry_cannot_add_to_it(service, database):
    """Of a repeatable read that began before the entry, the foreign key alone asks what is there now."""
    other = await database.connect("tollgate_ledger")
    late = other.transaction(isolation="repeatable_read")
    await late.start()
    await count(other, "entries")
    async with service.transaction():
        await book(service, 2, BALANCED)
    with pytest.raises(asyncpg.CheckViolationError, match="entry 2 is not there for line 7"):
        await other.execute(POSTING, 2, 7, "asset:USDT", "USDT", Decimal(1_000_000))
    await late.rollback()
    await other.close()


async def test_lines_are_numbered_without_a_gap(service, superuser):
    """Two lines that balance, the second of them under a number that the entry does not have."""
    await superuser.execute("ALTER TABLE ledger.postings DISABLE TRIGGER check_line")
    transaction = service.transaction()
    await transaction.start()
    await insert(service, entry(2))
    for line, posting in zip((1, 7), entry(2).postings, strict=True):
        await service.execute(POSTING, 2, line, posting.account, posting.currency, posting.amount)
    with pytest.raises(asyncpg.CheckViolationError, match="it says 2") as refused:
        await transaction.commit()
    assert refused.value.detail == "last line: 7"


@pytest.mark.parametrize(
    "amount",
    [
        "0", "NaN", "Infinity", "-Infinity", "100000000000000000000", "-100000000000000000000",
        "0.0000000000000000001", "1.0000000000000000001",
    ],
)  # fmt: skip
async def test_an_amount_that_is_not_exact_is_refused_and_not_rounded(service, amount):
    with pytest.raises(asyncpg.CheckViolationError, match="amount_is_exact"):
        await commit_line(service, "asset:USDT", "USDT", amount)


async def test_the_largest_and_the_smallest_amount_come_back_to_the_last_digit(service):
    widest, smallest = "99999999999999999999.999999999999999999", "0.000000000000000001"
    postings = [
        ("asset:USDT", "USDT", widest),
        ("equity:opening", "USDT", f"-{widest}"),
        ("asset:BTC", "BTC", smallest),
        ("equity:opening", "BTC", f"-{smallest}"),
    ]
    async with service.transaction():
        await book(service, 2, postings)
    rows = await service.fetch("SELECT amount FROM ledger.postings WHERE entry_id = 2 ORDER BY line")
    assert [row["amount"] for row in rows] == [Decimal(posting[2]) for posting in postings]


@pytest.mark.parametrize(
    ("account", "currency", "constraint"),
    [
        ("asset:BTC", "USDT", "asset_is_of_its_currency"),
        ("trading:BTC-USDT", "ETH", "trading_is_of_its_currencies"),
        ("suspense:x", "USDT", "account_is_in_the_chart"),
        ("income:", "USDT", "account_is_in_the_chart"),
        ("income:bonus", "USDT", "account_is_in_the_chart"),
        ("equity:opening:x", "USDT", "account_is_in_the_chart"),
        (" asset:USDT", "USDT", "account_is_in_the_chart"),
        ("expense:fees", "usdt", "currency_check"),
    ],
)
async def test_an_account_that_does_not_fit_its_currency_is_refused(service, account, currency, constraint):
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await commit_line(service, account, currency, "1")


TWICE = [
    ("entry number", {"number": 1, "tape_sequence": 2}, "entries_pkey"),
    ("tape sequence", {"number": 2, "tape_sequence": 1, "message_id": "other"}, "tape_sequence_once"),
    ("message id", {"number": 2, "message_id": "m1"}, "message_once"),
    ("trade", {"number": 2, "trade_id": "t1"}, "trade_once"),
]


@pytest.mark.parametrize(("fields", "constraint"), [case[1:] for case in TWICE], ids=[case[0] for case in TWICE])
async def test_nothing_is_booked_twice(service, fields, constraint):
    with pytest.raises(asyncpg.UniqueViolationError, match=constraint):
        async with service.transaction():
            await book(service, **{"trade_id": "t9", **fields})
    assert await count(service, "entries") == 1


async def test_there_is_one_opening(service):
    lines = (("asset:USDT", "USDT", "5"), ("equity:opening", "USDT", "-5"))
    async with service.transaction():
        await book(service, 2, lines, kind="opening")
    with pytest.raises(asyncpg.UniqueViolationError, match="one_opening"):
        await book(service, 3, lines, kind="opening")


NAMELESS = [
    ("fill", {"trade_id": None}),
    ("fill", {"movement_id": "d"}),
    ("fill", {"reverses": 1}),
    ("bust", {"client_order_id": None}),
    ("bust", {"config_hash": None}),
    ("movement", {"movement_id": None}),
    ("movement", {"trade_id": "t9"}),
    ("split", {"movement_id": "d"}),
    ("split", {"symbol": "BTC-USDT", "client_order_id": "tg"}),
    ("correction", {"reverses": None}),
    ("correction", {"trade_id": "t9"}),
    ("opening", {"symbol": "BTC-USDT"}),
]


@pytest.mark.parametrize(("kind", "fields"), NAMELESS)
async def test_an_entry_must_name_what_it_books_and_nothing_else(service, kind, fields):
    with pytest.raises(asyncpg.CheckViolationError, match="entry_names_its_event"):
        await book(service, 2, kind=kind, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"fee_rate": Decimal(5)},
        {"fee_rate_source": "quote:1"},
        {"fee_rate": Decimal(0), "fee_rate_source": "quote:1"},
        {"fee_rate": Decimal(-1), "fee_rate_source": "quote:1"},
        {"fee_rate": Decimal("1E-19"), "fee_rate_source": "quote:1"},
    ],
)
async def test_a_rate_needs_its_source_and_is_an_exact_price(service, fields):
    with pytest.raises(asyncpg.CheckViolationError, match="fee_rate_has_its_source"):
        await book(service, 2, **fields)


async def test_a_trade_is_taken_back_once(service):
    """The bust has the trade's id, and a second one is refused as a second trade is."""
    async with service.transaction():
        await book(service, 2, trade_id="t1", kind="bust")
    with pytest.raises(asyncpg.UniqueViolationError, match="trade_once"):
        async with service.transaction():
            await book(service, 3, trade_id="t1", kind="bust")
    assert await count(service, "entries") == 2


SPLIT = (("equity:trading", "USDT", "2"), ("equity:treasury", "USDT", "-2"))
TRADE = {"symbol": "BTC-USDT", "trade_id": "t1", "client_order_id": "tg", "config_hash": "a" * 64}


async def test_a_split_is_booked_because_of_the_same_message_as_its_fill(service):
    async with service.transaction():
        await book(service, 2, SPLIT, kind="split", tape_sequence=1, **TRADE)
    assert await count(service, "entries") == 2


async def test_a_split_of_a_movement_names_no_trade(service):
    async with service.transaction():
        await book(service, 2, DEPOSIT, kind="movement")
        await book(service, 3, SPLIT, kind="split", tape_sequence=2)
    assert await count(service, "entries") == 3


@pytest.mark.parametrize(
    ("sequence", "named"),
    [(1, {}), (1, {**TRADE, "trade_id": "t2"}), (1, {**TRADE, "config_hash": "b" * 64}), (2, TRADE)],
    ids=["no trade", "another trade", "another policy", "a trade of another message"],
)
async def test_a_split_that_does_not_name_its_own_trade_is_refused(service, sequence, named):
    with pytest.raises(asyncpg.CheckViolationError, match="entry 2 does not name the trade"):
        async with service.transaction():
            await book(service, 2, SPLIT, kind="split", tape_sequence=sequence, **named)


async def test_a_movement_is_booked_once(service):
    async with service.transaction():
        await book(service, 2, DEPOSIT, kind="movement", movement_id="d1")
    with pytest.raises(asyncpg.UniqueViolationError, match="movement_once"):
        await book(service, 3, DEPOSIT, kind="movement", movement_id="d1")


TAKEN_BACK = (("asset:USDT", "USDT", "-5"), ("equity:transfers", "USDT", "5"))


async def test_a_movement_is_taken_back_by_its_own_lines_and_once(service):
    async with service.transaction():
        await book(service, 2, DEPOSIT, kind="movement")
        await book(service, 3, TAKEN_BACK, kind="correction", reverses=2)
    await archive(service, 4, await chain_of(service, 3))
    with pytest.raises(asyncpg.UniqueViolationError, match="corrected_once"):
        await book(service, 4, TAKEN_BACK, kind="correction", reverses=2)


NO_REVERSAL = [
    ("another amount", (("asset:USDT", "USDT", "-4"), ("equity:transfers", "USDT", "4")), 2),
    ("another account", (("asset:USDT", "USDT", "-5"), ("income:funding", "USDT", "5")), 2),
    ("the same lines", DEPOSIT, 2),
    ("of a trade", (("asset:USDT", "USDT", "5"), ("trading:BTC-USDT", "USDT", "-5")), 1),
]


@pytest.mark.parametrize(
    ("lines", "reverses"), [case[1:] for case in NO_REVERSAL], ids=[case[0] for case in NO_REVERSAL]
)
async def test_a_correction_that_is_not_the_reversal_of_a_movement_is_refused(service, lines, reverses):
    async with service.transaction():
        await book(service, 2, DEPOSIT, kind="movement")
    with pytest.raises(asyncpg.CheckViolationError, match=f"entry 3 does not take entry {reverses} back"):
        async with service.transaction():
            await book(service, 3, lines, kind="correction", reverses=reverses)


async def test_what_is_to_come_cannot_be_taken_back(service):
    with pytest.raises(asyncpg.CheckViolationError, match="reverses_the_past"):
        await book(service, 2, TAKEN_BACK, kind="correction", reverses=2)


async def test_entry_numbers_have_no_gaps(service):
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="entry 3 does not continue the journal"):
        async with service.transaction():
            await book(service, 3)
    assert await count(service, "entries") == 1


UNCHAINED = "entry 2 does not continue the hash chain of the journal"
CHANGED = [
    ("a wrong hash", {"chain_hash": bytes(32)}),
    ("another time", {"ts_us": 1}),
    ("another order", {"client_order_id": "tg2"}),
    ("another policy", {"config_hash": "b" * 64}),
    ("another desk", {"desk": "other"}),
    ("another venue", {"venue": "other"}),
    ("a stop", {"protects": "tg1"}),
]


@pytest.mark.parametrize("changed", [case[1] for case in CHANGED], ids=[case[0] for case in CHANGED])
async def test_an_entry_that_is_not_what_its_hash_says_is_refused(service, changed):
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=UNCHAINED):
        await commit(service, entry(2), **changed)


async def test_an_entry_that_follows_another_history_is_refused(service):
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=UNCHAINED):
        await commit(service, entry(2), previous=bytes(range(32)))


async def test_lines_that_balance_and_are_not_those_of_the_hash_are_refused(service):
    other = replace(entry(2), postings=tuple(replace(one, amount=one.amount * 2) for one in entry(2).postings))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match=UNCHAINED):
        await commit(service, entry(2), other)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"fee_rate": Decimal("1.500"), "fee_rate_source": "quote:7", "protects": "tg1"},
        {"fee_rate": Decimal("5E+3"), "fee_rate_source": "quote:7", "run_id": "ü Ω"},
        {"symbol": "ETH-USDT", "trade_id": "", "client_order_id": "\U0001f600"},
    ],
)
async def test_the_database_and_the_program_compute_the_same_hash_of_an_entry(service, fields):
    lines = (("asset:USDT", "USDT", "-5.500"), ("trading:BTC-USDT", "USDT", "5.5"), ("asset:BTC", "BTC", "1E+2"),
             ("trading:BTC-USDT", "BTC", "-100"))  # fmt: skip
    made = entry(2, lines, **fields)
    await commit(service, made)
    query = "SELECT ledger.entry_hash($1, entries) FROM ledger.entries WHERE id = 2"
    assert await service.fetchval(query, bytes(range(32))) == entry_hash(bytes(range(32)), made)


def test_everything_of_an_entry_is_under_its_hash():
    """Also what is there and what is not: no field can slip into its neighbour's place."""
    made = entry(1, protects="tg1", fee_rate=Decimal(2), fee_rate_source="q")
    values = {
        "number": 2, "desk": "x", "venue": "x", "tape_sequence": 2, "message_id": "x", "kind": EntryKind.BUST,
        "ts_us": 1, "run_id": "x", "cycle_id": 1, "symbol": "x", "trade_id": "x", "client_order_id": "x",
        "config_hash": "b" * 64, "protects": "x", "movement_id": "x", "fee_rate": Decimal(3), "fee_rate_source": "x",
        "reverses": 1, "postings": made.postings[:1],
    }  # fmt: skip
    assert set(values) == set(JournalEntry.__dataclass_fields__)
    optional = ("symbol", "trade_id", "client_order_id", "config_hash", "protects", "fee_rate", "fee_rate_source")
    changed = [replace(made, **{name: value}) for name, value in values.items()]
    missing = [replace(made, **{name: None}) for name in optional]
    empty = [replace(made, **{name: ""}) for name in optional if name != "fee_rate"]
    lines = [
        replace(made, postings=made.postings[::-1]),
        *(replace(made, postings=(replace(made.postings[0], **{name: value}), made.postings[1]))
          for name, value in (("account", "x"), ("currency", "x"), ("amount", Decimal(6)))),
    ]  # fmt: skip
    hashes = {entry_hash(GENESIS, each) for each in (made, *changed, *missing, *empty, *lines)}
    assert len(hashes | {entry_hash(bytes(range(32)), made)}) == 2 + len(changed + missing + empty + lines)


async def test_an_entry_without_its_archived_record_is_refused(service):
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with service.transaction():
            await book(service, 2, tape_sequence=99)


PAST = {
    "archive": "body = ''",
    "entries": "kind = 'fill'",
    "postings": "amount = 1",
    "trade_costs": "fee = 0",
    "trips": "net = 0",
    "equity": "equity = 0",
    "days": "net = 0",
    "seals": "entry = 0",
}


@pytest.mark.parametrize("table", PAST)
@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_the_service_cannot_change_the_past(service, table, statement):
    column = PAST[table]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute(statement.format(f"ledger.{table}", column))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger.checkpoint",
        "TRUNCATE ledger.checkpoint",
        "INSERT INTO ledger.checkpoint (archived_sequence, chain_hash, state_sequence) VALUES (0, ''::bytea, 0)",
        "UPDATE ledger.schema_version SET version = 3",
        "ALTER TABLE ledger.postings DISABLE TRIGGER ALL",
        "ALTER TABLE ledger.entries DISABLE TRIGGER check_entry",
        "DROP TRIGGER check_line ON ledger.postings",
        "ALTER TABLE ledger.entries ALTER CONSTRAINT entries_tape_sequence_fkey DEFERRABLE",
        "ALTER TABLE ledger.postings DROP CONSTRAINT amount_is_exact",
        "DROP TABLE ledger.postings",
        "CREATE TABLE ledger.another (n integer)",
        "CREATE OR REPLACE FUNCTION ledger.check_entry() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "DROP FUNCTION ledger.entry_hash",
        "SET session_replication_role = replica",
        "SET ROLE tollgate_owner",
    ],
)
async def test_the_service_cannot_take_the_rules_away(service, statement):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute(statement)


async def test_a_temporary_table_does_not_stand_in_for_the_archive(service, superuser, database):
    """The service may make none; and the rules name their schema, so one of the same name is not looked at."""
    table = "CREATE TEMP TABLE archive (tape_sequence bigint, chain_hash bytea)"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute(table)
    await superuser.execute(f"GRANT TEMP ON DATABASE {database.name} TO tollgate_ledger")
    await service.execute(table)
    await service.execute("INSERT INTO archive VALUES (8, decode(repeat('00', 32), 'hex'))")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="row 8 is not there"):
        await archive(service, 9)


async def test_the_archive_has_no_holes(service):
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="row 4 is not there"):
        await archive(service, 5)


async def test_the_archive_refuses_a_row_that_does_not_continue_the_chain(service):
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="does not continue the hash chain"):
        await archive(service, 4, GENESIS)


async def test_a_tape_sequence_is_archived_once(service):
    with pytest.raises(asyncpg.UniqueViolationError):
        await archive(service, 1)


async def test_a_message_id_that_lies_on_the_tape_twice_is_archived_twice(service):
    previous = await service.fetchval("SELECT chain_hash FROM ledger.archive WHERE tape_sequence = 3")
    chain = chain_hash(previous, 4, "tape.main.execution.fill", "m1", b"body")
    await service.execute(ARCHIVE, 4, "m1", b"body", chain)
    assert await count(service, "archive") == 4


CHECKPOINT = "UPDATE ledger.checkpoint SET desk = $1, archived_sequence = $2, chain_hash = $3"


async def chain_of(connection, sequence):
    return await connection.fetchval("SELECT chain_hash FROM ledger.archive WHERE tape_sequence = $1", sequence)


async def test_the_checkpoint_does_not_go_back_nor_beyond_the_archive(service):
    await service.execute(CHECKPOINT, "main", 2, await chain_of(service, 2))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="does not go back"):
        await service.execute(CHECKPOINT, "main", 1, await chain_of(service, 1))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="is not the end of the archive"):
        await service.execute(CHECKPOINT, "main", 4, await chain_of(service, 3))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="is not the end of the archive"):
        await service.execute(CHECKPOINT, "main", 3, await chain_of(service, 2))


async def test_the_checkpoint_does_not_change_desks(service):
    await service.execute(CHECKPOINT, "main", 2, await chain_of(service, 2))
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="books of desk main, not of other"):
        await service.execute(CHECKPOINT, "other", 3, await chain_of(service, 3))


BOOKED = "UPDATE ledger.checkpoint SET desk = 'main', entry = $1, entry_hash = $2"


async def test_the_checkpoint_is_at_an_entry_and_does_not_go_back(service):
    last = await service.fetchval("SELECT chain_hash FROM ledger.entries WHERE id = 1")
    await service.execute(BOOKED, 1, last)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="does not go back"):
        await service.execute(BOOKED, 0, GENESIS)
    for number, chain in ((1, GENESIS), (2, last)):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="is not the end of the journal"):
            await service.execute(BOOKED, number, chain)


async def test_a_state_beyond_the_archive_is_refused(service):
    await service.execute(CHECKPOINT, "main", 2, await chain_of(service, 2))
    with pytest.raises(asyncpg.CheckViolationError, match="state_is_archived"):
        await service.execute("UPDATE ledger.checkpoint SET state_sequence = 3, state_message_id = 'm3', state = '{}'")


async def test_the_schema_can_be_applied_again_without_touching_the_books(service, superuser, pytestconfig):
    schema = (pytestconfig.rootpath / "deploy" / "postgres" / "ledger.sql").read_text()
    await superuser.execute(schema)
    assert await count(service, "postings") == 2
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
        async with service.transaction():
            await book(service, 2, UNBALANCED[0][1])


async def test_a_database_of_another_version_is_left_alone(superuser, pytestconfig):
    await superuser.execute("UPDATE ledger.schema_version SET version = 1")
    schema = (pytestconfig.rootpath / "deploy" / "postgres" / "ledger.sql").read_text()
    with pytest.raises(asyncpg.RaiseError, match="has version 1, this file makes version 3"):
        await superuser.execute(schema)


@pytest.mark.parametrize(
    ("subject", "message_id", "body", "headers"),
    [
        ("s", "m", b"", {}),
        ("tape.main.x", "execution:1:0", b"\x00\xff", {"traceparent": "00-1-2-01"}),
        ("ü", "Ω", b"{}", {"ß": "é", "Z": "", "a": "1", "aa": "2"}),
        ("ab", "c", b"d", {"b": "1", "A": "2", "\U0001f600": "3", "\uffee": "4"}),
        ('a\0b"\\', "\0", b"d", {"\0": "a\0b", "": "\n\ufffd"}),
        ("a", "bc", b"d", {}),
    ],
)
async def test_the_database_and_the_program_compute_the_same_hash(service, subject, message_id, body, headers):
    previous = bytes(range(32))
    texts = (archived_text(subject), archived_text(message_id), archived_headers(headers))
    arguments = (previous, 7, *texts, 1_700_000_000_000_000, body)
    there = await service.fetchval("SELECT ledger.chain_hash($1, $2, $3, $4, $5, $6, $7)", *arguments)
    here = chain_hash(previous, 7, subject, message_id, body, headers=headers, stored_us=1_700_000_000_000_000)
    assert there == here
