"""When orders are looked at again, and when they are forgotten: all on tape time."""

from decimal import Decimal
from itertools import pairwise

from execution_samples import SECOND_US, Desk, config_message, order_id, trade

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_execution.core import Query

R, FROM = ReportStatus, ReportSource


def queries(desk: Desk) -> int:
    return sum(isinstance(effect, Query) for effect in desk.asked)


def looks(desk: Desk, seconds: int) -> list[float]:
    """Let time pass in steps of a tenth of a second and return when an order was asked after, in seconds."""
    seen, times, began_us = queries(desk), [], desk.now_us
    for _ in range(seconds * 10):
        desk.wait(100_000)
        if queries(desk) > seen:
            seen = queries(desk)
            times.append((desk.now_us - began_us) / SECOND_US)
    return times


def test_an_unknown_order_is_asked_after_ever_later_and_at_the_moments_from_which_absence_is_proof() -> None:
    desk = Desk()
    desk.approve()
    desk.wait(100_000)
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    # At 4 s its send can arrive no more and would be visible; at 8.9 s none under this approval can.
    assert looks(desk, 12) == [0.5, 1.5, 3.5, 4.0, 8.9]
    desk = Desk()
    desk.step(config_message(watch={"resends_max": 0}))
    desk.approve()
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    assert looks(desk, 10) == [0.5, 1.5, 3.5, 7.5, 9.0]


def test_after_a_bounded_number_of_looks_an_operator_is_called_once_and_asking_goes_on_slowly() -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    times = looks(desk, 300)
    (note,) = desk.notes()
    assert "unknown outcome after 8 probes" in note.differed
    assert [round(later - earlier) for earlier, later in pairwise(times[7:])] == [60, 60, 60, 60]
    assert desk.state() == "UNKNOWN"


def test_a_silent_submit_and_a_silent_cancel_are_asked_after_two_seconds() -> None:
    desk = Desk()
    desk.approve()
    assert looks(desk, 3) == [2.0]
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0")
    desk.approve(action="CANCEL")
    assert looks(desk, 3) == [2.0]


def test_a_working_order_is_asked_after_seldom_and_for_ever_and_nobody_is_called() -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0")
    assert looks(desk, 400) == [30.0 * number for number in range(1, 14)]
    assert desk.notes() == []


def test_missing_trades_are_asked_for_until_they_come() -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.FILLED, FROM.SUBMIT, filled="2")
    assert looks(desk, 4) == [0.5, 1.5, 3.5]
    desk.hear(R.FILLED, FROM.QUERY, filled="2", trades=(trade(1, "2"),))
    assert looks(desk, 60) == []


def test_a_late_count_on_a_finished_order_is_asked_for_too() -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.CANCELLED, FROM.SUBMIT, filled="0")
    step = desk.hear(R.CANCELLED, FROM.STREAM, filled="1")
    assert any(isinstance(effect, Query) for effect in step.effects)
    assert looks(desk, 2) == [0.5, 1.5]
    desk.hear(R.CANCELLED, FROM.QUERY, filled="1", trades=(trade(1, "1"),))
    assert looks(desk, 60) == []
    assert desk.state() == "CANCELLED"


def test_a_finished_order_is_forgotten_after_its_time_and_its_count_stays() -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.REJECTED, FROM.SUBMIT)
    desk.wait(600 * SECOND_US - 1)
    assert desk.core.orders.get(order_id(1)) is not None
    desk.wait(1)
    assert desk.core.orders.get(order_id(1)) is None
    assert desk.core.status()["orders"] == {"REJECTED": 1}


def test_of_many_finished_orders_only_the_newest_are_kept() -> None:
    desk = Desk()
    for number in range(1, 301):
        desk.approve(number)
        desk.hear(R.REJECTED, FROM.SUBMIT, number=number)
    assert desk.core.orders.get(order_id(50)) is None
    assert desk.core.orders.get(order_id(51)) is not None
    assert next(record.client_order_id for record in desk.core.orders.newest()) == order_id(300)


def test_used_ids_are_forgotten_only_when_their_approval_has_long_expired() -> None:
    desk = Desk()
    desk.approve()
    desk.hear(R.REJECTED, FROM.SUBMIT)
    assert len(desk.core.orders.snapshot()["used"]) == 2
    desk.wait(2_000 * SECOND_US)
    assert desk.core.orders.snapshot()["used"] == {}


def test_status_shows_what_an_operator_needs() -> None:
    desk = Desk()
    desk.approve(1)
    desk.hear(R.FILLED, FROM.SUBMIT, filled="2", trades=(trade(1, "2"),))
    desk.approve(2)
    desk.hear(R.NO_ANSWER, FROM.SUBMIT, number=2)
    desk.approve(2)
    desk.kill(1)
    status = desk.core.status()
    assert status["orders"] == {"FILLED": 1, "UNKNOWN": 1}
    assert status["fills"] == 1
    assert status["positions"] == {"BTC-USDT": "2"}
    assert status["unknown_orders"] == [order_id(2)]
    assert status["refusals"] == {"approval.reused": 1}
    assert status["kill_switch"] == {"engaged": True, "level": "HALT", "epoch": 1}
    assert desk.core.portfolio is not None
    assert desk.core.portfolio.cash == Decimal("99799.9")
