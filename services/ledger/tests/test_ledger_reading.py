"""Readers can change nothing, wait for nothing for long, and never stand in the way of the books."""

import asyncio

import asyncpg
import pytest
from ledger_readers import reader

from tollgate_ledger import reading as reading_module
from tollgate_ledger.queries import Query
from tollgate_ledger.reading import ASKING_MAX, CONNECTIONS_MAX, NotRead, Reading
from tollgate_ledger.store import Store

ONE = Query("test", "SELECT 1 AS one", ())
SLOW = Query("test", "SELECT pg_sleep(0.3)", ())


@pytest.fixture
async def reading(database):
    made = Reading(database.dsn("tollgate_reader"))
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
    with pytest.raises(NotRead, match="cannot be read"):
        await reading.fetch(Query("test", statement, ()))
    assert await reading.fetch(ONE)


async def test_every_transaction_is_read_only_and_bounded_also_where_the_role_is_not(database):
    """The settings are the connection's own: a role without them would be held to them too."""
    made = Reading(database.dsn("postgres"))
    with pytest.raises(NotRead, match="read-only"):
        await made.fetch(Query("test", "DELETE FROM ledger.postings", ()))
    names = ("transaction_read_only", "statement_timeout", "max_parallel_workers_per_gather")
    found = [(await made.fetch(Query("test", f"SHOW {name}", ())))[0][0] for name in names]
    assert found == ["on", "2s", "0"]
    made.close()


async def test_a_question_that_takes_too_long_is_ended_and_the_next_is_answered(database, monkeypatch):
    monkeypatch.setitem(reading_module._SETTINGS, "statement_timeout", "50")
    made = Reading(database.dsn("tollgate_reader"))
    with pytest.raises(NotRead, match="ask for a shorter span"):
        await made.fetch(Query("test", "SELECT pg_sleep(5)", ()))
    assert await made.fetch(ONE)
    made.close()


async def test_only_so_many_read_at_once_so_many_wait_and_the_others_are_told(reading, superuser):
    asking = [asyncio.create_task(reading.fetch(SLOW)) for _ in range(ASKING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(NotRead, match="others are reading"):
        await reading.fetch(ONE)
    done = await asyncio.gather(*asking, return_exceptions=True)
    answered = [rows for rows in done if isinstance(rows, list)]
    # Who had no turn within a second was told so; the others were answered, two at a time.
    assert len(answered) >= CONNECTIONS_MAX
    assert {type(error) for error in done if not isinstance(error, list)} <= {NotRead}
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tollgate-ledger-reading'"
    assert await superuser.fetchval(count) == CONNECTIONS_MAX
    assert await reading.fetch(ONE)


async def test_without_a_database_the_answer_says_so_and_when_to_come_again(tmp_path, database):
    away = reader(tmp_path, Reading(f"postgresql://tollgate_reader@/{database.name}?host={tmp_path}"))
    answer = await away.get("/equity")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "cannot be read" in answer.json()["detail"]


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
