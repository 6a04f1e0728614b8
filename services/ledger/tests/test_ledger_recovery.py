"""The ledger as a whole, on an in-memory tape and a real database: live, killed, and started again."""

import asyncio
from decimal import Decimal

import pytest

from tollgate_chassis.exits import Exit, ProcessEnd, Restart
from tollgate_chassis.tape import MemoryTape, TapeWentBackwards
from tollgate_contracts.codec import decode
from tollgate_contracts.execution import Fill
from tollgate_ledger import recorder as recorder_module
from tollgate_ledger.app import LedgerShell
from tollgate_ledger.core import LedgerCore
from tollgate_ledger.settings import LedgerSettings
from tollgate_ledger.store import BooksContradicted, Store

PATIENCE_S = 20.0


@pytest.fixture
def market(speak):
    """An account, then fills, quotes and clocks: thirty messages of others, eleven of which move money."""
    messages = [speak.policy(), speak.account(USDT="100000")]
    for number in range(1, 11):
        messages.append(speak.quote(str(99 + number), str(101 + number), number=number))
        side, quantity = ("SELL", "0.5") if number % 3 == 0 else ("BUY", "1")
        messages.append(speak.fill(side, quantity, str(100 + number), "0.1", trade_id=f"t{number}", cause=number))
        if number < 10:
            messages.append(speak.clock(number))
    return messages


def ids_of(tape, writer="ledger"):
    return [record.message_id for record in tape._records if record.message_id.startswith(f"{writer}:")]


def last_books(tape):
    books = [decode(record.data) for record in tape._records if record.subject.endswith(".books")]
    return books[-1]


async def check_books_and_tape(tape, superuser, fills=10):
    """The archive is the tape byte for byte, and each fill is booked once."""
    rows = await superuser.fetch("SELECT * FROM ledger.archive ORDER BY tape_sequence")
    assert [(row["tape_sequence"], row["subject"], row["message_id"], row["body"]) for row in rows] == [
        (record.sequence, record.subject, record.message_id, record.data) for record in tape._records
    ]
    assert await superuser.fetchval("SELECT count(*) FROM ledger.entries WHERE kind = 'fill'") == fills
    assert await superuser.fetchval("SELECT coalesce(max(id), 0) - count(*) FROM ledger.entries") == 0
    said = ids_of(tape)
    assert len(said) == len(set(said))


async def test_a_fill_is_booked_archived_and_told(ledger, put, market, superuser, database):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    put(tape, *market)
    await running.settle()
    await check_books_and_tape(tape, superuser)
    rows = await superuser.fetch("SELECT account, currency, amount FROM ledger.balances WHERE amount <> 0")
    assert {(row["account"], row["currency"]): row["amount"] for row in rows} == running.core.balances
    said, status, books = last_books(tape), running.shell.status(), running.core.status()
    assert (str(said.equity), str(said.fees)) == (books["equity"], books["fees"]) == (books["equity"], "1")
    assert (status["uncommitted"], status["archived"], status["entries"]) == (0, tape.tip, 11)
    assert running.shell.not_ready() == []
    await running.stop()


async def test_the_configuration_goes_on_the_tape_once_and_again_when_it_changes(ledger, put, market):
    tape = MemoryTape()
    first = await ledger(tape).start()
    await first.settle()
    await first.stop()
    second = await ledger(tape).start()
    await second.settle()
    await second.stop()
    assert len(ids_of(tape)) == 1
    third = ledger(tape)
    third.shell._settings = LedgerSettings(run_id="r1", ledger={"books_interval_ms": 7})
    await third.start()
    await third.until(lambda: len(ids_of(tape)) == 2)
    await third.settle()
    await third.stop()


async def run_without_trouble(ledger, put, market):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    for message in market:
        put(tape, message)
        await running.settle()
    await running.stop()
    return [(record.message_id, record.data) for record in tape._records], running.core.balances


@pytest.mark.parametrize("every", [1, 2, 3, 7])
@pytest.mark.parametrize("state_every", [1, 4, 5_000])
async def test_killed_again_and_again_it_says_and_books_what_it_would_have(
    ledger, put, market, superuser, monkeypatch, tmp_path, postgres, every, state_every
):
    """Kill after each few messages, at whatever the ledger was doing, with states kept often, seldom and never."""
    monkeypatch.setattr(recorder_module, "STATE_EVERY", state_every)
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    for number, message in enumerate(market, start=1):
        put(tape, message)
        if number % every == 0:
            target = tape.tip
            await running.until(lambda running=running, target=target: running.runner.position >= target)
            await running.crash()
            running = await ledger(tape).start()
            await running.settle()
    await running.settle()
    await running.stop()
    await check_books_and_tape(tape, superuser)
    said = {record.message_id: record.data for record in tape._records if record.message_id.startswith("ledger:")}
    again = LedgerCore()
    for record in tape._records:
        for output in again.step(record.sequence, decode(record.data)).outputs:
            assert said.pop(output.id) == output.__pydantic_serializer__.to_json(output)
    assert [identity for identity in said if not identity.startswith("ledger:config:")] == []
    assert again.balances == running.core.balances


class KilledInCatchUp(LedgerShell):
    """A shell whose process is killed before it has settled the record after ``kill_after``."""

    kill_after = 0

    async def settled(self, record):
        if record.sequence > self.kill_after:
            await asyncio.Event().wait()
        await super().settled(record)


async def test_killed_while_catching_up_it_still_says_what_it_owed(ledger, put, market, superuser, monkeypatch):
    """Nobody has appended the books that catching up regenerates, so no state may be kept beyond their causes."""
    monkeypatch.setattr(recorder_module, "STATE_EVERY", 1)
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    await running.stop()
    put(tape, *market)
    for kill_after in (5, 12, 25):
        killed = ledger(tape)
        killed.shell.__class__ = KilledInCatchUp
        killed.shell.kill_after = kill_after
        await killed.start()
        await killed.until(lambda killed=killed, k=kill_after: killed.recorder.durable == k)
        await killed.crash()
        assert len(ids_of(tape)) == 1
    running = await ledger(tape).start()
    await running.settle()
    await running.stop()
    await check_books_and_tape(tape, superuser)
    caused = {decode(record.data).cause for record in tape._records if record.subject.endswith(".books")}
    fills = {record.sequence for record in tape._records if isinstance(decode(record.data), Fill)}
    assert fills <= caused


async def test_a_tape_that_ends_before_the_archive_halts(ledger, put, market, tmp_path):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    put(tape, *market)
    await running.settle()
    await running.crash()
    (tmp_path / "high-water").unlink()
    cut = MemoryTape()
    for record in tape._records[:-5]:
        cut.insert(record.subject, record.data, record.message_id)
    error = await (await ledger(cut).start()).end()
    assert isinstance(error, TapeWentBackwards)
    assert error.code is Exit.HALT
    assert "restore the tape from the archive" in error.why


async def test_a_tape_that_is_not_the_archived_one_halts(ledger, put, market):
    """The state is older than the archive, and between the two the tape has changed."""
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    put(tape, *market)
    await running.settle()
    await running.crash()
    other = MemoryTape()
    last_quote = max(record.sequence for record in tape._records if record.subject.endswith(".quote"))
    for record in tape._records:
        changed = record.sequence == last_quote
        other.insert(record.subject, record.data + b" " * changed, record.message_id)
    error = await (await ledger(other).start()).end()
    assert isinstance(error, BooksContradicted)
    assert "not the one that was archived" in error.why


async def test_books_that_were_changed_behind_its_back_halt_it(ledger, put, market, superuser):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    put(tape, *market)
    await running.settle()
    await running.crash()
    # Even of a superuser the database would ask that the entry's hash be right.
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute("UPDATE ledger.postings SET amount = amount * 2 WHERE entry_id = 3")
    error = await (await ledger(tape).start()).end()
    assert isinstance(error, BooksContradicted)
    assert "was booked as" in error.why


NO_STATE = "UPDATE ledger.checkpoint SET state_sequence = 0, state = NULL, state_message_id = NULL"


class Paged(Store):
    """A store that notes how many entries it returns at once."""

    pages = ()

    async def entries_after(self, number, limit):
        entries = await super().entries_after(number, limit)
        self.pages = (*self.pages, len(entries))
        return entries


async def test_without_a_state_the_whole_journal_is_stepped_again_and_never_held_at_once(
    ledger, put, market, superuser, monkeypatch
):
    monkeypatch.setattr(recorder_module, "REPLAYED_ENTRIES", 4)
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    put(tape, *market)
    await running.settle()
    await running.crash()
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute(NO_STATE)
    running = ledger(tape)
    running.store.__class__ = Paged
    await running.start()
    await running.settle()
    await running.stop()
    last, *pages = running.store.pages
    assert (last, sum(pages), max(pages)) == (1, 11, 4)
    await check_books_and_tape(tape, superuser)


@pytest.mark.parametrize(
    ("tampering", "words"),
    [
        ("UPDATE ledger.postings SET amount = amount * 2 WHERE entry_id = 9", "was booked as"),
        ("DELETE FROM ledger.postings WHERE entry_id = 9", "was booked as"),
    ],
)
async def test_an_entry_on_a_later_page_is_compared_as_well(
    ledger, put, market, superuser, monkeypatch, tampering, words
):
    monkeypatch.setattr(recorder_module, "REPLAYED_ENTRIES", 4)
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    put(tape, *market)
    await running.settle()
    await running.crash()
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute(NO_STATE)
    await superuser.execute(tampering)
    error = await (await ledger(tape).start()).end()
    assert isinstance(error, BooksContradicted)
    assert words in error.why


async def test_a_database_that_goes_away_ends_the_process_for_a_restart(ledger, put, market, superuser, database):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    await superuser.execute("ALTER ROLE tollgate_ledger NOLOGIN")
    try:
        kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tollgate_ledger'"
        await superuser.execute(kill)
        put(tape, *market)
        error = await running.end()
    finally:
        await superuser.execute("ALTER ROLE tollgate_ledger LOGIN")
    assert isinstance(error, ProcessEnd)
    running = await ledger(tape).start()
    await running.settle()
    await running.stop()
    await check_books_and_tape(tape, superuser)


async def test_a_connection_that_breaks_is_made_anew_without_a_restart(ledger, put, market, superuser):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    for message in market:
        put(tape, message)
        await superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tollgate_ledger' "
            "AND datname = current_database()"
        )
        await running.settle()
    await running.stop()
    await check_books_and_tape(tape, superuser)


async def test_a_slow_database_holds_the_reader_back_and_loses_nothing(ledger, put, speak, superuser, monkeypatch):
    monkeypatch.setattr(recorder_module, "QUEUE_MAX", 50)
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    async with superuser.transaction():
        await superuser.fetchval("SELECT archived_sequence FROM ledger.checkpoint FOR UPDATE")
        put(tape, *(speak.quote("1", "2", number=number) for number in range(1, 400)))
        # A batch waits for the lock, and behind it the queue is full.
        await running.until(lambda: running.recorder._in_flight is not None and len(running.recorder._records) == 50)
        held_at = running.runner.position
        for _ in range(50):
            await asyncio.sleep(0)
        assert (running.runner.position, len(running.recorder._records)) == (held_at, 50)
    await running.settle()
    assert running.recorder.durable == tape.tip
    await running.stop()
    await check_books_and_tape(tape, superuser, fills=0)


async def test_of_two_ledgers_one_writes_the_books_and_the_other_ends(ledger, put, market, superuser, tmp_path):
    tape = MemoryTape()
    one = await ledger(tape).start()
    await one.settle()
    (tmp_path / "other").mkdir()
    two = await ledger(tape, tmp_path / "other").start()
    await two.until(two.runner.live.is_set)
    put(tape, *market)
    async with asyncio.timeout(PATIENCE_S):
        done, _ = await asyncio.wait([*one.tasks, *two.tasks], return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(done.pop().exception(), Restart)
    winner, loser = (one, two) if any(task.done() for task in two.tasks) else (two, one)
    await loser.crash()
    await winner.settle()
    await winner.stop()
    await check_books_and_tape(tape, superuser)


async def test_a_clean_stop_leaves_nothing_to_replay(ledger, put, market):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    put(tape, *market)
    await running.until(lambda: running.runner.position == tape.tip)
    await running.stop()
    checkpoint = await running.store.open()
    await running.store.close()
    assert checkpoint.place.archived == tape.tip == checkpoint.snapshot.sequence


async def test_a_record_that_no_one_can_read_is_archived_all_the_same(ledger, put, market, superuser):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    tape.insert("tape.main.execution.fill.BTC-USDT", b"{not json", "execution:broken")
    put(tape, *market, market[-1])
    await running.settle()
    await running.stop()
    await check_books_and_tape(tape, superuser)


async def test_no_message_has_words_or_numbers_that_the_database_cannot_hold(ledger, put, speak, superuser):
    """Any service that may write fills could else stop the books for good, and every start again."""
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    fill = speak.fill("BUY", "1", "100", "0.1", trade_id="t1", fee_currency="BNB", fee_rate="5", cause=1)
    put(tape, speak.policy(), speak.account(USDT="1000", BNB="10"), fill.model_copy(update={"fee_rate_source": "a\0b"}))
    beyond = speak.fill("BUY", "1", "100", trade_id="t2", cause=2).model_copy(update={"cycle_id": 2**63})
    put(tape, beyond, speak.fill("BUY", "1", "100", trade_id="t3", cause=3))
    await running.settle()
    await running.stop()
    rows = await superuser.fetch("SELECT trade_id, fee_rate_source FROM ledger.entries WHERE kind = 'fill' ORDER BY id")
    assert [tuple(row) for row in rows] == [("t1", "a\ufffdb"), ("t3", None)]


async def test_the_ledger_is_not_ready_before_the_books_are_open(ledger, put, speak):
    tape = MemoryTape()
    running = await ledger(tape).start()
    assert running.shell.not_ready() == ["the ledger's configuration is not on the tape yet"]
    await running.settle()
    put(tape, speak.account(USDT="5"))
    await running.settle()
    reason = "the books are not open: they need a policy and a statement of the account that it names"
    assert running.shell.not_ready() == [reason]
    put(tape, speak.policy())
    await running.settle()
    assert running.shell.not_ready() == []
    assert running.core.status()["cash"] == {"USDT": str(Decimal(5))}
    await running.stop()
