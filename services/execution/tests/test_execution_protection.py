"""Stops at the venue for what an order has filled: placed, kept in size, taken back for exits, and never too many."""

import hashlib
import json
from decimal import Decimal

import pytest
from execution_samples import SECOND_US, Desk, config_message, order_id
from protection_samples import BTC, EXIT, FIRST, PROTECTED, SECOND, Protected, R

from tollgate_contracts.execution import OrderState, ReportSource
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Account, Difference
from tollgate_contracts.safety import Dependency, SafeMode
from tollgate_contracts.strategy import Side
from tollgate_execution.core import protecting
from tollgate_execution.core.protection import FAILURES_SAID, RETRY_US, STOPS_MAX, stop_id

S = OrderState


@pytest.fixture
def desk() -> Protected:
    return Protected()


def test_what_an_entry_fills_is_protected_on_the_terms_that_risk_has_signed(desk):
    desk.enter()
    (stop,) = desk.stops()
    placing = stop.placing
    assert (placing.venue_id, placing.side, placing.quantity) == (FIRST, Side.SELL, Decimal(2))
    assert (placing.trigger_price, placing.limit_price) == (Decimal(95), Decimal(94))
    assert (stop.signed, stop.approval.client_order_id, stop.resend) == (
        desk.core.orders.get(order_id(1)).signed,
        order_id(1),
        0,
    )
    said = [order for order in desk.orders() if order.client_order_id == FIRST]
    assert [(order.protects, order.reduce_only, order.trigger_price) for order in said] == [
        (order_id(1), True, Decimal(95))
    ]


def test_an_entry_without_protection_has_no_stop_and_neither_has_one_that_filled_nothing(desk):
    desk.enter(1, protection=None)
    desk.approve(2, **PROTECTED)
    desk.say(order_id(2), R.CANCELLED, "0")
    assert (desk.stops(), desk.core.protecting.covers) == ([], {})


def test_more_fills_replace_the_stop_by_a_larger_one_and_never_beside_it(desk):
    """The first is cancelled, and only once it is gone the second is placed for all that is held by then."""
    desk.approve(1, time_in_force="GTC", **PROTECTED)
    desk.say(order_id(1), R.OPEN, "0")
    desk.fill(order_id(1), "0.5")
    desk.rest(FIRST)
    desk.fill(order_id(1), "0.5")
    assert desk.cancels() == [(FIRST, Reason.ORDER_PROTECTION)]
    desk.fill(order_id(1), "1")
    assert len(desk.stops()) == 1
    desk.taken_back(FIRST)
    assert [(stop.placing.venue_id, stop.placing.quantity, stop.placing.attempt) for stop in desk.stops()] == [
        (FIRST, Decimal("0.5"), 1),
        (SECOND, Decimal(2), 2),
    ]


def test_a_stop_that_was_not_answered_yet_is_not_cancelled_for_being_too_small(desk):
    desk.approve(1, time_in_force="GTC", **PROTECTED)
    desk.say(order_id(1), R.OPEN, "0")
    desk.fill(order_id(1), "0.5")
    desk.fill(order_id(1), "0.5")
    assert desk.cancels() == []
    desk.rest(FIRST)
    assert desk.cancels() == [(FIRST, Reason.ORDER_PROTECTION)]


def test_a_bust_makes_the_stop_smaller(desk):
    desk.approve(1, **PROTECTED)
    desk.say(order_id(1), R.OPEN, "0")
    desk.fill(order_id(1), "1.5")
    busted = desk.fill(order_id(1), "0.5")
    desk.rest(FIRST)
    desk.taken_back(FIRST)
    desk.rest(SECOND)
    desk.say(order_id(1), R.OPEN, busted=(busted,))
    desk.taken_back(SECOND)
    assert [stop.placing.quantity for stop in desk.stops()] == [Decimal("1.5"), Decimal(2), Decimal("1.5")]


def test_an_exit_waits_for_the_end_of_the_stop_and_is_then_sent(desk):
    """On spot the stop locks what the exit is to sell."""
    desk.enter()
    desk.rest(FIRST)
    desk.approve(2, **EXIT)
    assert (desk.sent(2), desk.state(2), desk.cancels()) == (None, "PLANNED", [(FIRST, Reason.ORDER_PROTECTION)])
    desk.taken_back(FIRST)
    assert desk.sent(2).placing.quantity == 2
    desk.say(order_id(2), R.OPEN, "0")
    desk.fill(order_id(2), "2")
    desk.say(order_id(2), R.FILLED, "2")
    assert (desk.held(), len(desk.stops()), desk.live()) == (ZERO, 1, [])


def test_what_an_exit_leaves_is_protected_again(desk):
    """A part is sold, and the stop for the rest is placed beside the exit."""
    desk.enter()
    desk.rest(FIRST)
    desk.approve(2, quantity="0.5", **EXIT)
    desk.taken_back(FIRST)
    assert [(stop.placing.venue_id, stop.placing.quantity) for stop in desk.stops()][1:] == [(SECOND, Decimal("1.5"))]
    assert desk.sent(2).placing.quantity == Decimal("0.5")


def test_an_exit_that_sells_nothing_gives_the_stop_back(desk):
    desk.enter()
    desk.rest(FIRST)
    desk.approve(2, **EXIT)
    desk.taken_back(FIRST)
    desk.say(order_id(2), R.CANCELLED, "0")
    assert [stop.placing.quantity for stop in desk.stops()] == [2, 2]


def test_an_exit_sells_only_what_the_stop_has_left(desk):
    """The stop was triggered while its cancel was under way."""
    desk.enter()
    desk.rest(FIRST)
    desk.approve(2, **EXIT)
    desk.fill(FIRST, "0.5", "94.5")
    desk.taken_back(FIRST, "0.5")
    assert desk.sent(2).placing.quantity == Decimal("1.5")


def test_an_exit_is_over_when_the_stop_has_sold_all(desk):
    desk.enter()
    desk.rest(FIRST)
    desk.approve(2, **EXIT)
    desk.fill(FIRST, "2", "94.5")
    desk.say(FIRST, R.FILLED, "2")
    last = [order for order in desk.orders() if order.client_order_id == order_id(2)][-1]
    assert (desk.sent(2), last.to_state, last.reason) == (None, S.CANCELLED, Reason.ORDER_REPLACED)
    assert (desk.held(), desk.live(), len(desk.stops())) == (ZERO, [], 1)


def test_an_exit_that_has_waited_too_long_is_not_sent_and_the_stop_returns(desk):
    desk.enter()
    desk.rest(FIRST)
    desk.approve(2, **EXIT)
    desk.wait(6 * SECOND_US)
    assert desk.state(2) == "EXPIRED"
    desk.taken_back(FIRST)
    assert (desk.sent(2), [stop.placing.quantity for stop in desk.stops()]) == (None, [2, 2])


def test_an_exit_that_finds_enough_free_does_not_wait(desk):
    """Of two positions in a symbol only one is protected."""
    desk.enter(1, protection=None)
    desk.enter(2)
    desk.rest(stop_id(order_id(2), 1))
    desk.approve(3, **EXIT)
    assert (desk.sent(3).placing.quantity, desk.cancels()) == (2, [])


def test_an_exit_takes_back_as_many_stops_as_it_needs_and_waits_for_all_of_them(desk):
    desk.enter(1, "1")
    desk.enter(2, "1")
    desk.enter(3, "1")
    stops = [stop_id(order_id(number), 1) for number in (1, 2, 3)]
    for stop in stops:
        desk.rest(stop)
    desk.approve(4, quantity="1.5", **EXIT)
    assert desk.cancels()[:2] == [(stops[0], Reason.ORDER_PROTECTION), (stops[1], Reason.ORDER_PROTECTION)]
    desk.taken_back(stops[0])
    assert desk.sent(4) is None
    desk.taken_back(stops[1])
    assert desk.sent(4).placing.quantity == Decimal("1.5")
    # What is left belongs to the newest entries.
    assert [(stop.placing.venue_id, stop.placing.quantity) for stop in desk.stops()][3:] == [
        (stop_id(order_id(2), 2), Decimal("0.5"))
    ]


def test_a_stop_that_fills_ends_the_story(desk):
    desk.enter()
    desk.rest(FIRST)
    desk.fill(FIRST, "1", "94.5")
    assert (desk.cancels(), len(desk.stops())) == ([], 1)
    desk.fill(FIRST, "1", "94.5")
    desk.say(FIRST, R.FILLED, "2")
    desk.wait(3_600 * SECOND_US)
    assert (desk.held(), len(desk.stops()), desk.live()) == (ZERO, 1, [])
    assert [fill.client_order_id for fill in desk.fills()] == [order_id(1), FIRST, FIRST]


def test_a_later_position_is_not_protected_on_the_terms_of_one_that_is_closed(desk):
    desk.enter()
    desk.rest(FIRST)
    desk.approve(2, **EXIT)
    desk.taken_back(FIRST)
    desk.fill(order_id(2), "2")
    desk.say(order_id(2), R.FILLED, "2")
    desk.enter(3, protection=None)
    assert len(desk.stops()) == 1


def test_a_late_fill_is_protected_by_a_stop_with_a_new_id(desk):
    """Also when all that the order had filled was closed before."""
    desk.approve(1, time_in_force="GTC", **PROTECTED)
    desk.say(order_id(1), R.OPEN, "0")
    desk.fill(order_id(1), "1")
    desk.rest(FIRST)
    desk.approve(2, **{**EXIT, "quantity": "1"})
    desk.taken_back(FIRST)
    desk.fill(order_id(2), "1")
    desk.say(order_id(2), R.FILLED, "1")
    desk.fill(order_id(1), "0.5")
    assert [(stop.placing.venue_id, stop.placing.quantity) for stop in desk.stops()][1:] == [(SECOND, Decimal("0.5"))]


@pytest.mark.parametrize("level", ["CANCEL", "FLATTEN"])
def test_the_switch_takes_stops_back_as_all_working_orders(desk, level):
    desk.enter()
    desk.rest(FIRST)
    desk.kill(1, level=level)
    assert desk.cancels() == [(FIRST, Reason.ORDER_PROTECTION)]
    desk.taken_back(FIRST)
    assert len(desk.stops()) == 1


def test_the_switch_at_its_first_level_keeps_what_rests_and_places_nothing(desk):
    desk.approve(1, time_in_force="GTC", **PROTECTED)
    desk.say(order_id(1), R.OPEN, "0")
    desk.fill(order_id(1), "0.5")
    desk.rest(FIRST)
    desk.kill(1)
    desk.fill(order_id(1), "0.5")
    assert (desk.cancels(), len(desk.stops())) == ([], 1)


def test_what_closes_a_position_under_the_switch_waits_for_the_stop_too(desk):
    desk.enter()
    desk.rest(FIRST)
    desk.kill(1, level="FLATTEN")
    desk.approve(2, **EXIT, scope="FLATTEN", kill_epoch=1)
    assert (desk.refusals(), desk.sent(2)) == ([], None)
    desk.taken_back(FIRST)
    assert desk.sent(2).placing.quantity == 2


def test_after_the_switch_an_approval_from_before_it_places_no_stop(desk):
    desk.enter()
    desk.rest(FIRST)
    desk.kill(1, level="CANCEL")
    desk.taken_back(FIRST)
    desk.kill(1, engaged=False)
    desk.wait(SECOND_US)
    assert len(desk.stops()) == 1


def test_safe_mode_keeps_stops_and_lets_an_exit_take_them_back(desk):
    desk.enter()
    desk.rest(FIRST)
    desk.step(
        SafeMode(
            id="execution:safe_mode:1",
            engaged=True,
            degraded=(Dependency.USER_STREAM,),
            detail="",
            **desk.envelope(),
        )
    )
    assert desk.cancels() == []
    desk.approve(2, **EXIT)
    assert (desk.refusals(), desk.cancels()) == ([], [(FIRST, Reason.ORDER_PROTECTION)])


def test_a_stop_that_the_venue_rejects_is_tried_again_ever_later_and_an_operator_is_called(desk):
    desk.enter()
    for failure in range(FAILURES_SAID):
        desk.say(
            stop_id(order_id(1), failure + 1),
            R.REJECTED,
            source=ReportSource.SUBMIT,
            reason=Reason.VENUE_REJECTED,
        )
        assert len(desk.stops()) == failure + 1
        desk.wait((RETRY_US << failure) - 1)
        assert len(desk.stops()) == failure + 1
        desk.wait(1)
        assert len(desk.stops()) == failure + 2
    (note,) = [note for note in desk.notes() if note.difference is Difference.UNPROTECTED]
    assert note.subject == order_id(1)
    assert desk.core.status()["unprotected"] == [order_id(1)]
    desk.rest(stop_id(order_id(1), 4))
    assert desk.core.protecting.covers[order_id(1)].failures == 0
    assert desk.core.status()["unprotected"] == []


def test_a_stop_that_never_left_does_not_use_up_a_number_of_the_journal(desk):
    """The journal takes the next attempt only after the one before it."""
    desk.enter()
    desk.say(FIRST, R.NOT_SENT, source=ReportSource.JOURNAL, reason=Reason.APPROVAL_EXPIRED)
    desk.wait(RETRY_US)
    desk.say(SECOND, R.NOT_SENT, source=ReportSource.SUBMIT, reason=Reason.GATE_NO_PERMIT)
    desk.wait(2 * RETRY_US)
    assert [(stop.placing.venue_id, stop.placing.attempt) for stop in desk.stops()] == [
        (FIRST, 1),
        (SECOND, 1),
        (stop_id(order_id(1), 3), 2),
    ]


def test_no_more_stops_are_placed_than_the_journal_counts(desk):
    desk.enter()
    for number in range(1, STOPS_MAX + 1):
        desk.say(stop_id(order_id(1), number), R.REJECTED, source=ReportSource.SUBMIT, reason=Reason.VENUE_REJECTED)
        desk.wait(64 * RETRY_US)
    assert len(desk.stops()) == STOPS_MAX
    assert desk.core.protecting.unprotected == (order_id(1),)
    assert [note.difference for note in desk.notes()][-1] is Difference.UNPROTECTED


def test_what_fills_when_no_more_positions_can_be_protected_is_said(desk, monkeypatch):
    monkeypatch.setattr(protecting, "COVERS_MAX", 1)
    desk.enter(1)
    desk.enter(2)
    said = [(note.subject, note.differed) for note in desk.notes() if note.difference is Difference.UNPROTECTED]
    assert said == [(order_id(2), "1 positions are protected already")]
    assert [stop.placing.venue_id for stop in desk.stops()] == [FIRST]


def test_a_stop_that_ends_unasked_is_placed_again(desk):
    """Somebody has cancelled it at the venue."""
    desk.enter()
    desk.rest(FIRST)
    desk.say(FIRST, R.CANCELLED, "0")
    assert len(desk.stops()) == 1
    desk.wait(RETRY_US)
    assert [stop.placing.venue_id for stop in desk.stops()] == [FIRST, SECOND]


@pytest.mark.parametrize("status", [InstrumentStatus.HALTED, InstrumentStatus.CANCEL_ONLY, InstrumentStatus.AUCTION])
def test_a_stop_waits_for_the_venue_to_open(desk, status):
    desk.approve(1, **PROTECTED)
    desk.instrument(status)
    desk.fill(order_id(1), "2")
    assert desk.stops() == []
    desk.instrument()
    assert [stop.placing.quantity for stop in desk.stops()] == [2]


def test_what_the_venue_would_not_take_as_a_stop_is_left_alone(desk):
    desk.approve(1, **PROTECTED)
    desk.fill(order_id(1), "0.009")
    assert desk.stops() == []
    desk.fill(order_id(1), "0.0511")
    assert [stop.placing.quantity for stop in desk.stops()] == [Decimal("0.060")]


def test_the_number_is_part_of_the_stops_id():
    """Derived, so that whoever reads the tape can name it."""
    digest = hashlib.sha256(f"{order_id(1)}:protect:2".encode()).hexdigest()
    assert f"tg{digest[:30]}" == SECOND
    assert len({stop_id(order_id(entry), number) for entry in (1, 2) for number in (1, 2)}) == 4


def test_a_stop_does_not_count_among_the_open_orders_nor_as_promised(desk):
    desk.enter()
    desk.rest(FIRST)
    assert desk.core.open_before(order_id(9), BTC) == (0, 0)
    desk.approve(2, **EXIT)
    assert desk.core.reducible(desk.core.orders.get(order_id(2)).approval) == 2


def test_the_stop_of_a_short_buys_it_back():
    """A perpetual that is held short is protected above, and only for what this order has sold."""
    desk = Protected.__new__(Protected)
    Desk.__init__(desk, armed=False)
    desk.trades = 0
    desk.step(config_message())
    desk.policy()
    account = Desk().tape[2].model_dump(mode="json")
    position = {"symbol": BTC, "quantity": "-2", "entry_price": "100", "liquidation_price": None}
    desk.step(Account.model_validate_json(json.dumps({**account, "positions": [position]})))
    desk.instrument()
    desk.approve(
        1, side="SELL", quantity="1", protection={"trigger_price": "105", "limit_price": "106"}, limit_price="100"
    )
    desk.fill(order_id(1), "1")
    (stop,) = desk.stops()
    assert (stop.placing.side, stop.placing.quantity, stop.placing.trigger_price) == (Side.BUY, 1, 105)
    assert desk.held() == -3


def test_orders_of_a_stop_are_said_in_its_own_name(desk):
    desk.enter()
    desk.rest(FIRST)
    assert desk.said_of(FIRST) == ["SUBMITTING", "ACKNOWLEDGED"]


def test_a_newer_stop_is_placed_only_once_an_older_one_has_let_go_of_its_part(desk):
    """An exit has taken the room of one of two, and the newer entry's stop failed meanwhile."""
    desk.enter(1, "1")
    desk.enter(2, "1")
    older, newer = stop_id(order_id(1), 1), stop_id(order_id(2), 1)
    desk.rest(older)
    desk.rest(newer)
    desk.say(newer, R.CANCELLED, "0")
    desk.approve(3, quantity="1", **EXIT)
    assert desk.sent(3).placing.quantity == 1
    desk.wait(RETRY_US)
    assert (desk.cancels(), len(desk.stops())) == ([(older, Reason.ORDER_PROTECTION)], 2)
    desk.taken_back(older)
    assert [stop.placing.venue_id for stop in desk.stops()][2:] == [stop_id(order_id(2), 2)]
