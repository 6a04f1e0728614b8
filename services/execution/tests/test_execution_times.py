"""When an order's time is over, and when another takes its place: execution's own cancels, asked for until answered."""

from decimal import Decimal
from typing import Any

import pytest
from execution_samples import SECOND_US, Desk, config_message, order_id, trade

from tollgate_contracts.execution import Order, OrderState, ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_execution.core import Cancel, Query, Submit

R, FROM = ReportStatus, ReportSource


def working(number: int = 1, **changes: Any) -> Desk:
    """Return a desk on which an order works that has no end of its own unless one is named."""
    desk = Desk()
    desk.step(config_message(watch={"stale_after_us": changes.pop("stale_after_us", None)}))
    desk.approve(number, **{"time_in_force": "GTC", **changes})
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0", number=number)
    return desk


def cancels(desk: Desk) -> list[Cancel]:
    return [effect for effect in desk.asked if isinstance(effect, Cancel)]


def submitted(desk: Desk) -> list[Submit]:
    return [effect for effect in desk.asked if isinstance(effect, Submit)]


def last(desk: Desk) -> Order:
    return desk.orders()[-1]


def test_an_order_is_cancelled_at_its_own_time_and_not_a_microsecond_before() -> None:
    desk = Desk()
    good_until_us = desk.now_us + 10 * SECOND_US
    desk.approve(time_in_force="GTC", good_until_us=good_until_us)
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0")
    desk.wait(10 * SECOND_US - 1)
    assert cancels(desk) == []
    step = desk.wait(1)
    assert step.effects == (Cancel(order_id(1), Reason.ORDER_GOOD_UNTIL, None),)
    assert (desk.state(), last(desk).reason) == ("CANCELLING", Reason.ORDER_GOOD_UNTIL)
    desk.hear(R.CANCELLED, FROM.CANCEL, filled="0")
    assert (desk.state(), last(desk).reason) == ("CANCELLED", Reason.ORDER_GOOD_UNTIL)
    desk.wait(60 * SECOND_US)
    assert len(cancels(desk)) == 1


@pytest.mark.parametrize("silence", ["SUBMITTING", "UNKNOWN"])
def test_its_time_is_over_even_where_its_outcome_is_not_known(silence: str) -> None:
    desk = Desk()
    desk.approve(time_in_force="GTC", good_until_us=desk.now_us + SECOND_US)
    if silence == "UNKNOWN":
        desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.wait(SECOND_US)
    assert cancels(desk) == [Cancel(order_id(1), Reason.ORDER_GOOD_UNTIL, None)]
    assert desk.state() == ("UNKNOWN" if silence == "UNKNOWN" else "CANCELLING")
    # It is there after all: the cancel is still wanted, and it is not taken for working.
    desk.hear(R.OPEN, FROM.STREAM, filled="0")
    assert desk.state() == "CANCELLING"


def test_an_order_of_unknown_outcome_is_asked_after_while_its_cancel_is_wanted() -> None:
    desk = Desk()
    desk.approve(time_in_force="GTC", good_until_us=desk.now_us + SECOND_US)
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.wait(SECOND_US)
    assert desk.record().look_us > desk.now_us
    step = desk.wait(2 * SECOND_US)
    assert step.effects == (
        Cancel(order_id(1), Reason.ORDER_GOOD_UNTIL, None),
        Query(order_id(1), "UNKNOWN at the time of looking"),
    )


@pytest.mark.parametrize(("pause_us", "state"), [(5 * SECOND_US - 1, "CANCELLING"), (5 * SECOND_US, "ACKNOWLEDGED")])
def test_a_cancel_of_an_unknown_order_is_wanted_while_its_approval_holds(pause_us: int, state: str) -> None:
    desk = Desk()
    desk.approve(time_in_force="GTC")
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.approve(action="CANCEL")
    desk.wait(pause_us)
    desk.hear(R.OPEN, FROM.STREAM, filled="0")
    assert desk.state() == state
    assert (desk.record().cancel is None) is (state == "ACKNOWLEDGED")
    if state == "CANCELLING":
        assert desk.record().before_cancel is OrderState.ACKNOWLEDGED


def test_a_trade_of_an_unknown_order_whose_cancel_is_wanted_leaves_it_cancelling() -> None:
    desk = Desk()
    desk.approve(time_in_force="GTC")
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.approve(action="CANCEL")
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(1, "0.5"),))
    assert (desk.state(), desk.record().before_cancel) == ("CANCELLING", OrderState.PARTIALLY_FILLED)


def test_looks_at_a_working_order_are_not_counted() -> None:
    desk = working()
    desk.wait(30 * SECOND_US)
    assert desk.record().probes == 0


def test_a_cancel_that_nobody_answers_is_asked_for_again_and_one_that_was_refused_at_the_next_look() -> None:
    desk = working(good_until_us=Desk().now_us + SECOND_US)
    desk.wait(SECOND_US)
    desk.hear(R.NO_ANSWER, FROM.CANCEL)
    for count in (2, 3, 4):
        desk.wait(8 * SECOND_US)
        assert len(cancels(desk)) == count
    desk.hear(R.REJECTED, FROM.CANCEL)
    desk.wait(8 * SECOND_US)
    assert len(cancels(desk)) == 4
    desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert desk.state() == "ACKNOWLEDGED"
    desk.wait(30 * SECOND_US)
    assert len(cancels(desk)) == 5


def test_an_approved_cancel_is_asked_for_again_only_while_its_approval_holds() -> None:
    desk = working()
    until_us = desk.now_us + 5 * SECOND_US
    desk.approve(action="CANCEL")
    assert cancels(desk) == [Cancel(order_id(1), None, until_us)]
    desk.wait(3 * SECOND_US)
    assert cancels(desk) == [Cancel(order_id(1), None, until_us)] * 2
    desk.wait(3 * SECOND_US)
    assert len(cancels(desk)) == 2


@pytest.mark.parametrize(("short_us", "state"), [(1, "CANCELLING"), (0, "ACKNOWLEDGED")])
def test_an_order_whose_cancel_was_lost_works_again_once_that_can_arrive_no_more(short_us: int, state: str) -> None:
    """The venue names the time of the order's last change, before the cancel."""
    desk = working()
    placed_us = desk.now_us
    desk.approve(action="CANCEL")
    desk.hear(R.NO_ANSWER, FROM.CANCEL)
    # The approval's five seconds, and three in which a request can still arrive.
    desk.wait(8 * SECOND_US - short_us)
    desk.hear(R.OPEN, FROM.QUERY, filled="0", venue_ts_us=placed_us)
    assert desk.state() == state
    assert desk.record().is_unsettled is (state == "CANCELLING")


@pytest.mark.parametrize(("until_us", "count"), [(2 * SECOND_US, 1), (2 * SECOND_US + 1, 2)])
def test_a_cancel_is_not_asked_for_again_at_the_very_end_of_its_approval(until_us: int, count: int) -> None:
    desk = working()
    desk.approve(action="CANCEL", expires_us=desk.now_us + until_us)
    desk.wait(2 * SECOND_US)
    assert len(cancels(desk)) == count


def test_a_wish_to_cancel_is_over_once_it_was_refused_or_never_sent() -> None:
    """A cancel that is wanted no more is not asked for again, and does not stand in the way of the next."""
    desk = working()
    desk.approve(action="CANCEL")
    desk.hear(R.REJECTED, FROM.CANCEL)
    desk.hear(R.OPEN, FROM.STREAM, filled="0")
    assert desk.state() == "CANCELLING"
    desk.hear(R.OPEN, FROM.QUERY, filled="0")
    assert (desk.state(), desk.record().cancel) == ("ACKNOWLEDGED", None)
    desk.approve(action="CANCEL", intent_id="strategy:9:0", expires_us=desk.now_us + 2 * SECOND_US)
    desk.hear(R.NOT_SENT, FROM.CANCEL, reason=Reason.APPROVAL_EXPIRED)
    assert (desk.state(), desk.record().cancel) == ("ACKNOWLEDGED", None)


def test_an_order_that_trades_while_its_cancel_is_not_sent_works_on_as_partially_filled() -> None:
    desk = working()
    desk.approve(action="CANCEL")
    desk.hear(R.OPEN, FROM.STREAM, filled="0.5", trades=(trade(1, "0.5"),))
    desk.hear(R.NOT_SENT, FROM.CANCEL, reason=Reason.APPROVAL_EXPIRED)
    assert desk.state() == "PARTIALLY_FILLED"


def test_what_execution_wants_itself_outlasts_a_cancel_that_risk_has_approved() -> None:
    desk = working(good_until_us=Desk().now_us + SECOND_US)
    desk.wait(SECOND_US)
    desk.approve(action="CANCEL")
    wish = desk.record().cancel
    assert wish is not None
    assert (wish.why, wish.until_us) == (Reason.ORDER_GOOD_UNTIL, None)


def test_a_working_order_grows_stale_and_one_that_reduces_or_a_desk_without_the_limit_never_does() -> None:
    desk = working(stale_after_us=10 * SECOND_US)
    desk.wait(10 * SECOND_US)
    assert cancels(desk) == [Cancel(order_id(1), Reason.ORDER_STALE, None)]
    for quiet in (working(stale_after_us=10 * SECOND_US, reduce_only=True), working()):
        quiet.wait(500 * SECOND_US)
        assert cancels(quiet) == []


def test_an_order_of_unknown_outcome_does_not_grow_stale() -> None:
    desk = Desk()
    desk.step(config_message(watch={"stale_after_us": SECOND_US}))
    desk.approve()
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.wait(2 * SECOND_US)
    assert cancels(desk) == []


# One order in place of another.


def replacing(old_filled: str = "0", **changes: Any) -> Desk:
    """Return a desk on which order 1, of 2, is to be replaced by order 2, of 2; the strategy has seen none filled."""
    desk = working()
    seen = desk.sequence
    if old_filled != "0":
        desk.hear(R.OPEN, FROM.STREAM, filled=old_filled, trades=(trade(1, old_filled),))
    desk.approve(2, replaces=order_id(1), intent_id=f"strategy:{seen}:0", time_in_force="GTC", **changes)
    return desk


def end(desk: Desk, filled: str, *trades: Any) -> None:
    desk.hear(R.CANCELLED, FROM.CANCEL, filled=filled, trades=trades)


def test_the_new_order_waits_until_the_old_one_is_over() -> None:
    desk = replacing()
    assert (desk.state(1), desk.state(2)) == ("CANCELLING", "PLANNED")
    assert cancels(desk) == [Cancel(order_id(1), Reason.ORDER_REPLACED, None)]
    assert len(submitted(desk)) == 1
    end(desk, "0")
    assert (desk.state(1), desk.state(2)) == ("CANCELLED", "SUBMITTING")
    assert submitted(desk)[-1].placing.quantity == 2
    assert [(order.to_state, order.reason) for order in desk.orders()[-2:]] == [
        (OrderState.CANCELLED, Reason.ORDER_REPLACED),
        (OrderState.SUBMITTING, None),
    ]


@pytest.mark.parametrize(
    ("before", "after", "left"),
    [
        ("0", "0", "2"),
        ("0", "0.5", "1.5"),
        ("0.5", "0.5", "1.5"),
        ("0.5", "1.75", "0.25"),
    ],
)
def test_it_is_sent_for_what_is_left_of_it(before: str, after: str, left: str) -> None:
    """What the old one filled since the strategy looked counts, before the approval was read and after."""
    desk = replacing(before)
    rest = desk.record().approval.quantity.__class__(after) - desk.record().booked
    end(desk, after, *((trade(2, str(rest)),) if rest else ()))
    (submit,) = submitted(desk)[1:]
    assert str(submit.placing.quantity) == left
    assert str(last(desk).quantity) == left


def test_what_the_strategy_had_seen_filled_is_not_taken_off_again() -> None:
    desk = working()
    desk.hear(R.OPEN, FROM.STREAM, filled="0.5", trades=(trade(1, "0.5"),))
    desk.approve(2, replaces=order_id(1), intent_id=f"strategy:{desk.sequence}:0")
    end(desk, "0.5")
    assert submitted(desk)[-1].placing.quantity == 2


def test_a_trade_that_was_taken_back_is_not_taken_off() -> None:
    desk = replacing("0.5")
    desk.hear(R.TRADED, FROM.STREAM, busted=("t1",))
    end(desk, "0")
    assert submitted(desk)[-1].placing.quantity == 2


def test_the_new_order_waits_for_the_old_one_s_last_trade_too() -> None:
    desk = replacing()
    end(desk, "1")
    assert desk.state(2) == "PLANNED"
    desk.hear(R.CANCELLED, FROM.QUERY, filled="1", trades=(trade(1, "1"),))
    assert (desk.state(1), desk.state(2)) == ("CANCELLED", "SUBMITTING")
    assert submitted(desk)[-1].placing.quantity == 1


def test_nothing_is_left_when_the_old_one_has_filled_instead() -> None:
    desk = replacing()
    desk.hear(R.FILLED, FROM.STREAM, filled="2", trades=(trade(1, "2"),))
    assert (desk.state(1), desk.state(2)) == ("FILLED", "CANCELLED")
    assert last(desk).reason is Reason.ORDER_REPLACED
    assert len(submitted(desk)) == 1


def test_when_the_old_one_is_over_too_late_the_new_one_is_not_sent() -> None:
    """It ends at its approval's expiry, not when somebody looks."""
    desk = replacing()
    desk.wait(5 * SECOND_US - 1)
    assert desk.state(2) == "PLANNED"
    desk.wait(1)
    assert (desk.state(2), last(desk).reason) == ("EXPIRED", Reason.ORDER_REPLACED)
    assert desk.record(2).waits_for is None
    end(desk, "0")
    assert len(submitted(desk)) == 1
    assert desk.state(2) == "EXPIRED"


def test_the_end_of_the_old_one_at_the_very_expiry_is_too_late() -> None:
    desk = replacing()
    desk.now_us += 5 * SECOND_US
    desk.step(desk.report(R.CANCELLED, FROM.CANCEL, filled="0"))
    assert desk.state(2) == "EXPIRED"
    assert len(submitted(desk)) == 1


def test_an_order_in_place_of_one_that_is_over_is_sent_at_once() -> None:
    desk = working()
    seen = desk.sequence
    desk.hear(R.CANCELLED, FROM.STREAM, filled="0.5", trades=(trade(1, "0.5"),))
    desk.approve(2, replaces=order_id(1), intent_id=f"strategy:{seen}:0")
    assert submitted(desk)[-1].placing.quantity.as_tuple() == trade(9, "1.5").quantity.as_tuple()


def test_a_waiting_order_that_is_cancelled_or_replaced_itself_is_never_sent() -> None:
    desk = replacing()
    desk.approve(2, action="CANCEL")
    assert (desk.state(2), last(desk).to_state) == ("CANCELLED", OrderState.CANCELLED)
    end(desk, "0")
    assert len(submitted(desk)) == 1
    desk = replacing()
    desk.approve(3, replaces=order_id(2), intent_id=f"strategy:{desk.sequence}:0")
    assert (desk.state(2), desk.state(3)) == ("CANCELLED", "PLANNED")
    assert len(submitted(desk)) == 1
    end(desk, "0.5", trade(1, "0.5"))
    assert desk.state(3) == "SUBMITTING"
    assert submitted(desk)[-1].placing.quantity == Decimal("1.5")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"replaces": order_id(7)}, "no order"),
        ({"replaces": order_id(1), "side": "SELL"}, "side SELL"),
        ({"replaces": order_id(1), "symbol": "ETH-USDT"}, "symbol ETH-USDT"),
    ],
)
def test_what_cannot_be_replaced_is_refused(changes: dict[str, Any], said: str) -> None:
    desk = working()
    desk.approve(2, **changes)
    (refusal,) = desk.refusals()
    assert refusal.codes == (Reason.APPROVAL_MISMATCH,)
    assert said in refusal.detail
    assert desk.state(1) == "ACKNOWLEDGED"


def test_a_priced_order_that_has_waited_is_priced_when_it_is_sent() -> None:
    desk = replacing()
    desk.step(config_message(slippage_bps_max=0))
    desk.quote("98", "99")
    end(desk, "0")
    assert submitted(desk)[-1].placing.limit_price == 99
