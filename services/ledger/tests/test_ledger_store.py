"""One batch is committed whole or not at all, once, and in order."""

import asyncio
import hashlib
import json
from decimal import Decimal

import pytest

from tollgate_chassis.exits import BadConfiguration
from tollgate_chassis.snapshots import Snapshot
from tollgate_chassis.tape import LostRace, Record
from tollgate_chassis.tape.archived import record_of
from tollgate_ledger.core import EntryKind, JournalEntry, Posting
from tollgate_ledger.store import Batch, BooksContradicted, CommitInDoubt, Store


def record(sequence, body=b"{}"):
    return Record(sequence, "tape.main.execution.fill", f"m{sequence}", body, {"traceparent": "00-1"}, sequence)


def entry(number, sequence, /, amount="5", **changes):
    postings = (Posting("asset:USDT", "USDT", Decimal(amount)), Posting("trading:BTC-USDT", "USDT", -Decimal(amount)))
    fields = {
        "number": number,
        "kind": EntryKind.FILL,
        "desk": "main",
        "venue": "simulated",
        "tape_sequence": sequence,
        "message_id": f"m{sequence}",
        "ts_us": 1,
        "run_id": "r1",
        "cycle_id": 1,
        "postings": postings,
        "symbol": "BTC-USDT",
        "trade_id": f"t{number}",
        "client_order_id": "tg",
        "config_hash": "a" * 64,
    }
    return JournalEntry(**{**fields, **changes})


def batch(first, last, *entries, state=None):
    records = tuple(record(sequence) for sequence in range(first, last + 1))
    return Batch(records, entries, state and Snapshot(last, f"m{last}", state))


@pytest.fixture
async def store(database):
    store = Store(database.dsn("tollgate_ledger"), "main")
    await store.open()
    yield store
    await store.close()


COUNTS = """
SELECT (SELECT count(*) FROM ledger.archive) AS archive, (SELECT count(*) FROM ledger.entries) AS entries,
       (SELECT count(*) FROM ledger.postings) AS postings
"""


async def counts(connection):
    """Return the rows of archive, entries and postings at one moment: three queries could straddle a commit."""
    return tuple(await connection.fetchrow(COUNTS))


async def test_a_fresh_database_has_no_state_and_ends_at_zero(store):
    checkpoint = await store.open()
    assert (checkpoint.snapshot, checkpoint.place.archived) == (None, 0)


async def test_a_batch_is_archived_booked_and_checkpointed_together(store, superuser, database):
    await store.commit(batch(1, 3, entry(1, 2), state={"core": {"entries": 1}}))
    assert await counts(superuser) == (3, 1, 2)
    checkpoint = await Store(database.dsn("tollgate_ledger"), "main").open()
    assert checkpoint.place.archived == 3
    assert checkpoint.snapshot == Snapshot(3, "m3", {"core": {"entries": 1}})
    row = await superuser.fetchrow("SELECT * FROM ledger.archive WHERE tape_sequence = 2")
    assert (row["message_id"], row["body"], row["stored_us"]) == ("m2", b"{}", 2)
    assert json.loads(row["headers"]) == {"traceparent": "00-1"}


async def test_a_commit_without_a_state_keeps_the_older_one(store):
    await store.commit(batch(1, 2, state={"n": "1"}))
    await store.commit(batch(3, 5))
    checkpoint = await store.open()
    assert (checkpoint.place.archived, checkpoint.snapshot.sequence) == (5, 2)


async def test_entries_come_back_as_they_were_booked(store):
    booked = [entry(1, 1, "0.000000000000000001"), entry(2, 3, "99999999999999999999.5")]
    await store.commit(batch(1, 3, *booked))
    assert await store.entries_after(0, 9) == booked
    assert (await store.entries_after(0, 1), await store.entries_after(1, 1)) == (booked[:1], booked[1:])
    assert await store.entries_after(2, 9) == []


@pytest.mark.parametrize("first", [2, 5, 7])
async def test_a_batch_that_does_not_follow_the_archive_is_refused(store, superuser, first):
    await store.commit(batch(1, 3))
    with pytest.raises(BooksContradicted, match=f"ends at 3; a batch that begins at {first} is refused"):
        await store.commit(batch(first, 9))
    assert await counts(superuser) == (3, 0, 0)


async def test_a_batch_that_is_committed_already_is_left_as_it_is(store, superuser):
    the_batch = batch(1, 3, entry(1, 2))
    await store.commit(the_batch)
    await store.commit(the_batch)
    assert await counts(superuser) == (3, 1, 2)


async def test_other_records_at_archived_sequences_are_a_contradiction(store):
    await store.commit(batch(1, 3))
    with pytest.raises(BooksContradicted, match="other records than the tape"):
        await store.commit(Batch((record(2, b"other"), record(3))))


REFUSED = [
    (
        "unbalanced",
        {"postings": (Posting("asset:USDT", "USDT", Decimal(5)), Posting("expense:fees", "USDT", Decimal(5)))},
    ),
    ("single posting", {"postings": (Posting("asset:USDT", "USDT", Decimal(5)),)}),
    ("over-precise", {"amount": "0.0000000000000000001"}),
    ("not a number", {"amount": "NaN"}),
    ("a trade booked before", {"trade_id": "t1"}),
    ("a message booked before", {"message_id": "m1"}),
    ("a gap in the numbers", {"number": 9}),
    (
        "an account beside the chart",
        {"postings": (Posting("asset:USDT", "USDT", Decimal(5)), Posting("income:bonus", "USDT", Decimal(-5)))},
    ),
]


@pytest.mark.parametrize("changes", [case[1] for case in REFUSED], ids=[case[0] for case in REFUSED])
async def test_one_bad_entry_takes_its_whole_batch_back_and_halts(store, superuser, changes):
    await store.commit(batch(1, 1, entry(1, 1)))
    with pytest.raises(BooksContradicted, match="the database refuses it"):
        await store.commit(batch(2, 4, entry(2, 2), entry(3, 3, **changes), entry(4, 4), state={"n": "1"}))
    assert await counts(superuser) == (1, 1, 2)
    checkpoint = await store.open()
    assert (checkpoint.place.archived, checkpoint.snapshot) == (1, None)


class Interrupted(Store):
    """A store whose connection is cut at a chosen moment of the next commit."""

    cut_before_commit = False
    cut_after_commit = False

    def __init__(self, dsn, desk, superuser):
        super().__init__(dsn, desk)
        self.superuser = superuser

    async def _kill(self):
        pid = self._connection.get_server_pid()
        await self.superuser.execute("SELECT pg_terminate_backend($1, 5000)", pid)

    async def _advance(self, connection, place, snapshot):
        await super()._advance(connection, place, snapshot)
        if self.cut_before_commit:
            self.cut_before_commit = False
            await self._kill()

    async def _write(self, the_batch, plan):
        result = await super()._write(the_batch, plan)
        if self.cut_after_commit:
            self.cut_after_commit = False
            raise ConnectionResetError("the answer to COMMIT was lost")
        return result


@pytest.fixture
async def interrupted(database, superuser):
    store = Interrupted(database.dsn("tollgate_ledger"), "main", superuser)
    if (await store.open()).place.archived == 0:
        await store.commit(batch(1, 2, entry(1, 1)))
    yield store
    await store.close()


async def test_a_connection_killed_in_mid_batch_leaves_nothing_half_there(interrupted, superuser):
    interrupted.cut_before_commit = True
    the_batch = batch(3, 60, *(entry(number, number + 1) for number in range(2, 40)), state={"n": "1"})
    with pytest.raises(CommitInDoubt):
        await interrupted.commit(the_batch)
    assert await counts(superuser) == (2, 1, 2)
    await interrupted.commit(the_batch)
    assert await counts(superuser) == (60, 39, 78)


async def test_a_commit_whose_answer_was_lost_is_read_back_and_not_done_twice(interrupted, superuser):
    interrupted.cut_after_commit = True
    the_batch = batch(3, 5, entry(2, 4))
    with pytest.raises(CommitInDoubt, match="the answer to COMMIT was lost"):
        await interrupted.commit(the_batch)
    await interrupted.commit(the_batch)
    assert await counts(superuser) == (5, 2, 4)
    await interrupted.commit(batch(6, 6))


class Paused(Store):
    """A store that stands still at a chosen stage of a commit, so that it can be cancelled right there."""

    stage = ""

    def __init__(self, dsn, desk):
        super().__init__(dsn, desk)
        self.stands = asyncio.Event()
        self.go_on = asyncio.Event()

    async def _stand_still(self):
        self.stage = ""
        self.stands.set()
        await self.go_on.wait()

    async def _advance(self, connection, place, snapshot):
        await super()._advance(connection, place, snapshot)
        if self.stage == "before COMMIT":
            await self._stand_still()

    async def _write(self, the_batch, plan):
        result = await super()._write(the_batch, plan)
        if self.stage == "after COMMIT":
            await self._stand_still()
        return result


@pytest.fixture
async def paused(database):
    store = Paused(database.dsn("tollgate_ledger"), "main")
    if (await store.open()).place.archived == 0:
        await store.commit(batch(1, 2, entry(1, 1)))
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("stage", "left_behind"), [("before COMMIT", (2, 1, 2)), ("after COMMIT", (20, 9, 18))], ids=["before", "after"]
)
async def test_a_cancelled_commit_is_whole_or_absent_and_can_be_done_again(paused, superuser, stage, left_behind):
    paused.stage = stage
    the_batch = batch(3, 20, *(entry(number, number + 1) for number in range(2, 10)))
    task = asyncio.create_task(paused.commit(the_batch))
    await paused.stands.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await counts(superuser) == left_behind
    await paused.commit(the_batch)
    assert await counts(superuser) == (20, 9, 18)


async def test_a_cancellation_is_not_hidden_by_a_connection_that_died_as_well(paused, superuser):
    """Otherwise the task that commits would live on after it was cancelled, and the process would not end."""
    paused.stage = "before COMMIT"
    task = asyncio.create_task(paused.commit(batch(3, 20)))
    await paused.stands.wait()
    await superuser.execute("SELECT pg_terminate_backend($1, 5000)", paused._connection.get_server_pid())
    paused._connection.terminate()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


BLOCK_COMMIT = """
CREATE FUNCTION ledger.block() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER block AFTER UPDATE ON ledger.checkpoint DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION ledger.block();
SELECT pg_advisory_lock(7);
"""
WAITS_FOR_THE_CHECKPOINT = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE')
"""
WAITS_IN_COMMIT = """
SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
               WHERE locktype = 'advisory' AND NOT granted AND query = 'COMMIT')
"""


@pytest.mark.parametrize("server_goes_on", [True, False], ids=["server_commits", "server_is_told"])
async def test_a_commit_cancelled_while_the_server_commits_is_settled_before_the_next(
    paused, superuser, server_goes_on
):
    """The server stands inside COMMIT when the caller is cancelled; whichever way it ends, it ends once."""
    await superuser.execute(BLOCK_COMMIT)
    the_batch = batch(3, 20, *(entry(number, number + 1) for number in range(2, 10)))
    task = asyncio.create_task(paused.commit(the_batch))
    while not await superuser.fetchval(WAITS_IN_COMMIT):
        await asyncio.sleep(0)
    if server_goes_on:
        await superuser.fetchval("SELECT pg_advisory_unlock(7)")
    task.cancel()
    await asyncio.wait({task})
    if not server_goes_on:
        await superuser.fetchval("SELECT pg_advisory_unlock(7)")
    assert await counts(superuser) in {(2, 1, 2), (20, 9, 18)}
    await paused.commit(the_batch)
    assert await counts(superuser) == (20, 9, 18)


async def test_reading_back_waits_for_what_the_old_connection_still_commits(paused, interrupted, superuser):
    """The lost connection stands before its COMMIT and commits after all: that is our own batch, not a rival's."""
    the_batch = batch(3, 5, entry(2, 4))
    paused.stage = "before COMMIT"
    lost = asyncio.create_task(paused.commit(the_batch))
    await paused.stands.wait()
    interrupted._place, interrupted._doubt = None, paused._doubt
    again = asyncio.create_task(interrupted.commit(the_batch))
    while not await superuser.fetchval(WAITS_FOR_THE_CHECKPOINT):
        await asyncio.sleep(0)
    paused.go_on.set()
    await lost
    await again
    assert await counts(superuser) == (5, 2, 4)


async def test_of_two_ledgers_one_wins_and_the_other_restarts(store, database, superuser):
    other = Store(database.dsn("tollgate_ledger"), "main")
    await other.open()
    await store.commit(batch(1, 3, entry(1, 2)))
    with pytest.raises(LostRace, match="another ledger writes it"):
        await other.commit(batch(1, 2, entry(1, 2)))
    assert await counts(superuser) == (3, 1, 2)
    await other.close()


async def test_what_the_broker_carries_is_archived_whatever_it_is(store, superuser):
    """A zero character in a header, an id or a subject would else stop the books, on every start again."""
    odd = Record(1, 'tape.main.risk.a\0"\\', "\0", b"\0\xff", {"x\0": "a\0b", "\ufffd": "ü\n"}, 7)
    await store.commit(Batch((odd,), snapshot=Snapshot(1, odd.message_id, {"n": "1"})))
    assert record_of(await superuser.fetchrow("SELECT * FROM ledger.archive")) == odd
    assert (await store.open()).snapshot == Snapshot(1, "\0", {"n": "1"})


async def test_a_subject_of_any_length_is_archived(store, superuser):
    """The broker takes nearly 4 KiB of it; an index over the whole of it would take less."""
    subject = "tape.main.execution." + "".join(hashlib.sha512(b"%d" % number).hexdigest() for number in range(30))
    await store.commit(Batch((Record(1, subject, "m", b"", {}, 7),)))
    assert await superuser.fetchval("SELECT subject FROM ledger.archive") == subject


async def test_a_checkpoint_that_is_another_after_a_commit_in_doubt_is_not_gone_on_with(interrupted, superuser):
    """Neither before nor after that commit: another ledger, or somebody who has rewritten the books meanwhile."""
    interrupted.cut_before_commit = True
    with pytest.raises(CommitInDoubt):
        await interrupted.commit(batch(3, 5, entry(2, 4)))
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("UPDATE ledger.checkpoint SET chain_hash = sha256('x')")
    with pytest.raises(LostRace, match="neither as before nor as it was to be"):
        await interrupted.commit(batch(3, 5, entry(2, 4)))
    assert await counts(superuser) == (2, 1, 2)


async def test_books_that_were_rewritten_between_two_commits_are_not_gone_on_with(store, superuser):
    await store.commit(batch(1, 2))
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("UPDATE ledger.checkpoint SET entry_hash = sha256('x')")
    with pytest.raises(LostRace, match="rewritten"):
        await store.commit(batch(3, 4))
    assert await counts(superuser) == (2, 0, 0)


@pytest.mark.parametrize(
    ("tampering", "error"),
    [
        ("UPDATE ledger.archive SET body = 'x' WHERE tape_sequence = 5", "row 5 was changed"),
        ("DELETE FROM ledger.archive WHERE tape_sequence = 5", "row is not in the archive"),
        ("DELETE FROM ledger.archive WHERE tape_sequence = 4", "archive row 4 is not there"),
    ],
)
async def test_the_last_row_is_checked_on_start(store, superuser, tampering, error):
    await store.commit(batch(1, 5))
    await superuser.execute(tampering)
    with pytest.raises(BooksContradicted, match=error):
        await store.open()


@pytest.mark.parametrize(
    ("tampering", "error"),
    [
        ("UPDATE ledger.entries SET run_id = 'r2' WHERE id = 2", "entry 2 was changed"),
        ("UPDATE ledger.postings SET amount = amount * 2 WHERE entry_id = 2", "entry 2 was changed"),
        ("UPDATE ledger.entries SET chain_hash = sha256('x') WHERE id = 2", "entry 2 was changed"),
        ("DELETE FROM ledger.entries WHERE id = 2", "is at entry 2, but the journal ends elsewhere"),
        ("DELETE FROM ledger.entries WHERE id = 1", "entry 2 was changed"),
        ("UPDATE ledger.checkpoint SET entry_hash = sha256('x')", "hash is not that of entry 2"),
        ("UPDATE ledger.checkpoint SET entry = 1", "is at entry 1, but the journal ends elsewhere"),
    ],
)
async def test_the_last_entry_is_checked_on_start(store, superuser, tampering, error):
    await store.commit(batch(1, 5, entry(1, 1), entry(2, 3)))
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute(tampering)
    with pytest.raises(BooksContradicted, match=error):
        await store.open()


async def test_the_journal_goes_on_where_the_last_batch_has_left_it(store):
    """Over batches with and without entries, and over a start."""
    await store.commit(batch(1, 1, entry(1, 1)))
    await store.commit(batch(2, 2))
    await store.open()
    await store.commit(batch(3, 4, entry(2, 3), entry(3, 4)))
    checkpoint = await store.open()
    assert (checkpoint.place.archived, checkpoint.place.entry) == (4, 3)


async def test_a_state_of_no_message_is_refused_on_start(store, superuser):
    await store.commit(batch(1, 1, state={"n": "1"}))
    await superuser.execute("UPDATE ledger.checkpoint SET state_message_id = '\"'")
    with pytest.raises(BooksContradicted, match="state is of no message"):
        await store.open()


async def test_the_books_of_another_desk_are_refused_on_start(store, database):
    await store.commit(batch(1, 1))
    with pytest.raises(BadConfiguration, match="the books of desk main, not of other"):
        await Store(database.dsn("tollgate_ledger"), "other").open()
