"""What the database refuses by itself, tried with the ledger service's own login."""

from decimal import Decimal

import asyncpg
import pytest

from tollgate_ledger.chain import GENESIS, chain_hash

ARCHIVE = """
INSERT INTO ledger.archive (tape_sequence, message_id, subject, body, headers, stored_us, chain_hash)
VALUES ($1, $2, 'tape.main.execution.fill', $3, '{}', 0, $4)
"""
ENTRY = """
INSERT INTO ledger.entries (id, tape_sequence, message_id, kind, ts_us, run_id, cycle_id, lines,
                            symbol, trade_id, client_order_id, config_hash)
VALUES ($1, $2, $3, $6, 0, 'r1', 0, $4, 'BTC-USDT', $5, 'tg', repeat('a', 64))
"""
MOVEMENT = """
INSERT INTO ledger.entries (id, tape_sequence, message_id, kind, ts_us, run_id, cycle_id, lines, movement_id, trade_id)
VALUES ($1::bigint, $1::bigint, 'm' || $1::bigint, 'movement', 0, 'r1', 0, 2, $2, $3)
"""
POSTING = "INSERT INTO ledger.postings (entry_id, line, account, currency, amount) VALUES ($1, $2, $3, $4, $5)"
BALANCED = (("asset:USDT", "USDT", "-5"), ("trading:BTC-USDT", "USDT", "5"))


async def archive(connection, sequence, previous=GENESIS):
    message_id, body = f"m{sequence}", b"body"
    chain = chain_hash(previous, sequence, "tape.main.execution.fill", message_id, body)
    await connection.execute(ARCHIVE, sequence, message_id, body, chain)
    return chain


async def book(connection, number, postings, *, sequence=None, message_id=None, trade_id=None, lines=None, kind="fill"):
    sequence = number if sequence is None else sequence
    await connection.execute(
        ENTRY,
        number,
        sequence,
        message_id or f"m{sequence}",
        len(postings) if lines is None else lines,
        trade_id or f"t{number}",
        kind,
    )
    for line, (account, currency, amount) in enumerate(postings, start=1):
        await connection.execute(POSTING, number, line, account, currency, Decimal(amount))


@pytest.fixture
async def service(database):
    """The service's login, three archived records, and one entry booked because of the first."""
    connection = await database.connect()
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
    with pytest.raises(asyncpg.CheckViolationError, match="does not balance"):
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
    transaction = service.transaction()
    await transaction.start()
    await service.execute(POSTING, 1, 3, "asset:USDT", "USDT", Decimal(1))
    await service.execute(POSTING, 1, 4, "expense:fees", "USDT", Decimal(-1))
    with pytest.raises(asyncpg.CheckViolationError, match="has 4 postings, it says 2"):
        await transaction.commit()


@pytest.mark.parametrize(
    "amount",
    [
        "0", "NaN", "Infinity", "-Infinity", "100000000000000000000", "-100000000000000000000",
        "0.0000000000000000001", "1.0000000000000000001",
    ],
)  # fmt: skip
async def test_an_amount_that_is_not_exact_is_refused_and_not_rounded(service, amount):
    """As text, so that the database and no client library is what refuses."""
    statement = POSTING.replace("$5", "$5::text::numeric")
    with pytest.raises(asyncpg.CheckViolationError, match="amount_is_exact"):
        await service.execute(statement, 1, 3, "asset:USDT", "USDT", amount)


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
        ("suspense:x", "USDT", "account_check"),
        ("income:", "USDT", "account_check"),
        ("asset:usdt", "usdt", "currency_check"),
    ],
)
async def test_an_account_that_does_not_fit_its_currency_is_refused(service, account, currency, constraint):
    with pytest.raises(asyncpg.CheckViolationError, match=constraint):
        await service.execute(POSTING, 1, 3, account, currency, Decimal(1))


TWICE = [
    ("entry number", {"number": 1, "sequence": 2}, "entries_pkey"),
    ("tape sequence", {"number": 2, "sequence": 1, "message_id": "other"}, "entries_tape_sequence_key"),
    ("message id", {"number": 2, "sequence": 2, "message_id": "m1"}, "entries_message_id_key"),
    ("trade", {"number": 2, "sequence": 2, "trade_id": "t1"}, "trade_once"),
]


@pytest.mark.parametrize(("fields", "constraint"), [case[1:] for case in TWICE], ids=[case[0] for case in TWICE])
async def test_nothing_is_booked_twice(service, fields, constraint):
    with pytest.raises(asyncpg.UniqueViolationError, match=constraint):
        async with service.transaction():
            await book(service, postings=BALANCED, **{"trade_id": "t9", **fields})
    assert await count(service, "entries") == 1


async def test_there_is_one_opening(service):
    opening = """INSERT INTO ledger.entries (id, tape_sequence, message_id, kind, ts_us, run_id, cycle_id, lines)
                 VALUES ($1::bigint, $1::bigint, 'o' || $1::bigint, 'opening', 0, 'r1', 0, 2)"""
    async with service.transaction():
        await service.execute(opening, 2)
        for line, amount in ((1, 5), (2, -5)):
            await service.execute(POSTING, 2, line, "asset:USDT", "USDT", Decimal(amount))
    with pytest.raises(asyncpg.UniqueViolationError, match="one_opening"):
        await service.execute(opening, 3)


@pytest.mark.parametrize("kind", ["fill", "bust", "movement"])
async def test_an_entry_must_name_what_it_books(service, kind):
    with pytest.raises(asyncpg.CheckViolationError, match="entry_names_its_event"):
        await service.execute(
            """INSERT INTO ledger.entries (id, tape_sequence, message_id, kind, ts_us, run_id, cycle_id, lines)
               VALUES (2, 2, 'm2', $1, 0, 'r1', 0, 2)""",
            kind,
        )


async def test_a_trade_is_taken_back_once(service):
    """The bust has the trade's id, and a second one is refused as a second trade is."""
    async with service.transaction():
        await book(service, 2, BALANCED, trade_id="t1", kind="bust")
    with pytest.raises(asyncpg.UniqueViolationError, match="trade_once"):
        async with service.transaction():
            await book(service, 3, BALANCED, trade_id="t1", kind="bust")
    assert await count(service, "entries") == 2


async def test_a_movement_is_booked_once_and_is_no_trade(service):
    async with service.transaction():
        await service.execute(MOVEMENT, 2, "d1", None)
        for line, (account, amount) in enumerate((("asset:USDT", 5), ("equity:transfers", -5)), start=1):
            await service.execute(POSTING, 2, line, account, "USDT", Decimal(amount))
    with pytest.raises(asyncpg.UniqueViolationError, match="movement_once"):
        await service.execute(MOVEMENT, 3, "d1", None)
    with pytest.raises(asyncpg.CheckViolationError, match="entry_names_its_event"):
        await service.execute(MOVEMENT, 3, "d2", "t9")


async def test_an_entry_without_its_archived_record_is_refused(service):
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        async with service.transaction():
            await book(service, 2, BALANCED, sequence=99)


@pytest.mark.parametrize("table", ["archive", "entries", "postings"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_the_service_cannot_change_the_past(service, table, statement):
    column = {"archive": "body = ''", "entries": "kind = 'fill'", "postings": "amount = 1"}[table]
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute(statement.format(f"ledger.{table}", column))


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger.checkpoint",
        "TRUNCATE ledger.checkpoint",
        "INSERT INTO ledger.checkpoint (archived_sequence, chain_hash, state_sequence) VALUES (0, ''::bytea, 0)",
        "UPDATE ledger.schema_version SET version = 2",
        "ALTER TABLE ledger.postings DISABLE TRIGGER ALL",
        "ALTER TABLE ledger.postings DROP CONSTRAINT amount_is_exact",
        "DROP TABLE ledger.postings",
        "CREATE TABLE ledger.another (n integer)",
        "CREATE OR REPLACE FUNCTION ledger.check_balance() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'",
        "SET session_replication_role = replica",
        "SET ROLE tollgate_owner",
    ],
)
async def test_the_service_cannot_take_the_rules_away(service, statement):
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await service.execute(statement)


async def test_a_temporary_table_does_not_stand_in_for_the_archive(service):
    """The rules name their schema, so a table of the same name that the session may make is not looked at."""
    await service.execute("CREATE TEMP TABLE archive (tape_sequence bigint, chain_hash bytea)")
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
    with pytest.raises(asyncpg.RaiseError, match="has version 1, this file makes version 2"):
        await superuser.execute(schema)


@pytest.mark.parametrize(
    ("subject", "message_id", "body"),
    [
        ("s", "m", b""),
        ("tape.main.x", "execution:1:0", b"\x00\xff"),
        ("ü", "Ω", b"{}"),
        ("ab", "c", b"d"),
        ("a", "bc", b"d"),
    ],
)
async def test_the_database_and_the_program_compute_the_same_hash(service, subject, message_id, body):
    previous = bytes(range(32))
    there = await service.fetchval(
        "SELECT ledger.chain_hash($1, $2, $3, $4, $5)", previous, 7, subject, message_id, body
    )
    assert there == chain_hash(previous, 7, subject, message_id, body)


def test_parts_that_run_into_each_other_have_different_hashes():
    assert chain_hash(GENESIS, 1, "ab", "c", b"") != chain_hash(GENESIS, 1, "a", "bc", b"")
    assert chain_hash(GENESIS, 1, "a", "b", b"c") != chain_hash(GENESIS, 1, "a", "bc", b"")
