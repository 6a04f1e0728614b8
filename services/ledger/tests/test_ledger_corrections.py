"""Entries that are taken back: what an operator may say, what is booked by it, and that it is booked once."""

from decimal import Decimal

import httpx
import pytest
from fastapi import FastAPI
from ledger_readers import BEARERS, MINTED

from tollgate_chassis.operator_door import OperatorDoor
from tollgate_chassis.operator_trail import CallLog
from tollgate_chassis.operators import TOKENS_FILE, OperatorTokens, TokenList
from tollgate_chassis.tape import MemoryTape
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.ledger import Correction, Line
from tollgate_contracts.reconciliation import MovementType
from tollgate_ledger.api import build_router
from tollgate_ledger.core import Alarm, AlarmReason, EntryKind, JournalEntry, LedgerCore
from tollgate_ledger.core.bookkeeping import CORRECTED_MAX
from tollgate_ledger.correcting import CorrectionWord, Corrector, Verdict, add_corrections
from tollgate_ledger.reading import BooksReader
from tollgate_ledger.settings import LedgerSettings

UNEXPLAINED = (("asset:USDT", "USDT", "-7"), ("suspense:drift", "USDT", "7"))


def correction(speak, entry=2, lines=UNEXPLAINED, booked_as=MovementType.WITHDRAWAL, **fields):
    """Return the message that takes an entry of these lines back; it is withdrawn money from here on."""
    return Correction(
        **{
            "id": f"ledger:correction:9.{entry}",
            "desk": "main",
            "run_id": "r1",
            "ts_us": speak.start_us,
            "cause": None,
            "cycle_id": 0,
            "entry": entry,
            "lines": tuple(Line(account=one, currency=two, amount=Decimal(three)) for one, two, three in lines),
            "movement_id": "d1",
            "symbol": None,
            "booked_as": booked_as,
            "actor": "ann (books)",
            "reason": "ticket 4711",
            **fields,
        }
    )


@pytest.fixture
def core(speak):
    """Books with 1000 USDT of which 7 have gone without a reason, as entry 2."""
    core = LedgerCore()
    moved = speak.movement("-7", MovementType.UNEXPLAINED, movement_id="d1")
    for sequence, message in enumerate((speak.config(), speak.policy(), speak.account(USDT="1000"), moved), start=1):
        core.step(sequence, message)
    return core


def entries(step):
    return [effect for effect in step.effects if isinstance(effect, JournalEntry)]


def lines(entry):
    return [(posting.account, posting.currency, str(posting.amount)) for posting in entry.postings]


def test_it_is_taken_back_line_by_line_and_booked_under_its_new_name(core, speak):
    before = core.status()
    step = core.step(5, correction(speak))
    back, again = entries(step)
    assert (back.kind, back.reverses, back.movement_id) == (EntryKind.CORRECTION, 2, None)
    assert lines(back) == [("asset:USDT", "USDT", "7"), ("suspense:drift", "USDT", "-7")]
    assert (again.kind, again.reverses, again.movement_id) == (EntryKind.MOVEMENT, None, "d1/corrected-2")
    assert lines(again) == [("asset:USDT", "USDT", "-7"), ("equity:transfers", "USDT", "7")]
    assert (back.number, again.number, back.tape_sequence, again.tape_sequence) == (3, 4, 5, 5)
    assert ("suspense:drift", "USDT") not in core.balances
    after = core.status()
    assert {**before, "entries": 4, "suspense": {}} == after, "what is held and what it is worth stay as they are"


def test_what_was_corrected_can_be_corrected_again_as_what_it_was_booked(core, speak):
    core.step(5, correction(speak))
    withdrawn = (("asset:USDT", "USDT", "-7"), ("equity:transfers", "USDT", "7"))
    step = core.step(6, correction(speak, 4, withdrawn, MovementType.FEE))
    assert [entry.movement_id for entry in entries(step)] == [None, "d1/corrected-4"]
    assert core.balances["expense:charges", "USDT"] == 7


def test_it_is_taken_back_once_also_over_a_restart(core, speak):
    core.step(5, correction(speak))
    restarted = LedgerCore()
    restarted.restore(core.snapshot())
    for each in (core, restarted):
        assert entries(each.step(6, correction(speak))) == []


def test_how_many_corrections_are_remembered_is_bounded(core, speak):
    for number in range(CORRECTED_MAX + 5):
        entry = core.entries
        core.step(5 + number, correction(speak, entry))
    state = core.snapshot()
    assert (len(state["corrected"]), state["corrected_until"]) == (CORRECTED_MAX, 10)
    restarted = LedgerCore()
    restarted.restore(state)
    for each in (core, restarted):
        (refused,) = each.step(5 + CORRECTED_MAX + 5, correction(speak, 2)).effects
        assert "is forgotten" in refused.detail, "the database knows that it was taken back, and would refuse it"


@pytest.mark.parametrize(
    ("entry", "said", "words"),
    [
        (9, UNEXPLAINED, "entry 9 is not there, the last one is 2"),
        (2, (("suspense:drift", "USDT", "-7"), ("suspense:drift", "USDT", "7")), "is not of one movement"),
        (2, (("asset:USDT", "USDT", "-7"), ("equity:opening", "USDT", "7")), "is not of one movement"),
        (2, (("asset:USDT", "USDT", "-7"), ("asset:USDT", "USDT", "7")), "is not of one movement"),
        (2, (*UNEXPLAINED, ("suspense:drift", "USDT", "0")), "is not of one movement"),
        (2, (("asset:USDT", "USDT", "-7"), ("suspense:drift", "USDT", "8")), "do not balance"),
        (2, (("asset:USDT", "USDT", "-7"), ("suspense:drift", "BTC", "7")), "do not balance"),
    ],
)
def test_what_is_no_movement_of_the_books_is_an_alarm_and_books_nothing(core, speak, entry, said, words):
    before = core.balances
    step = core.step(5, correction(speak, entry, said))
    [alarm] = step.effects
    assert isinstance(alarm, Alarm)
    assert (alarm.reason, words in alarm.detail) == (AlarmReason.CORRECTION_REFUSED, True)
    assert (core.balances, core.entries) == (before, 2)


def test_the_message_comes_back_from_the_tape_as_it_was_said(speak):
    said = correction(speak)
    assert decode(encode(said)) == said


@pytest.fixture
async def door(database, ledger, put, speak, tmp_path):
    """A running ledger whose entry 2 is of 7 USDT that have gone, entry 3 of a trade, and a caller at its door."""
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    moved = speak.movement("-7", MovementType.UNEXPLAINED, movement_id="d1")
    put(tape, speak.policy(), speak.account(USDT="1000"), moved, speak.fill("BUY", "1", "100", trade_id="t1", cause=1))
    await running.settle()
    path = tmp_path / TOKENS_FILE
    path.write_text(TokenList(tokens=tuple(entry for entry, _ in MINTED.values())).model_dump_json())
    path.chmod(0o600)
    reading = BooksReader(database.dsn("tollgate_reader"))
    router = build_router(reading, OperatorDoor(OperatorTokens.open(path, 0, needs=()), CallLog()), "main")
    corrector = Corrector(running.core, reading, lambda: running.runner if running.runner.live.is_set() else None)
    add_corrections(router, LedgerSettings(run_id="r1"), corrector)
    app = FastAPI()
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ledger/v1") as caller:

        async def correct(entry=2, booked_as="WITHDRAWAL", reason="ticket 4711", scope="books"):
            body = {"entry": entry, "booked_as": booked_as, "reason": reason, "actor": "ann"}
            answer = await caller.post("/corrections", headers=BEARERS[scope], json=body)
            return answer.status_code, answer.json().get("note", answer.json().get("detail"))

        yield correct, running
    reading.close()


async def test_a_word_at_the_door_is_booked_by_the_database_once(door, superuser):
    correct, running = door
    assert await correct() == (200, "taken back, and booked as WITHDRAWAL")
    await running.settle()
    rows = await superuser.fetch("SELECT kind, reverses, movement_id FROM ledger.entries WHERE id > 3 ORDER BY id")
    assert [tuple(row) for row in rows] == [("correction", 2, None), ("movement", None, "d1/corrected-2")]
    assert await correct() == (409, "entry 2 was taken back before")
    [said] = [decode(record.data) for record in await running.tape.read(1, 100) if "correction" in record.subject]
    assert (said.actor, said.reason) == ("ann (books)", "ticket 4711")
    assert await correct(5, "FEE") == (200, "taken back, and booked as FEE")
    await running.settle()
    assert await superuser.fetchval("SELECT movement_id FROM ledger.entries WHERE id = 7") == "d1/corrected-5"


async def test_an_older_entry_may_be_corrected_after_a_newer_one(door, put, speak):
    """No reader takes the second word for a repetition of the first."""
    correct, running = door
    put(running.tape, speak.movement("5", MovementType.DEPOSIT, movement_id="d2"))
    await running.settle()
    assert await correct(4, "REBATE") == (200, "taken back, and booked as REBATE")
    assert await correct(2) == (200, "taken back, and booked as WITHDRAWAL")


@pytest.mark.parametrize(
    ("word", "status", "words"),
    [
        ({"entry": 99}, 404, "there is no entry 99"),
        ({"entry": 1}, 409, "entry 1 is of kind opening, and no movement"),
        ({"entry": 3}, 409, "entry 3 is of kind fill, and no movement"),
        ({"booked_as": "UNEXPLAINED"}, 409, "stands in suspense:drift already"),
        ({"booked_as": "GIFT"}, 422, "booked_as"),
        ({"entry": 0}, 422, "entry"),
        ({"reason": " "}, 422, "a reason is needed"),
        ({"scope": "read"}, 403, "scope"),
        ({"scope": "release"}, 403, "scope"),
    ],
)
async def test_a_word_that_does_not_count_is_refused_with_its_reason(door, word, status, words):
    correct, running = door
    answered, said = await correct(**word)
    assert (answered, words in said) == (status, True), said
    assert running.core.entries == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.postings SET amount = amount * 2 WHERE entry_id = 2",
        "UPDATE ledger.postings SET amount = 'NaN' WHERE entry_id = 2 AND line = 1",
        "UPDATE ledger.postings SET account = 'income:funding' WHERE entry_id = 2 AND line = 2",
        "UPDATE ledger.entries SET movement_id = 'd9' WHERE id = 2",
        "UPDATE ledger.entries SET chain_hash = sha256('x') WHERE id = 1",
        "DELETE FROM ledger.postings WHERE entry_id = 2",
    ],
)
async def test_lines_that_were_changed_in_the_database_do_not_reach_the_tape(door, superuser, statement):
    """A correction carries the journal's lines: they are those that were booked, or none."""
    correct, running = door
    tip = running.tape.tip
    # Even of a superuser the database would ask that the entry's hash be right.
    await superuser.execute("ALTER TABLE ledger.postings DROP CONSTRAINT amount_is_exact")
    await superuser.execute("SET session_replication_role = replica")
    await superuser.execute(statement)
    answered, said = await correct()
    assert (answered, "entry 2 is not as it was booked" in said, running.tape.tip) == (409, True, tip)


async def test_an_instance_that_stands_by_takes_no_word():
    word = CorrectionWord(entry=2, booked_as=MovementType.FEE, reason="r")
    corrected = await Corrector(LedgerCore(), None, lambda: None).correct(word, "books", LedgerSettings())
    assert corrected.verdict is Verdict.NOT_ACTIVE
