"""The trade log: each trade with what it slipped and why, each trip with what it brought, and the treasury's part."""

import json
from decimal import Decimal

import pytest
from trade_log_desk import DAY_US, ENTRY, EXIT, STOP, Desk

from tollgate_contracts.execution import OrderState, Refusal
from tollgate_contracts.ledger import Correction, Line
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import MovementType
from tollgate_contracts.strategy import Purpose
from tollgate_ledger.core import EntryKind, LedgerCore
from tollgate_ledger.core.motives import ENDED_MAX, KNOWN_MAX
from tollgate_ledger.core.rows import DayClosed, EquityPoint, TradeCost, TripEnded, TripTrigger


@pytest.fixture
def desk(speak):
    return Desk(speak)


def test_a_trade_is_measured_against_the_mid_at_which_it_was_decided(desk):
    """The quote that the ledger knew when it read the intent, and none that came after it."""
    desk.quote("100").ask(ENTRY, "BUY").quote("150")
    desk.fill(ENTRY, "BUY", "2", "101", "0.2")
    (cost,) = desk.of(TradeCost)
    assert (cost.reference_price, cost.reference_source, cost.slippage) == (100, "quote:4", 2)
    assert (cost.tape_sequence, cost.side, cost.quantity, cost.price) == (7, "BUY", 2, 101)
    assert (cost.fee, cost.fee_value, cost.maker, cost.trip) == (Decimal("0.2"), Decimal("0.2"), False, 1)
    assert (cost.trade_id, cost.fee_currency) == (desk.entries[1].trade_id, "USDT")
    assert (cost.purpose, cost.signal, cost.regime, cost.tier) == ("ENTRY", "ema", "trend", "full")
    assert (cost.strength, cost.confidence, cost.strategy) == (12, Decimal("0.5"), "momentum")
    assert (cost.cycle_id, cost.config_hash) == (7, "a" * 64)


def test_a_trade_of_an_order_that_nobody_asked_for_has_no_reference_and_has_not_slipped(desk):
    desk.quote("100")
    desk.fill(ENTRY, "BUY", "2", "101")
    (cost,) = desk.of(TradeCost)
    assert (cost.reference_price, cost.reference_source, cost.slippage) == (None, None, 0)
    assert (cost.purpose, cost.signal, cost.strategy, cost.cycle_id) == (None, None, None, 0)


def test_a_trip_bears_what_it_brought_and_the_reasons_of_the_order_that_opened_it(desk):
    desk.quote("100").ask(ENTRY, "BUY", trigger="90")
    desk.fill(ENTRY, "BUY", "2", "101", "0.2")
    desk.quote("110").ask(EXIT, "SELL", Purpose.EXIT, signal="other")
    desk.fill(EXIT, "SELL", "2", "108", "0.3")
    (trip,) = desk.of(TripEnded)
    assert (trip.number, trip.symbol, trip.venue, trip.side) == (1, "BTC-USDT", "simulated", "BUY")
    assert (trip.entry_price, trip.exit_price, trip.quantity, trip.fills) == (101, 108, 2, 2)
    assert (trip.gross, trip.slippage, trip.edge) == (14, 2 + 4, 20)
    assert (trip.fees, trip.funding, trip.net) == (Decimal("0.5"), 0, Decimal("13.5"))
    assert (trip.risked, trip.trigger) == (22, TripTrigger.SIGNAL)
    assert (trip.signal, trip.regime, trip.tier, trip.strategy, trip.cycle_id) == (
        "ema",
        "trend",
        "full",
        "momentum",
        7,
    )
    assert (trip.equity_before, trip.equity_after) == (1000, Decimal("1013.5"))
    assert (trip.entry_order, trip.exit_order, trip.found_open) == (ENTRY, EXIT, False)
    assert (trip.opened_sequence, trip.closed_sequence) == (6, 9)


@pytest.mark.parametrize(
    ("purpose", "expected"),
    [
        pytest.param(Purpose.EXIT, TripTrigger.SIGNAL, id="an exit"),
        pytest.param(Purpose.STOP, TripTrigger.STOP, id="the strategy's own stop"),
        pytest.param(None, TripTrigger.UNKNOWN, id="an order without a word"),
    ],
)
def test_a_trip_says_how_it_has_ended(desk, purpose, expected):
    desk.fill(ENTRY, "BUY", "1", "100")
    if purpose is not None:
        desk.ask(EXIT, "SELL", purpose)
    desk.fill(EXIT, "SELL", "1", "100")
    assert [trip.trigger for trip in desk.of(TripEnded)] == [expected]


def test_a_protective_stop_is_measured_against_its_trigger_and_has_the_reasons_of_what_it_protects(desk):
    desk.quote("100").ask(ENTRY, "BUY", trigger="90")
    desk.fill(ENTRY, "BUY", "1", "100")
    desk.state(STOP, OrderState.ACKNOWLEDGED, protects=ENTRY, trigger_price=Decimal(90))
    desk.quote("80")
    desk.fill(STOP, "SELL", "1", "88")
    cost, (trip,) = desk.of(TradeCost)[-1], desk.of(TripEnded)
    assert (cost.reference_price, cost.reference_source, cost.slippage) == (90, "trigger:7", 2)
    assert (cost.purpose, cost.signal, cost.strategy) == ("PROTECTION", "ema", "momentum")
    assert (trip.trigger, trip.risked, trip.net) == (TripTrigger.PROTECTION, 10, -12)


def test_what_risk_closes_of_its_own_accord_is_measured_against_the_mid_at_its_decision(desk):
    desk.fill(ENTRY, "BUY", "1", "100")
    desk.quote("95").decide(EXIT)
    desk.fill(EXIT, "SELL", "1", "94")
    cost, (trip,) = desk.of(TradeCost)[-1], desk.of(TripEnded)
    assert (cost.purpose, cost.reference_price, cost.slippage, cost.signal) == ("FLATTEN", 95, 1, None)
    assert trip.trigger is TripTrigger.FLATTEN


def test_a_refused_intent_is_forgotten_and_the_one_that_was_approved_stands(desk):
    """An id that is asked for again is refused as a repetition, and says nothing about the order that has it."""
    desk.quote("100").ask(ENTRY, "BUY")
    asked = f"strategy:{desk.number}:0"
    desk.quote("200").ask(ENTRY, "BUY", signal="again").decide(ENTRY, rejected_intent=f"strategy:{desk.number}:0")
    desk.fill(ENTRY, "BUY", "1", "100")
    assert desk.of(TradeCost)[-1].signal == "ema"
    desk.decide(ENTRY, rejected_intent=asked)
    desk.fill(ENTRY, "BUY", "1", "100")
    assert desk.of(TradeCost)[-1].signal is None


def test_a_late_trade_still_has_its_reasons_and_what_is_remembered_is_bounded(desk):
    for number in range(KNOWN_MAX + 10):
        desk.ask(f"tg{number:030x}", "BUY")
    known = desk.core.snapshot()["trade_log"]["motives"]["known"]
    assert len(known) == KNOWN_MAX
    for order in known:
        desk.state(order, OrderState.CANCELLED)
    known = desk.core.snapshot()["trade_log"]["motives"]["known"]
    assert len(known) == ENDED_MAX
    desk.fill(max(known), "BUY", "1", "100")
    assert desk.of(TradeCost)[-1].signal == "ema"


def test_the_bust_of_a_fill_in_an_open_trip_turns_its_row(desk):
    desk.quote("100").ask(ENTRY, "BUY")
    fill = desk.fill(ENTRY, "BUY", "1", "101", "0.2")
    desk.fill(ENTRY, "BUY", "1", "101", "0.2")
    desk.put(desk.speak.bust(fill))
    booked, _, turned = desk.of(TradeCost)
    assert (turned.quantity, turned.slippage, turned.fee, turned.fee_value, turned.trip) == (
        -booked.quantity,
        -booked.slippage,
        -booked.fee,
        -booked.fee_value,
        booked.trip,
    )
    assert (turned.side, turned.price, turned.signal) == (booked.side, booked.price, booked.signal)
    assert turned.tape_sequence > booked.tape_sequence
    assert desk.of(TripEnded) == []


def test_the_bust_of_a_fill_in_an_ended_trip_is_a_row_of_the_difference(desk):
    """It has the reasons of the trip that it corrects; what is held again begins a trip of its own with them."""
    desk.quote("100").ask(ENTRY, "BUY")
    desk.fill(ENTRY, "BUY", "1", "100")
    desk.ask(EXIT, "SELL", Purpose.EXIT, signal="other")
    sold = desk.fill(EXIT, "SELL", "1", "110", "1")
    desk.put(desk.speak.bust(sold))
    told, difference = desk.of(TripEnded)
    assert (told.net, difference.net, difference.trigger) == (9, -9, TripTrigger.BUST)
    assert (difference.number, difference.signal, difference.entry_order) == (2, "ema", ENTRY)
    assert desk.of(TradeCost)[-1].trip == 2
    desk.fill(EXIT, "SELL", "1", "120")
    last = desk.of(TripEnded)[-1]
    assert (last.number, last.net, last.signal) == (3, 20, "ema")


def test_funding_belongs_to_its_trip_and_to_the_day(desk):
    desk.fill(ENTRY, "BUY", "1", "100")
    funding = desk.speak.movement("-0.5", MovementType.FUNDING).model_copy(update={"symbol": "BTC-USDT"})
    desk.put(funding)
    desk.fill(EXIT, "SELL", "1", "100")
    desk.quote("100", ts_us=desk.speak.start_us + DAY_US)
    (trip,), (day,) = desk.of(TripEnded), desk.of(DayClosed)
    assert (trip.funding, trip.net) == (Decimal("-0.5"), Decimal("-0.5"))
    assert (day.funding, day.net) == (Decimal("-0.5"), Decimal("-0.5"))
    assert desk.of(EquityPoint)[-1].funding == Decimal("-0.5")


def test_what_was_held_at_opening_counts_from_the_mark_at_which_risk_takes_it_in(speak):
    """Not the quote itself moves it but the clock after it, and its worth then is no result of anybody's."""
    desk = Desk(speak, share="0", USDT="1000", BTC="2")
    desk.quote("100").quote("90").put(speak.clock(1))
    desk.quote("95")
    desk.fill(EXIT, "SELL", "2", "97")
    (trip,) = desk.of(TripEnded)
    assert (trip.found_open, trip.entry_price, trip.net, trip.signal) == (True, 90, 14, None)
    desk.quote("95", ts_us=speak.start_us + DAY_US)
    (day,) = desk.of(DayClosed)
    assert (day.equity_first, day.transfers, day.net, day.equity_last) == (1000, 180, 14, 1194)


def test_the_treasurys_part_is_booked_with_what_realizes_it(speak):
    """Losses are made good first; the entry follows the fill's, and its lines are equity's alone."""
    desk = Desk(speak, share="2000")
    for price in ("90", "110", "125"):
        desk.fill(ENTRY, "BUY", "1", "100")
        desk.fill(EXIT, "SELL", "1", price)
    splits = [entry for entry in desk.entries if entry.kind is EntryKind.SPLIT]
    assert [[(line.account, line.currency, line.amount) for line in entry.postings] for entry in splits] == [
        [("equity:trading", "USDT", 5), ("equity:treasury", "USDT", -5)]
    ]
    (split,) = splits
    before = desk.entries[desk.entries.index(split) - 1]
    assert (before.kind, before.tape_sequence, before.number) == (EntryKind.FILL, split.tape_sequence, split.number - 1)
    names = ("symbol", "trade_id", "client_order_id", "config_hash")
    assert [getattr(split, name) for name in names] == [getattr(before, name) for name in names]
    assert desk.of(EquityPoint)[-1].treasury == 5


def test_what_is_paid_in_without_an_order_is_split_as_well_unless_it_is_a_transfer(speak):
    desk = Desk(speak, share="5000")
    desk.put(speak.movement("10", MovementType.DEPOSIT, movement_id="1"))
    assert [entry.kind.value for entry in desk.entries] == ["opening", "movement"]
    desk.put(speak.movement("10", MovementType.REBATE, movement_id="2"))
    assert desk.core.balances["equity:treasury", "USDT"] == -5


def test_a_policy_that_does_not_name_the_share_leaves_the_one_before(speak):
    desk = Desk(speak, share="5000")
    desk.put(speak.policy(text="{}"))
    desk.put(speak.movement("10", MovementType.REBATE))
    assert desk.core.balances["equity:treasury", "USDT"] == -5


def test_a_day_is_closed_by_the_first_message_after_it(desk):
    """Marks count; what came in does not, and charges apart from any trade are fees."""
    desk.quote("100").ask(ENTRY, "BUY")
    desk.fill(ENTRY, "BUY", "1", "101", "0.5")
    desk.put(desk.speak.movement("-2", MovementType.FEE, movement_id="1"))
    desk.put(desk.speak.movement("50", MovementType.DEPOSIT, movement_id="2"))
    desk.put(desk.speak.movement("-0.25", MovementType.DUST, movement_id="3"))
    desk.quote("110")
    last, ends_us = desk.core.sequence, (desk.speak.start_us // DAY_US + 1) * DAY_US
    desk.quote("105", ts_us=ends_us)
    (day,) = desk.of(DayClosed)
    assert day.day == desk.speak.start_us // DAY_US
    assert (day.edge, day.slippage, day.fees, day.funding, day.other) == (10, 1, Decimal("2.5"), 0, Decimal("-0.25"))
    assert (day.net, day.transfers) == (Decimal("6.25"), 50)
    assert (day.equity_first, day.equity_last) == (1000, Decimal("1056.25"))
    point = desk.of(EquityPoint)[-1]
    assert (point.ts_us, point.tape_sequence, point.equity) == (ends_us - 1, last, Decimal("1056.25"))
    # The first point is of the opening, so the last tells of the day's movements as the day does.
    assert (point.transfers, point.other) == (day.transfers, day.other)
    assert point.fees + point.charges == day.fees
    desk.quote("105", ts_us=ends_us + 3 * DAY_US)
    second = desk.of(DayClosed)[-1]
    assert (second.day, second.net, second.equity_first) == (day.day + 1, -5, day.equity_last)


def test_the_end_of_a_day_is_no_second_point_where_the_books_have_just_been_said(desk):
    desk.fill(ENTRY, "BUY", "1", "100")
    desk.quote("100", ts_us=desk.speak.start_us + DAY_US)
    sequences = [point.tape_sequence for point in desk.of(EquityPoint)]
    assert sequences == sorted(set(sequences))
    assert len(desk.of(DayClosed)) == 1


def test_an_equity_point_adds_up(desk):
    desk.quote("100").fill(ENTRY, "BUY", "2", "101", "0.5")
    point = desk.of(EquityPoint)[-1]
    assert (point.equity, point.cash, point.cost, point.unrealized) == (Decimal("997.5"), Decimal("797.5"), 202, -2)
    assert (point.realized, point.fees, point.exposure) == (0, Decimal("0.5"), 200)
    assert (point.peak, point.drawdown) == (1000, Decimal("2.5"))


def test_what_is_not_taken_in_yet_is_no_result_whatever_its_mark_does(speak):
    """Nobody looks at a quote: its worth came in with the opening, day after day."""
    desk = Desk(speak, USDT="1000", BTC="2")
    for number, mid in enumerate(("100", "110", "90"), start=1):
        desk.quote(mid, ts_us=speak.start_us + number * DAY_US)
    days = desk.of(DayClosed)
    assert [(day.net, day.transfers, day.equity_last) for day in days] == [(0, 0, 1000), (0, 200, 1200), (0, 20, 1220)]


def test_a_ledger_that_starts_again_forgets_the_same_orders_as_one_that_did_not(desk):
    """Those which ended first, whatever the order in which a database gives them back."""
    orders = [f"tg{number * 7919 % 10_007:030x}" for number in range(ENDED_MAX + 1)]
    for order in orders:
        desk.ask(order, "BUY")
    for order in orders[:-1]:
        desk.state(order, OrderState.CANCELLED)
    again = LedgerCore()
    again.restore(json.loads(json.dumps(desk.core.snapshot(), sort_keys=True)))
    desk.core = again
    desk.state(orders[-1], OrderState.CANCELLED)
    assert sorted(again.snapshot()["trade_log"]["motives"]["known"]) == sorted(orders[1:])


@pytest.mark.parametrize(
    ("amount", "booked_as", "days", "last"),
    [
        pytest.param(
            "-10", MovementType.WITHDRAWAL, [(-10, -10, 0), (10, 10, -10)], (0, -10), id="what was missing is found"
        ),
        pytest.param("10", MovementType.DEPOSIT, [(0, 0, 10), (0, 0, 0)], (0, 10), id="what was there too much"),
        pytest.param("-10", MovementType.DUST, [(-10, -10, 0), (0, 0, 0)], (-10, 0), id="it is lost all the same"),
        pytest.param("10", MovementType.DUST, [(0, 0, 10), (10, 10, -10)], (10, 0), id="it is ours after all"),
    ],
)
def test_what_is_explained_later_has_its_name_from_that_day_on(desk, amount, booked_as, days, last):
    """Missing, it was a loss as long as nobody knew what it was; too much of it was never a profit."""
    desk.put(desk.speak.movement(amount, MovementType.UNEXPLAINED))
    desk.put(desk.speak.clock(1, ts_us=desk.speak.start_us + DAY_US))
    lines = tuple(
        Line(account=line.account, currency=line.currency, amount=line.amount) for line in desk.entries[-1].postings
    )
    desk.put(
        Correction(
            **{**desk.envelope("ledger"), "cause": None},
            entry=desk.entries[-1].number,
            lines=lines,
            movement_id="1",
            symbol=None,
            booked_as=booked_as,
            actor="anna",
            reason="the bank has written",
        )
    )
    desk.put(desk.speak.clock(2, ts_us=desk.speak.start_us + 2 * DAY_US))
    assert [(day.other, day.net, day.transfers) for day in desk.of(DayClosed)] == days
    point = desk.of(EquityPoint)[-1]
    assert (point.other, point.transfers) == last


def test_what_nobody_can_explain_gives_the_treasury_nothing_and_makes_no_peak(speak):
    """Two hundred come and go again: nobody has won or lost, and only what is missing beyond them is a loss."""
    desk = Desk(speak, share="5000", USDT="1000")
    worth = []
    for number, amount in enumerate(("200", "-200", "-50", "50"), start=1):
        moved = speak.movement(amount, MovementType.UNEXPLAINED, movement_id=str(number))
        desk.put(moved)
        point = desk.of(EquityPoint)[-1]
        worth.append((point.equity, point.peak, point.drawdown, point.treasury, point.other, point.transfers))
    assert worth == [
        (1200, 1200, 0, 0, 0, 200),
        (1000, 1000, 0, 0, 0, 0),
        (950, 1000, 50, 0, -50, 0),
        (1000, 1000, 0, 0, 0, 0),
    ]
    desk.put(speak.movement("100", MovementType.REBATE, movement_id="9"))
    assert desk.core.balances["equity:treasury", "USDT"] == -50, "the loss of fifty was made good, and counts no more"


def test_what_execution_refuses_is_forgotten_before_what_is_open(desk):
    """A refused cancel ends nothing: the order's next state says that it is still open."""
    desk.ask(ENTRY, "BUY").ask(EXIT, "SELL")
    for order in (ENTRY, EXIT):
        fields = {
            "decision_id": "risk:1:0",
            "client_order_id": order,
            "codes": (Reason.APPROVAL_EXPIRED,),
            "detail": "",
        }
        desk.put(Refusal(**desk.envelope("execution"), **fields))
    desk.state(EXIT, OrderState.ACKNOWLEDGED)
    for number in range(ENDED_MAX):
        desk.ask(f"tg{number:030x}", "BUY").state(f"tg{number:030x}", OrderState.CANCELLED)
    known = desk.core.snapshot()["trade_log"]["motives"]["known"]
    assert (ENTRY in known, EXIT in known, len(known)) == (False, True, ENDED_MAX + 1)
