"""Readers can change nothing, wait for nothing for long, and never stand in the way of the books."""

import asyncio
import json
from dataclasses import replace

import asyncpg
import pytest
from ledger_readers import reader, seed, trade_cost, trip

from tollgate_ledger import queries
from tollgate_ledger import reading as reading_module
from tollgate_ledger.queries import Lane, Query, Wanted
from tollgate_ledger.reading import ASKING_MAX, ASKING_OF_ONE_MAX, BooksReader, NotRead, TooLong, Unanswerable
from tollgate_ledger.store import Store

ONE = Query("test", "SELECT 1 AS one", ())
SLOW = Query("test", "SELECT pg_sleep(0.3)", ())
CONNECTIONS = reading_module._BOUNDS[Lane.PAGES].connections


@pytest.fixture
async def reading(database):
    made = BooksReader(database.dsn("tollgate_reader"))
    yield made
    made.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO ledger.days SELECT * FROM ledger.days",
        "UPDATE ledger.checkpoint SET desk = 'other' RETURNING 1",
        "DELETE FROM ledger.postings",
        "TRUNCATE ledger.archive",
        "CREATE TEMP TABLE aside (x int)",
        "SELECT nextval('ledger.nothing')",
        "SELECT * FROM pg_authid",
    ],
)
async def test_nothing_that_a_reader_may_cause_changes_anything(reading, statement):
    with pytest.raises(Unanswerable):
        await reading.fetch(Query("test", statement, ()))
    assert await reading.fetch(ONE)


async def test_every_transaction_is_read_only_and_bounded_also_where_the_role_is_not(database):
    """The settings are the connection's own: a role without them would be held to them too."""
    made = BooksReader(database.dsn("postgres"))
    with pytest.raises(Unanswerable):
        await made.fetch(Query("test", "DELETE FROM ledger.postings", ()))
    names = ("transaction_read_only", "statement_timeout", "max_parallel_workers_per_gather")
    found = [(await made.fetch(Query("test", f"SHOW {name}", ())))[0][0] for name in names]
    assert found == ["on", "2s", "0"]
    made.close()


@pytest.fixture
def hurry(monkeypatch):
    """Bound every statement by 300 ms, so that a test need not wait for the real bounds."""
    for lane, bounds in reading_module._BOUNDS.items():
        monkeypatch.setitem(reading_module._BOUNDS, lane, replace(bounds, statement_ms=300))


@pytest.mark.usefixtures("hurry")
@pytest.mark.parametrize("lane", Lane)
async def test_a_question_that_takes_too_long_is_ended_and_the_next_is_answered(reading, lane):
    with pytest.raises(TooLong, match=r"longer than 0.3 s: ask for a shorter span"):
        await reading.fetch(Query("test", "SELECT pg_sleep(5)", (), lane))
    assert await reading.fetch(replace(ONE, lane=lane))


async def test_only_so_many_read_at_once_so_many_wait_and_the_others_are_told(reading, superuser):
    asking = [asyncio.create_task(reading.fetch(SLOW, f"token-{number}")) for number in range(ASKING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(NotRead, match="others are reading"):
        await reading.fetch(ONE, "late")
    done = await asyncio.gather(*asking, return_exceptions=True)
    answered = [rows for rows in done if isinstance(rows, list)]
    # Who had no turn in time was told so; the others were answered, two at a time.
    assert len(answered) >= CONNECTIONS
    assert {type(error) for error in done if not isinstance(error, list)} <= {NotRead}
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tollgate-ledger-reading'"
    assert await superuser.fetchval(count) == CONNECTIONS
    assert await reading.fetch(ONE)


async def test_one_token_has_one_question_at_a_time_and_leaves_the_other_connection_to_others(reading, superuser):
    slow = replace(SLOW, sql="SELECT pg_sleep(0.6)")
    asking = [asyncio.create_task(reading.fetch(slow, "greedy")) for _ in range(ASKING_OF_ONE_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(NotRead, match=f"{ASKING_OF_ONE_MAX} questions of this token wait already"):
        await reading.fetch(ONE, "greedy")
    assert await reading.fetch(ONE, "modest")
    assert not any(task.done() for task in asking)
    running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    assert await superuser.fetchval(running) <= 1
    assert all(await asyncio.gather(*asking))
    assert (reading._asking.total(), reading._turns) == (0, {})


async def test_slow_readers_stand_in_the_way_of_no_operator_and_sums_in_that_of_no_page(reading):
    """Each lane has connections of its own, so that none waits for what another takes."""
    slow = "SELECT pg_sleep(1)"
    asking = [
        asyncio.create_task(reading.fetch(Query("test", slow, (), lane), f"token-{lane.value}-{number}"))
        for lane in (Lane.PAGES, Lane.SUMS)
        for number in range(reading_module._BOUNDS[lane].connections)
    ]
    await asyncio.sleep(0.1)
    assert await reading.fetch(replace(ONE, lane=Lane.WORDS))
    assert not any(task.done() for task in asking)
    asking[0].cancel()
    assert await reading.fetch(ONE, "page")
    assert not asking[-1].done(), "the sum is still running"
    await asyncio.gather(*asking, return_exceptions=True)


class Failing(BooksReader):
    """A reader whose database says what a test wants."""

    def __init__(self, error):
        super().__init__("")
        self._error = error

    async def _fetch(self, query):
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (asyncpg.ConnectionDoesNotExistError("the host db-7 is gone"), 503, "1"),
        (asyncpg.InvalidPasswordError('password authentication failed for user "db-7"'), 503, "1"),
        (OSError("connect to db-7"), 503, "1"),
        (TimeoutError("db-7"), 503, "1"),
        (asyncpg.QueryCanceledError("db-7"), 422, None),
        (asyncpg.UndefinedTableError('relation "db-7" does not exist'), 500, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_each_fault_has_an_answer_of_its_own_and_none_tells_what_the_driver_said(tmp_path, error, status, retry):
    """Only what may go better the next time says when to come again."""
    answer = await reader(tmp_path, Failing(error)).get("/equity")
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "db-7" not in answer.text


async def test_without_a_database_the_answer_says_so_and_when_to_come_again(tmp_path, database):
    away = reader(tmp_path, BooksReader(f"postgresql://tollgate_reader@/{database.name}?host={tmp_path}"))
    answer = await away.get("/equity")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["detail"] == "the ledger's database cannot be read now"


async def test_a_database_that_has_been_away_is_read_again_without_a_restart(reading, superuser):
    assert await reading.fetch(ONE)
    await superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tollgate-ledger-reading'"
    )
    async with asyncio.timeout(10):
        while True:
            try:
                assert await reading.fetch(ONE)
                break
            except NotRead:
                continue


async def test_a_reader_sees_nothing_of_a_commit_under_way_and_does_not_hold_it_up(database, reading):
    """Booking holds the checkpoint's row; a reader of all that it writes waits for nothing."""
    store = Store(database.dsn("tollgate_ledger"), "main")
    await store.open()
    connection = await asyncpg.connect(database.dsn("tollgate_ledger"))
    await connection.execute("BEGIN; SELECT 1 FROM ledger.checkpoint FOR UPDATE")
    rows = await reading.fetch(Query("test", "SELECT archived_sequence FROM ledger.checkpoint", ()))
    assert rows[0][0] == 0
    await connection.execute("UPDATE ledger.checkpoint SET desk = 'main'; COMMIT")
    await connection.close()
    await store.close()


async def test_after_the_end_nothing_is_read(reading):
    assert await reading.fetch(ONE)
    reading.close()
    with pytest.raises(NotRead, match="stopping"):
        await reading.fetch(ONE)


MANY = 20_000
RARE = (MANY // 3, MANY // 2, MANY)
FILTERED = [
    queries.page_of(name, table, Wanted(10, newest_first=newest_first), **asked)
    for newest_first in (False, True)
    for name, table, asked in (
        ("trades", queries.TRADES, {"symbol": "ETH-USDT"}),
        ("fills", queries.FILLS, {"symbol": "ETH-USDT"}),
        ("fills", queries.FILLS, {"trip": MANY // 2}),
        ("entries", queries.ENTRIES, {"kind": "movement"}),
        ("orders", queries.ORDERS, {queries.SUBJECT: "tape.main.execution.order.ETH-USDT"}),
    )
]


async def test_a_filter_of_which_few_rows_are_does_not_walk_past_all_the_others(database, superuser):
    """The rows that are looked at and passed over are no more than a page, whatever the size of the table."""
    symbols = {number: "ETH-USDT" if number in RARE else "BTC-USDT" for number in range(1, MANY + 1)}
    await seed(superuser, "trips", [trip(number, symbol=symbol) for number, symbol in symbols.items()])
    costs = [trade_cost(number, symbol=symbol, trip=number) for number, symbol in symbols.items()]
    await seed(superuser, "trade_costs", costs)
    await superuser.execute(_ENTRIES_AND_ORDERS)
    await superuser.execute("ANALYZE")
    connection = await asyncpg.connect(
        database.dsn("tollgate_reader"), server_settings={"plan_cache_mode": "force_custom_plan", "jit": "off"}
    )
    for query in FILTERED:
        (said,) = await connection.fetch(f"EXPLAIN (ANALYZE, FORMAT JSON) {query.sql}", *query.arguments)
        nodes = list(_nodes(json.loads(said[0])[0]["Plan"]))
        scans = [node for node in nodes if "Scan" in node["Node Type"]]
        assert nodes[0]["Actual Rows"] >= 1, query
        assert "Seq Scan" not in {node["Node Type"] for node in nodes}, query
        assert sum(node.get("Rows Removed by Filter", 0) for node in scans) <= len(RARE), query
        assert max(node["Actual Rows"] for node in scans) <= len(RARE), query
    await connection.close()


_ENTRIES_AND_ORDERS = f"""
SET session_replication_role = replica;
INSERT INTO ledger.entries (id, desk, venue, tape_sequence, message_id, kind, ts_us, run_id, cycle_id, lines, symbol,
                            trade_id, client_order_id, config_hash, movement_id, chain_hash)
SELECT n, 'main', 'simulated', n, 'm' || n, CASE WHEN rare THEN 'movement' ELSE 'fill' END, n, 'r1', 0, 2, 'BTC-USDT',
    CASE WHEN rare THEN NULL ELSE 't' || n END, CASE WHEN rare THEN NULL ELSE 'tg' END,
    CASE WHEN rare THEN NULL ELSE repeat('a', 64) END, CASE WHEN rare THEN 'd' || n END,
    decode(repeat('00', 32), 'hex')
FROM (SELECT n, n IN {RARE} AS rare FROM generate_series(1, {MANY}) AS n) AS numbered;
INSERT INTO ledger.postings SELECT n, line, 'asset:USDT', 'USDT', 2 * line - 3
FROM generate_series(1, {MANY}) AS n, generate_series(1, 2) AS line;
INSERT INTO ledger.archive (tape_sequence, message_id, subject, body, headers, stored_us, chain_hash)
SELECT n, 'm' || n, 'tape.main.execution.order.' || CASE WHEN n IN {RARE} THEN 'ETH' ELSE 'BTC' END || '-USDT',
    convert_to('{{"client_order_id":"' || lpad(n::text, 32, '0') || '"}}', 'UTF8'), '{{}}', n,
    decode(repeat('00', 32), 'hex')
FROM generate_series(1, {MANY}) AS n;
SET session_replication_role = origin;
"""  # noqa: S608 - put together from our own words


def _nodes(plan):
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)
