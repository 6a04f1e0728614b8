"""What moves of a position's own currency without an order: its lines, its result, and that all agrees in the end."""

import json
from decimal import Decimal

import pytest
from trade_log_desk import DAY_US, Desk

from tollgate_chassis.tape import MemoryTape
from tollgate_contracts.ledger import Books, Correction, Line
from tollgate_contracts.reconciliation import MovementType
from tollgate_ledger.core import Alarm, AlarmReason, EntryKind, JournalEntry, LedgerCore
from tollgate_ledger.core.rows import DayClosed, TripEnded, TripTrigger

DEPOSIT, WITHDRAWAL, FEE = MovementType.DEPOSIT, MovementType.WITHDRAWAL, MovementType.FEE
DUST, REBATE, UNEXPLAINED = MovementType.DUST, MovementType.REBATE, MovementType.UNEXPLAINED


@pytest.fixture
def desk(speak):
    """Three bitcoins bought at 100, which are quoted at 110 now."""
    desk = Desk(speak, share="5000", USDT="1000")
    desk.ask("tg" + "0" * 30, "BUY")
    return desk.put(speak.fill("BUY", "3", "100", trade_id="t1")).quote("110")


def lines(entry):
    return {(line.account, line.currency): line.amount for line in entry.postings}


@pytest.mark.parametrize(
    ("amount", "kind", "rate", "expected"),
    [
        pytest.param(
            "-1",
            WITHDRAWAL,
            "110",
            {
                ("asset:BTC", "BTC"): -1,
                ("trading:BTC-USDT", "BTC"): 1,
                ("trading:BTC-USDT", "USDT"): -100,
                ("income:realized", "USDT"): -10,
                ("equity:transfers", "USDT"): 110,
            },
            id="as the example in the journal's docstring",
        ),
        pytest.param(
            "1",
            DEPOSIT,
            "110",
            {
                ("asset:BTC", "BTC"): 1,
                ("trading:BTC-USDT", "BTC"): -1,
                ("trading:BTC-USDT", "USDT"): 110,
                ("equity:transfers", "USDT"): -110,
            },
            id="what comes is bought",
        ),
        pytest.param(
            "-4",
            UNEXPLAINED,
            "110",
            {
                ("asset:BTC", "BTC"): -4,
                ("trading:BTC-USDT", "BTC"): 3,
                ("trading:BTC-USDT", "USDT"): -300,
                ("income:realized", "USDT"): -30,
                ("suspense:drift", "USDT"): 330,
                ("suspense:drift", "BTC"): 1,
            },
            id="what is more than a position has is in its own currency",
        ),
        pytest.param(
            "1",
            REBATE,
            None,
            {("asset:BTC", "BTC"): 1, ("expense:charges", "BTC"): -1},
            id="without a rate it is beside",
        ),
        pytest.param(
            "-1",
            DUST,
            None,
            {
                ("asset:BTC", "BTC"): -1,
                ("trading:BTC-USDT", "BTC"): 1,
                ("trading:BTC-USDT", "USDT"): -100,
                ("expense:dust", "USDT"): 100,
            },
            id="what goes without a rate goes at its cost",
        ),
    ],
)
def test_the_lines_of_what_moves_of_a_position(desk, speak, amount, kind, rate, expected):
    desk.put(speak.movement(amount, kind, "BTC", rate=rate))
    [entry] = [entry for entry in desk.entries if entry.kind is EntryKind.MOVEMENT]
    assert lines(entry) == expected
    assert (entry.kind, entry.fee_rate, entry.fee_rate_source) == (
        EntryKind.MOVEMENT,
        rate and Decimal(rate),
        rate and "quote:1",
    )


@pytest.mark.parametrize(
    ("kind", "rate", "equity", "net", "transfers", "treasury"),
    [
        pytest.param(WITHDRAWAL, "110", "700", "30", "-330", "15", id="what is withdrawn is no loss, its gain is real"),
        pytest.param(
            MovementType.TRANSFER, "90", "700", "-30", "-270", "0", id="nor what is transferred, at its worth"
        ),
        pytest.param(
            FEE, "110", "700", "-300", "0", "0", id="a charge has lost what it had cost, and no share of a gain"
        ),
        pytest.param(DUST, "110", "700", "-300", "0", "0", id="dust likewise"),
        pytest.param(UNEXPLAINED, "110", "700", "-300", "0", "0", id="what nobody explains is missing"),
        pytest.param(WITHDRAWAL, None, "700", "0", "-300", "0", id="without a rate at cost"),
    ],
)
def test_what_goes_of_a_position_is_out_of_equity_and_of_the_days_result(
    desk, speak, kind, rate, equity, net, transfers, treasury
):
    desk.put(speak.movement("-3", kind, "BTC", rate=rate))
    desk.put(speak.clock(2, ts_us=speak.start_us + DAY_US))
    status, [day] = desk.core.status(), desk.of(DayClosed)
    assert (status["positions"], status["equity"], status["treasury"]) == ([], equity, treasury)
    assert (day.net, day.transfers) == (Decimal(net), Decimal(transfers))
    assert day.net == day.equity_last - day.equity_first - day.transfers
    assert desk.core.balances[("equity:opening", "USDT")] == -1000


def test_a_withdrawal_moves_the_peak_and_a_charge_does_not(desk, speak):
    desk.put(speak.movement("-1", WITHDRAWAL, "BTC", rate="110", movement_id="1"))
    assert (desk.core.status()["peak_equity"], desk.core.status()["drawdown"]) == ("920", "0")
    desk.put(speak.movement("-1", FEE, "BTC", rate="110", movement_id="2"))
    assert (desk.core.status()["peak_equity"], desk.core.status()["drawdown"]) == ("920", "110")


def test_what_goes_whole_ends_the_trip_by_a_movement(desk, speak):
    desk.put(speak.movement("-3", WITHDRAWAL, "BTC", rate="110"))
    [trip] = desk.of(TripEnded)
    assert (trip.trigger, trip.net, trip.exit_order, trip.exit_price) == (TripTrigger.MOVEMENT, 30, None, None)
    assert (trip.entry_order, trip.equity_after) == ("tg" + "0" * 30, 700)


def test_what_was_held_at_opening_and_never_seen_a_mark_is_taken_in_at_the_rate_at_which_it_moves(speak):
    desk = Desk(speak, share="5000", USDT="1000", BTC="3")
    desk.put(speak.movement("-1", WITHDRAWAL, "BTC", rate="110"))
    desk.quote("110").put(speak.clock(1), speak.clock(2, ts_us=speak.start_us + DAY_US))
    [day] = desk.of(DayClosed)
    assert (day.net, day.transfers, day.equity_last) == (0, 220, 1_220)


def test_what_was_held_at_opening_goes_at_no_cost_as_long_as_nobody_knows_what_it_is_worth(speak):
    desk = Desk(speak, share="5000", USDT="1000", BTC="3")
    desk.put(speak.movement("-1", WITHDRAWAL, "BTC", movement_id="1"))
    desk.quote("110").put(speak.clock(1))
    desk.put(speak.movement("-2", WITHDRAWAL, "BTC", rate="110", movement_id="2"))
    desk.put(speak.clock(2, ts_us=speak.start_us + DAY_US))
    [day] = desk.of(DayClosed)
    assert (day.net, day.transfers, day.equity_last) == (0, 0, 1_000)
    assert desk.of(TripEnded) == []


@pytest.mark.parametrize(("currency", "raised"), [("BTC", [AlarmReason.MOVEMENT_RATE]), ("EUR", [])])
def test_what_would_be_a_position_and_has_no_rate_is_an_alarm(desk, speak, currency, raised):
    desk.put(speak.movement("1", DEPOSIT, currency))
    assert [row.reason for row in desk.of(Alarm)] == raised
    assert desk.core.status()["cash"][currency] == "1"


def test_position_and_venue_agree_after_everything_that_can_move(desk, speak):
    """The books' assets are the venue's balances, and the position is all of it that does not lie beside."""
    amounts = [("-1", "110"), ("0.5", "90"), ("0.25", None), ("-2", "100"), ("-1", None), ("2", "100")]
    for number, (amount, rate) in enumerate(amounts):
        kind = (WITHDRAWAL, DEPOSIT, REBATE, FEE, UNEXPLAINED, DEPOSIT)[number]
        desk.put(speak.movement(amount, kind, "BTC", rate=rate, movement_id=str(number)))
        held = 3 + sum(Decimal(each) for each, _ in amounts[: number + 1])
        assert desk.core.balances[("asset:BTC", "BTC")] == held
        cost = sum(Decimal(each["cost"]) for each in desk.core.status()["positions"])
        assert desk.core.balances.get(("trading:BTC-USDT", "USDT"), 0) == cost


def test_a_movement_of_a_position_is_taken_back_and_booked_under_its_own_name(desk, speak):
    desk.put(speak.movement("-1", UNEXPLAINED, "BTC", rate="110"))
    entry, before = desk.entries[-1], desk.core.status()
    booked = tuple(Line(account=e.account, currency=e.currency, amount=e.amount) for e in entry.postings)
    about = {"movement_id": "1", "symbol": "BTC-USDT", "actor": "ann", "reason": "the custodian has written"}
    word = {**desk.envelope("ledger"), "cause": None, "entry": entry.number, "lines": booked, **about}
    desk.put(Correction(**word, booked_as=WITHDRAWAL))
    taken, again = desk.entries[-2:]
    assert (taken.kind, again.kind) == (EntryKind.CORRECTION, EntryKind.MOVEMENT)
    assert lines(taken) == {key: -amount for key, amount in lines(entry).items()}
    assert lines(again)[("equity:transfers", "USDT")] == lines(entry)[("suspense:drift", "USDT")] == 110
    assert desk.core.status()["positions"] == before["positions"]
    assert desk.core.status()["equity"] == before["equity"]
    desk.put(speak.clock(2, ts_us=speak.start_us + DAY_US))
    [day] = desk.of(DayClosed)
    assert (day.net, day.transfers) == (30, -110)


async def test_the_database_takes_what_moves_of_a_position_and_gives_it_back(database, ledger, put, speak):
    tape = MemoryTape()
    bought = speak.fill("BUY", "3", "100", trade_id="1", cause=2)
    put(
        tape,
        speak.config(),
        speak.policy(),
        speak.account(USDT="1000"),
        bought,
        speak.movement("-1", currency="BTC", rate="110"),
    )
    first = await ledger(tape).start()
    await first.settle()
    await first.crash()
    put(tape, speak.movement("-2", WITHDRAWAL, "BTC", movement_id="2", rate="120"))
    second = await ledger(tape).start()
    await second.settle()
    connection = await database.connect("tollgate_ledger")
    rows = await connection.fetch("SELECT account, currency, amount FROM ledger.balances WHERE amount <> 0")
    rates = await connection.fetch("SELECT fee_rate, fee_rate_source FROM ledger.entries WHERE kind = 'movement'")
    [trip] = await connection.fetch("SELECT trigger, net FROM ledger.trips")
    await connection.close()
    assert {(row["account"], row["currency"]): row["amount"] for row in rows} == second.core.balances
    assert [tuple(row) for row in rates] == [(110, "quote:1"), (120, "quote:1")]
    assert tuple(trip) == ("movement", 50)


def test_a_snapshot_between_two_movements_changes_nothing(speak):
    core, tape = (
        LedgerCore(),
        [speak.config(), speak.policy(), speak.account(USDT="1000", BTC="3"), speak.quote("109", "111")],
    )
    tape += [speak.movement(each, currency="BTC", rate="110", movement_id=each) for each in ("-1", "2", "-4")]
    again = LedgerCore()
    for sequence, message in enumerate(tape, 1):
        step = core.step(sequence, message)
        assert step == again.step(sequence, message)
        kept = json.loads(json.dumps(again.snapshot(), sort_keys=True))
        again = LedgerCore()
        again.restore(kept)
        assert all(isinstance(each, JournalEntry) for each in step.effects[:1])
        assert all(isinstance(each, Books) for each in step.outputs)
