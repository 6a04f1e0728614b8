"""The trade log in the database: written with what it follows from, or not at all, and never a second time."""

from dataclasses import fields

import asyncpg
import pytest
from trade_log_desk import DAY_US, ENTRY, EXIT, Desk

from tollgate_chassis.tape import MemoryTape
from tollgate_contracts.codec import decode, encode
from tollgate_contracts.reconciliation import MovementType
from tollgate_contracts.strategy import Purpose
from tollgate_contracts.subjects import tape_subject
from tollgate_ledger.core import LedgerCore
from tollgate_ledger.core.rows import DayClosed, EquityPoint, TradeCost, TripEnded
from tollgate_ledger.read_model import row_of

NEXT_CENTURY_US = 4_102_444_800_000_000
TABLES = {TradeCost: "trade_costs", TripEnded: "trips", EquityPoint: "equity", DayClosed: "days"}
KEYS = {TradeCost: "tape_sequence", TripEnded: "number", EquityPoint: "tape_sequence", DayClosed: "day"}


@pytest.fixture
def history(speak):
    """Two days: a trip that ends, one that is taken back, one that is left open, funding, and money that comes in."""
    speak = type(speak)()
    # A ledger says its configuration by the clock of today, and days do not go back.
    speak.start_us = NEXT_CENTURY_US
    desk = Desk(speak, share="2000", USDT="1000", BTC="0.5")
    desk.quote("100").put(speak.clock(1))
    desk.ask(ENTRY, "BUY", trigger="90").fill(ENTRY, "BUY", "1", "101", "0.2")
    desk.put(speak.movement("-0.25", MovementType.FUNDING, movement_id="1"))
    desk.quote("110").ask(EXIT, "SELL", Purpose.EXIT)
    sold = desk.fill(EXIT, "SELL", "1.5", "109", "0.3")
    desk.put(speak.bust(sold), speak.movement("50", MovementType.DEPOSIT, movement_id="2"))
    desk.put(speak.clock(2, ts_us=speak.start_us + DAY_US))
    desk.fill(EXIT, "SELL", "0.5", "120", "0.1", ts_us=speak.start_us + DAY_US + 1)
    desk.put(speak.clock(3, ts_us=speak.start_us + 2 * DAY_US))
    # Its configuration a ledger says itself.
    return [message for message in desk.messages if message.kind != "config"]


def lay(tape, *messages):
    """Put messages on the tape as their writers would: each output named after a cause that lies before it."""
    for message in messages:
        cause = tape.tip or None
        name = f"{message.writer}:{cause}:0" if cause else f"{message.writer}:first:1"
        named = message if message.cause is None else message.model_copy(update={"id": name, "cause": cause})
        tape.insert(tape_subject(named), encode(named), named.id)


def rows_of(tape):
    """Step a fresh core over the tape as it lies there, and return every row that follows."""
    core, rows = LedgerCore(), []
    for record in tape._records:
        rows += core.step(record.sequence, decode(record.data)).effects
    return rows


async def check_tables(superuser, tape):
    expected = rows_of(tape)
    for kind, table in TABLES.items():
        wanted = [row_of(row) for row in expected if isinstance(row, kind)]
        names = ", ".join(each.name for each in fields(kind))
        found = await superuser.fetch(f"SELECT {names} FROM ledger.{table} ORDER BY {KEYS[kind]}")  # noqa: S608 - ours
        assert [tuple(row) for row in found] == wanted, table
        assert wanted, table


async def test_what_is_in_the_tables_is_what_the_core_reads_off_the_tape(ledger, history, superuser):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    lay(tape, *history)
    await running.settle()
    await check_tables(superuser, tape)
    await running.stop()


async def test_a_ledger_that_is_killed_and_started_again_leaves_nothing_out_and_writes_nothing_twice(
    ledger, history, superuser
):
    """At every message: what is archived has its rows, and what is stepped again writes none."""
    tape = MemoryTape()
    for message in history:
        running = await ledger(tape).start()
        lay(tape, message)
        await running.until(lambda running=running: running.recorder.durable >= 1)
        await running.crash()
    running = await ledger(tape).start()
    await running.settle()
    await check_tables(superuser, tape)
    await running.stop()


async def test_a_ledger_that_goes_on_from_a_kept_state_writes_the_same_rows(ledger, history, superuser):
    tape = MemoryTape()
    for place in range(0, len(history), 4):
        running = await ledger(tape).start()
        lay(tape, *history[place : place + 4])
        await running.settle()
        await running.stop()
    await check_tables(superuser, tape)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger.trade_costs",
        "DELETE FROM ledger.trips",
        "DELETE FROM ledger.equity",
        "DELETE FROM ledger.days",
        "UPDATE ledger.trade_costs SET slippage = 0",
        "UPDATE ledger.trips SET net = 0",
        "UPDATE ledger.equity SET equity = 0",
        "UPDATE ledger.days SET net = 0",
        "TRUNCATE ledger.trade_costs, ledger.trips, ledger.equity, ledger.days",
    ],
)
async def test_the_service_may_add_to_the_log_and_never_change_it(database, statement):
    connection = await database.connect("tollgate_ledger")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()


@pytest.mark.parametrize(
    "statement", ["UPDATE ledger.trips SET edge = edge + 1", "UPDATE ledger.days SET net = net + 1"]
)
async def test_what_does_not_add_up_is_refused_whoever_writes_it(ledger, history, superuser, statement):
    tape = MemoryTape()
    running = await ledger(tape).start()
    await running.settle()
    lay(tape, *history)
    await running.settle()
    await running.stop()
    with pytest.raises(asyncpg.CheckViolationError, match="adds_up"):
        await superuser.execute(statement)
