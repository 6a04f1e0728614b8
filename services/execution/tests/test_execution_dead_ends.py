"""Nothing is left for ever: each state that only the venue could end has another way out, and none opens a risk."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from execution_samples import (
    KEY_ID,
    SECOND_US,
    START_US,
    STRANGER,
    SYMBOLS,
    Desk,
    config_message,
    order_id,
    signed_approval,
    trade,
)
from protection_samples import FIRST, PROTECTED, Protected

from tollgate_contracts.execution import OrderState, ReportSource, ReportStatus
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Adoption, Difference, MovementType, Repair, Sync, SyncCause
from tollgate_contracts.safety import Dependency, SafeMode
from tollgate_execution.core import Cancel, Submit
from tollgate_execution.core.trades import QUOTE_LIMIT
from tollgate_execution.reports import Reporter, known_by
from tollgate_venues.adapter import VenueUnavailable
from tollgate_venues.evidence import AccountEvidence, Evidence, MovementEvidence

R, FROM = ReportStatus, ReportSource
MINUTE_US = 60 * SECOND_US


def working(**changes: object) -> Desk:
    desk = Desk()
    desk.approve(**{"time_in_force": "GTC", **changes})
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0")
    return desk


def escalate(desk: Desk) -> None:
    """Let the venue be asked as often as it is."""
    for _ in range(60):
        desk.wait(10 * SECOND_US)
    assert Difference.UNKNOWN_OUTCOME in {note.difference for note in desk.notes()}


def safe_mode(desk: Desk, *, engaged: bool = True) -> None:
    degraded = (Dependency.MARKET_DATA,) if engaged else ()
    desk.step(
        SafeMode(id=f"execution:safe:{desk.sequence}", engaged=engaged, degraded=degraded, detail="", **desk.envelope())
    )


def round_read(desk: Desk) -> None:
    desk.step(
        Sync(
            id=f"execution:simulated:sync-{desk.sequence}",
            sync_cause=SyncCause.SCHEDULE,
            began_us=desk.now_us,
            open_order_ids=(),
            fill_cursor="9",
            movement_cursor="",
            orders_read=0,
            fills_read=0,
            differences=0,
            open_differences=0,
            took_us=1,
            **desk.envelope(),
        )
    )


def cancels(desk: Desk, number: int = 1) -> list[Reason | None]:
    return [each.why for each in desk.asked if isinstance(each, Cancel) and each.client_order_id == order_id(number)]


def submitted(desk: Desk) -> list[str]:
    return [each.placing.venue_id for each in desk.asked if isinstance(each, Submit)]


def test_an_operator_ends_an_order_whose_trades_the_venue_counts_and_never_lists() -> None:
    desk = working()
    desk.hear(R.FILLED, FROM.QUERY, filled="2", trades=(trade(1, "1.5"),))
    desk.hear(R.CANCELLED, FROM.OPERATOR)
    assert desk.state() == "PARTIALLY_FILLED", "the venue is still being asked"
    escalate(desk)
    desk.hear(R.CANCELLED, FROM.OPERATOR)
    assert desk.state() == "CANCELLED"
    assert not desk.core.has_open_orders()
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(2, "0.5"),))
    assert [fill.trade.trade_id for fill in desk.fills()] == ["t1", "t2"]


@pytest.mark.parametrize("start", ["late", "counted"])
def test_an_operator_settles_an_order_that_is_over_and_of_which_the_venue_says_no_more(start: str) -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.REJECTED, FROM.SUBMIT)
    if start == "late":
        desk.hear(R.OPEN, FROM.STREAM, filled="0")
    else:
        desk.hear(R.FILLED, FROM.STREAM, filled="2")
    desk.hear(R.CANCELLED, FROM.OPERATOR)
    assert desk.core.has_open_orders(), "the venue is still being asked"
    escalate(desk)
    desk.hear(R.ABSENT, FROM.QUERY)
    assert desk.core.has_open_orders()
    desk.hear(R.CANCELLED, FROM.OPERATOR)
    assert (desk.state(), desk.core.has_open_orders()) == ("REJECTED", False)


def test_an_order_that_the_venue_loses_twice_is_unknown_twice_and_said_to_be_once() -> None:
    desk = working()
    for _ in range(2):
        desk.wait(MINUTE_US)
        desk.hear(R.ABSENT, FROM.QUERY)
        assert desk.state() == "UNKNOWN"
        desk.hear(R.OPEN, FROM.QUERY, filled="0")
        assert desk.state() == "ACKNOWLEDGED"
    assert [note.difference for note in desk.notes()].count(Difference.MISSING_ORDER) == 1


def test_an_entry_that_the_venue_would_not_cancel_is_asked_to_be_as_long_as_safe_mode_lasts() -> None:
    desk = working()
    safe_mode(desk)
    desk.hear(R.REJECTED, FROM.CANCEL)
    desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert (desk.state(), cancels(desk)) == ("ACKNOWLEDGED", [Reason.GATE_SAFE_MODE])
    desk.wait(MINUTE_US)
    assert (desk.state(), cancels(desk)) == ("CANCELLING", [Reason.GATE_SAFE_MODE] * 2)


def test_an_entry_is_left_alone_once_safe_mode_is_over_and_an_exit_at_any_time() -> None:
    desk = working()
    safe_mode(desk)
    desk.hear(R.REJECTED, FROM.CANCEL)
    desk.hear(R.OPEN, FROM.QUERY, filled="0")
    safe_mode(desk, engaged=False)
    desk.wait(MINUTE_US)
    assert (desk.state(), len(cancels(desk))) == ("ACKNOWLEDGED", 1)
    desk = working(reduce_only=True)
    safe_mode(desk)
    desk.wait(MINUTE_US)
    assert (desk.state(), cancels(desk)) == ("ACKNOWLEDGED", [])


def test_an_entry_that_is_taken_back_in_safe_mode_is_cancelled_and_not_left_to_rest() -> None:
    desk = Desk()
    safe_mode(desk)
    desk.step(adoption(desk))
    assert desk.state() == "UNKNOWN"
    desk.wait(SECOND_US)
    assert cancels(desk) == [Reason.GATE_SAFE_MODE]
    desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert desk.state() == "CANCELLING"


def adoption(desk: Desk, **changes: object) -> Adoption:
    return Adoption(
        id=f"execution:simulated:adoption-{desk.sequence}",
        client_order_id=order_id(1),
        attempt=1,
        protects=None,
        ended_as=None,
        decision_id="risk:7:0",
        approval=signed_approval(1, **changes),
        **desk.envelope(),
    )


def test_of_entries_that_wait_for_each_other_safe_mode_sends_none() -> None:
    desk = working()
    desk.approve(2, replaces=order_id(1))
    desk.approve(3, replaces=order_id(2))
    safe_mode(desk)
    assert [desk.state(number) for number in (1, 2, 3)] == ["CANCELLING", "CANCELLED", "CANCELLED"]
    assert submitted(desk) == [order_id(1)]
    assert [order.to_state.value for order in desk.orders() if order.client_order_id == order_id(3)] == ["CANCELLED"]


def test_while_nobody_reconciles_no_finished_order_is_forgotten_so_that_none_is_booked_twice() -> None:
    """Its end may not be in the journal: the process died before it wrote it, and time went on without it."""
    desk = Desk()
    round_read(desk)
    desk.approve()
    desk.hear(R.FILLED, FROM.SUBMIT, filled="2", trades=(trade(1, "2"),))
    for _ in range(30):
        desk.wait(MINUTE_US)
    desk.step(adoption(desk))
    desk.hear(R.FILLED, FROM.QUERY, filled="2", trades=(trade(1, "2"),))
    assert (len(desk.fills()), desk.core.status()["positions"]) == (1, {"BTC-USDT": "2"})
    round_read(desk)
    desk.wait(SECOND_US)
    assert desk.core.orders.get(order_id(1)) is None


def test_an_order_whose_time_is_over_before_it_is_sent_is_not_sent() -> None:
    desk = working()
    desk.approve(2, replaces=order_id(1), good_until_us=desk.now_us + SECOND_US)
    desk.wait(SECOND_US)
    desk.hear(R.CANCELLED, FROM.CANCEL, filled="0")
    assert (desk.state(2), desk.orders()[-1].reason) == ("EXPIRED", Reason.ORDER_GOOD_UNTIL)
    assert submitted(desk) == [order_id(1)]


@pytest.mark.parametrize(("late_us", "state"), [(-1, "SUBMITTING"), (0, "REJECTED")])
def test_an_order_whose_time_is_over_is_not_placed_at_another_price(late_us: int, state: str) -> None:
    desk = Desk()
    desk.quote("98", "99")
    desk.approve(time_in_force="GTC", post_only=True, good_until_us=START_US + SECOND_US)
    desk.now_us += SECOND_US + late_us
    desk.step(desk.report(R.REJECTED, FROM.SUBMIT, reason=Reason.PRICE_CROSSED_POST_ONLY))
    assert desk.state() == state


def test_an_order_that_was_sent_twice_is_not_placed_at_another_price() -> None:
    """The send before the one that was refused may still arrive."""
    desk = Desk()
    desk.quote("98", "99")
    desk.approve(time_in_force="GTC", post_only=True, expires_us=START_US + MINUTE_US)
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.wait(4 * SECOND_US)
    desk.hear(R.ABSENT, FROM.QUERY)
    desk.quote("98", "99")
    assert submitted(desk) == [order_id(1)] * 2
    desk.hear(R.REJECTED, FROM.SUBMIT, reason=Reason.PRICE_CROSSED_POST_ONLY)
    assert (desk.state(), len(submitted(desk))) == ("REJECTED", 2)


def test_a_fill_that_the_strategy_had_not_read_is_taken_off_though_its_report_was_on_the_tape_already() -> None:
    """Between a report and the fill that follows from it another message may stand, and a strategy may act on that."""
    desk = working()
    report = desk.report(R.OPEN, filled="1", trades=(trade(1, "1"),))
    step = desk.core.step(desk.sequence + 1, report)
    # The strategy reads a quote that stands before the fill.
    quoted = desk.sequence + 2
    for number, output in enumerate(step.outputs):
        desk.core.step(quoted + 1 + number, output)
    desk.sequence = quoted + len(step.outputs)
    desk.approve(2, replaces=order_id(1), intent_id=f"strategy:{quoted}:0")
    desk.step(desk.report(R.CANCELLED, FROM.CANCEL, filled="1"))
    placed = [each.placing for each in desk.asked if isinstance(each, Submit)][-1]
    assert (placed.venue_id, placed.quantity) == (order_id(2), Decimal(1))


def test_a_fill_that_has_made_the_strategy_write_is_known_to_it_and_not_taken_off() -> None:
    desk = working()
    desk.hear(R.OPEN, filled="1", trades=(trade(1, "1"),))
    (filled,) = (at for at, message in enumerate(desk.tape, 1) if message.kind == "fill")
    desk.approve(2, replaces=order_id(1), intent_id=f"strategy:{filled}:0")
    desk.hear(R.CANCELLED, FROM.CANCEL, filled="1")
    placed = [each.placing for each in desk.asked if isinstance(each, Submit)][-1]
    assert (placed.venue_id, placed.quantity) == (order_id(2), Decimal(2))


def test_absence_is_no_proof_by_a_venue_s_clock_that_is_ahead() -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.hear(R.ABSENT, FROM.QUERY, venue_ts_us=desk.now_us + 60 * MINUTE_US)
    assert desk.state() == "UNKNOWN"


def test_the_venue_s_count_of_an_attempt_comes_on_top_of_what_the_one_before_it_has_filled() -> None:
    desk = Desk()
    desk.quote("98", "99")
    desk.approve(time_in_force="GTC", post_only=True)
    desk.hear(R.REJECTED, FROM.SUBMIT, reason=Reason.PRICE_CROSSED_POST_ONLY)
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(1, "0.5", "98"),))
    desk.hear(R.CANCELLED, FROM.CANCEL, filled="1", trades=(trade(2, "0.5", "98"),), attempt=2)
    assert (desk.state(), desk.record().misses_trades) == ("CANCELLING", True)
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(3, "0.5", "98"),), attempt=2)
    assert (desk.state(), len(desk.fills())) == ("CANCELLED", 3)


def test_a_stop_that_could_not_be_placed_anew_is_not_taken_back_to_be_made_larger() -> None:
    for why in ("another epoch", "not open"):
        desk = Protected()
        desk.approve(1, time_in_force="GTC", **PROTECTED)
        desk.say(order_id(1), R.OPEN, "0")
        desk.fill(order_id(1), "1")
        desk.rest(FIRST)
        if why == "another epoch":
            desk.kill(1)
            desk.kill(2, engaged=False)
        else:
            desk.instrument(InstrumentStatus.CANCEL_ONLY)
        desk.fill(order_id(1), "1")
        assert (desk.cancels(), len(desk.live())) == ([], 1), why


def test_a_stop_is_never_placed_at_another_price_and_never_replaced() -> None:
    desk = Protected()
    desk.quote("99", "100")
    desk.enter(time_in_force="GTC", post_only=True)
    desk.say(FIRST, R.REJECTED, source=FROM.SUBMIT, reason=Reason.PRICE_CROSSED_POST_ONLY)
    assert (desk.said_of(FIRST), len(desk.stops())) == (["SUBMITTING", "REJECTED"], 1)
    desk = Protected()
    desk.enter()
    desk.rest(FIRST)
    desk.approve(2, side="SELL", replaces=FIRST, limit_price="90")
    assert "is a stop" in desk.refusals()[-1].detail
    assert desk.cancels() == []


def test_an_order_in_a_symbol_that_is_traded_no_more_is_cancelled_and_taken_back_but_not_placed() -> None:
    desk = working(symbol="ETH-USDT")
    desk.step(config_message(symbols=[symbol for symbol in SYMBOLS if symbol != "ETH-USDT"]))
    desk.approve(2, symbol="ETH-USDT")
    assert "not traded" in desk.refusals()[-1].detail
    desk.approve(1, action="CANCEL", symbol="ETH-USDT")
    assert desk.state() == "CANCELLING"
    desk = Desk()
    desk.step(adoption(desk, symbol="DOGE-USDT"))
    assert desk.state() == "UNKNOWN"


def test_a_trade_whose_value_rounds_up_to_more_than_a_message_holds_is_flagged_and_ends_nothing() -> None:
    price, quantity = "99009900990099009900.990099009900990099", "1.01"
    assert QUOTE_LIMIT < Decimal(price) * Decimal(quantity) < QUOTE_LIMIT + 1
    desk = working(quantity=quantity, limit_price="99999999999999999999")
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(1, quantity, price),))
    assert [note.difference for note in desk.notes()] == [Difference.PRICE_DRIFT]
    assert desk.fills() == []


def test_an_adoption_under_a_key_of_ours_with_another_s_signature_is_not_taken() -> None:
    desk = Desk()
    forged = signed_approval(1, STRANGER).model_copy(update={"key_id": KEY_ID})
    desk.step(adoption(desk).model_copy(update={"approval": forged}))
    assert (desk.core.orders.get(order_id(1)), desk.said) == (None, [])


def test_a_trade_taken_back_of_an_order_that_was_forgotten_is_flagged_for_it_may_be_booked() -> None:
    desk = Desk()
    desk.now_us += MINUTE_US
    desk.step(adoption(desk).model_copy(update={"ended_as": OrderState.FILLED}))
    desk.hear(R.TRADED, FROM.FILLS, busted=("t1",))
    (note,) = desk.notes()
    assert (note.subject, note.difference, note.repair) == ("t1", Difference.BUSTED_FILL, Repair.FLAGGED)
    desk.hear(R.TRADED, FROM.FILLS, busted=("t1",))
    assert (len(desk.notes()), desk.busts()) == (1, [])


@pytest.mark.parametrize(("named", "kept"), [("a\ud800", "a?"), ("a\0b", "a?b"), ("geçersiz", "geçersiz")])
def test_what_a_venue_says_in_characters_that_nothing_can_hold_is_said_without_them(named: str, kept: str) -> None:
    reporter = Reporter("main", "test", "simulated", "main", lambda: START_US, lambda: 0)
    evidence = Evidence(order_id(1), FROM.SUBMIT, R.REJECTED, detail=named)
    assert reporter.report(evidence).detail == kept
    assert reporter.report(replace(evidence, client_order_id=named)).client_order_id == known_by(kept, None)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"venue_ts_us": START_US * 1_000}, "venue_ts_us"),
        ({"venue_order_id": "4 711"}, "venue_order_id"),
        ({"cumulative_quantity": Decimal(-1)}, "cumulative_quantity"),
        ({"busted": ("",)}, "busted"),
    ],
)
def test_an_answer_that_no_message_can_hold_is_no_answer_and_ends_nothing(changes: dict[str, Any], field: str) -> None:
    reporter = Reporter("main", "test", "simulated", "main", lambda: START_US, lambda: 0)
    report = reporter.report(replace(Evidence(order_id(1), FROM.QUERY, R.OPEN), **changes), START_US)
    assert (report.status, report.client_order_id, report.ts_us) == (R.NO_ANSWER, order_id(1), START_US)
    assert f"unreadable: {field}" in report.detail


def test_a_movement_or_an_account_that_no_message_can_hold_is_as_if_the_venue_had_not_answered() -> None:
    reporter = Reporter("main", "test", "simulated", "main", lambda: START_US, lambda: 0)
    with pytest.raises(VenueUnavailable, match="movement: currency"):
        reporter.movement(MovementEvidence("m1", MovementType.DUST, "usdt", Decimal(1), None, START_US))
    with pytest.raises(VenueUnavailable, match="account: maker_fee_bps"):
        reporter.account_message(AccountEvidence((), Decimal("1e-30"), Decimal(1), START_US))


def test_a_trade_taken_back_of_an_order_that_is_not_held_is_flagged() -> None:
    desk = Desk()
    desk.hear(R.TRADED, FROM.FILLS, number=7, busted=("t1",))
    (note,) = desk.notes()
    assert (note.difference, note.repair) == (Difference.FOREIGN_FILL, Repair.FLAGGED)
    assert "t1 taken back" in note.differed
