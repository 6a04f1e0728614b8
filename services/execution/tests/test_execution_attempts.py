"""One approval, placed more than once and never twice at a time: repriced, sent again, and bounded in price."""

from decimal import Decimal
from typing import Any

import pytest
from execution_samples import SECOND_US, TRUSTED, Desk, config_message, order_id, trade

from tollgate_contracts.core import Step
from tollgate_contracts.execution import OrderState, ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Difference, Repair
from tollgate_execution.core import Cancel, ExecutionCore, Query, Settle, Submit
from tollgate_execution.core.placing import attempt_id
from tollgate_execution.verification import Verifier

R, FROM = ReportStatus, ReportSource
CROSSED: dict[str, Any] = {"reason": Reason.PRICE_CROSSED_POST_ONLY}


def submits(step: Step) -> list[Submit]:
    return [effect for effect in step.effects if isinstance(effect, Submit)]


def resting(**changes: Any) -> Desk:
    """Return a desk with a post-only buy of 2 at 100 at most that was just sent, the market at 98 to 99."""
    desk = Desk()
    desk.quote("98", "99")
    desk.approve(**{"post_only": True, "time_in_force": "GTC", **changes})
    return desk


def test_attempt_ids_are_derived_and_the_first_is_the_order_s_own() -> None:
    """Whoever reads the tape can name every attempt; all have the one form that every venue takes."""
    ids = [attempt_id(order_id(1), number) for number in range(1, 101)]
    assert ids[0] == order_id(1)
    assert ids[1] == "tg70c1a0ce5a9d337dbb60972d56905c"
    assert len({*ids}) == 100


def test_a_post_only_order_that_would_have_taken_is_placed_anew_at_the_best_own_price() -> None:
    desk = resting()
    desk.quote("97.5", "98.5")
    step = desk.hear(R.REJECTED, FROM.SUBMIT, **CROSSED)
    second = attempt_id(order_id(1), 2)
    (again,) = submits(step)
    assert (again.placing.venue_id, again.placing.attempt, again.placing.limit_price) == (second, 2, Decimal("97.5"))
    assert again.placing.quantity == 2
    assert again.resend == 0
    # What is known of the first attempt is asked to be written before the second is sent.
    assert step.effects[0] == Settle(order_id(1), OrderState.REJECTED, is_over=True)
    said = desk.orders()[-1]
    assert (said.attempt, said.limit_price, said.reason) == (2, Decimal("97.5"), Reason.PRICE_CROSSED_POST_ONLY)
    assert desk.state() == "SUBMITTING"
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0", attempt=2, venue_order_id="v2")
    assert desk.state() == "ACKNOWLEDGED"
    desk.hear(R.FILLED, FROM.STREAM, filled="2", trades=(trade(1, "2", "97.5"),), attempt=2)
    assert desk.state() == "FILLED"
    assert [fill.client_order_id for fill in desk.fills()] == [order_id(1)]


@pytest.mark.parametrize(
    ("side", "limit", "bid", "ask", "price"),
    [
        ("BUY", "100", "98", "99", "98"),
        ("BUY", "100", "101", "102", "100"),
        ("SELL", "100", "101", "102", "102"),
        ("SELL", "100", "98", "99", "100"),
    ],
)
def test_it_is_never_worse_than_the_approval_s_bound(side: str, limit: str, bid: str, ask: str, price: str) -> None:
    desk = resting(side=side, limit_price=limit)
    desk.quote(bid, ask)
    (again,) = submits(desk.hear(R.REJECTED, FROM.SUBMIT, **CROSSED))
    assert again.placing.limit_price == Decimal(price)


def test_it_is_placed_anew_so_often_and_then_rejected() -> None:
    desk = resting()
    for attempt in (1, 2, 3):
        assert len(submits(desk.hear(R.REJECTED, FROM.SUBMIT, attempt=attempt, **CROSSED))) == 1
    assert submits(desk.hear(R.REJECTED, FROM.SUBMIT, attempt=4, **CROSSED)) == []
    assert desk.state() == "REJECTED"
    assert desk.orders()[-1].reason is Reason.PRICE_CROSSED_POST_ONLY


def after(desk: Desk, case: str) -> dict[str, Any]:
    """Bring about one reason not to try again; returns what the venue's refusal says."""
    match case:
        case "the approval has expired":
            desk.now_us += 5 * SECOND_US
            desk.quote("98", "99")
        case "the quote is old":
            desk.step(config_message(quote_age_us_max=1_000))
            desk.wait(2_000)
        case "a cancel is wanted":
            desk.approve(action="CANCEL")
        case "something has traded":
            desk.hear(R.OPEN, filled="1", trades=(trade(1, "1"),))
            return {**CROSSED, "filled": "1"}
        case "it was refused for something else":
            return {"reason": Reason.CASH_INSUFFICIENT}
        case "there is no configuration any more":
            desk.step(config_message(symbols=[]))
        case _:
            raise AssertionError(case)
    return CROSSED


@pytest.mark.parametrize(
    ("case", "state"),
    [
        ("the approval has expired", "REJECTED"),
        ("the quote is old", "REJECTED"),
        ("a cancel is wanted", "REJECTED"),
        ("something has traded", "CANCELLED"),
        ("it was refused for something else", "REJECTED"),
        ("there is no configuration any more", "REJECTED"),
    ],
)
def test_when_it_is_not_placed_anew(case: str, state: str) -> None:
    desk = resting()
    changes = after(desk, case)
    assert submits(desk.hear(R.REJECTED, FROM.SUBMIT, **changes)) == []
    assert desk.state() == state


def test_an_order_that_may_take_is_not_placed_anew_and_nor_is_one_without_a_quote() -> None:
    desk = resting(post_only=False)
    assert submits(desk.hear(R.REJECTED, FROM.SUBMIT, **CROSSED)) == []
    desk = Desk()
    desk.approve(post_only=True)
    assert submits(desk.hear(R.REJECTED, FROM.SUBMIT, **CROSSED)) == []


def test_one_microsecond_before_the_expiry_and_at_the_last_of_a_quote_s_age_it_is_placed_anew() -> None:
    desk = resting()
    desk.now_us += 5 * SECOND_US - 1
    assert len(submits(desk.hear(R.REJECTED, FROM.SUBMIT, **CROSSED))) == 1
    desk = resting()
    desk.step(config_message(quote_age_us_max=1_000))
    desk.wait(1_000)
    assert len(submits(desk.hear(R.REJECTED, FROM.SUBMIT, **CROSSED))) == 1


def second_attempt() -> Desk:
    desk = resting()
    desk.hear(R.REJECTED, FROM.SUBMIT, **CROSSED)
    return desk


def test_what_the_venue_says_of_an_attempt_that_is_over_does_not_touch_the_one_after_it() -> None:
    desk = second_attempt()
    for status in (R.REJECTED, R.CANCELLED, R.ABSENT, R.NO_ANSWER):
        assert desk.hear(status, FROM.QUERY).outputs == ()
    assert desk.state() == "SUBMITTING"


def test_an_attempt_that_was_refused_and_is_open_after_all_is_cancelled_and_said_once() -> None:
    desk = second_attempt()
    for _ in range(2):
        step = desk.hear(R.OPEN, FROM.QUERY, filled="0")
        assert step.effects == (Cancel(order_id(1), Reason.VENUE_UNKNOWN_OUTCOME, None),)
    (note,) = desk.notes()
    assert (note.difference, note.repair) == (Difference.STATE_DRIFT, Repair.FLAGGED)
    assert desk.state() == "SUBMITTING"


def test_what_a_refused_attempt_has_filled_is_booked_and_the_next_one_is_taken_back() -> None:
    """The approval is good for one order: both together may not fill it twice."""
    desk = second_attempt()
    desk.hear(R.OPEN, FROM.SUBMIT, filled="0", attempt=2)
    # At the first one's price, which the second one would not have paid.
    step = desk.hear(R.TRADED, FROM.FILLS, trades=(trade(1, "0.5", "99"),))
    second = attempt_id(order_id(1), 2)
    assert step.effects == (Cancel(second, Reason.VENUE_UNKNOWN_OUTCOME, None),)
    record = desk.record()
    assert (record.state, record.before_cancel) == (OrderState.CANCELLING, OrderState.PARTIALLY_FILLED)
    assert (record.booked, record.carried) == (Decimal("0.5"), Decimal("0.5"))
    assert [note.difference for note in desk.notes()] == [Difference.LATE_FILL]
    desk.hear(R.OPEN, FROM.STREAM, filled="0.5", trades=(trade(2, "0.5", "98"),), attempt=2)
    assert desk.core.orders.active() == (desk.record(),)
    assert not desk.record().misses_trades
    desk.hear(R.CANCELLED, FROM.QUERY, filled="0.5", attempt=2)
    assert desk.state() == "CANCELLED"
    assert desk.orders()[-1].cumulative_quantity == 1


def test_a_second_attempt_survives_a_restart_and_is_forgotten_with_its_order() -> None:
    desk = second_attempt()
    restored = ExecutionCore(Verifier(TRUSTED).approval)
    restored.restore(desk.core.snapshot())
    assert restored.snapshot() == desk.core.snapshot()
    second = attempt_id(order_id(1), 2)
    found = restored.orders.find(second)
    assert found is not None
    assert found[1] == 2
    desk.hear(R.REJECTED, FROM.SUBMIT, reason=Reason.CASH_INSUFFICIENT, attempt=2)
    desk.wait(600 * SECOND_US)
    assert desk.core.orders.find(second) is None
    assert desk.core.orders.snapshot()["attempts"] == {}


# Under the same id once more: only after the venue has shown that the first can arrive no more.


def unknown(**changes: Any) -> Desk:
    desk = Desk()
    desk.step(config_message(**changes))
    desk.approve(expires_us=desk.now_us + 20 * SECOND_US)
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    return desk


def test_an_order_that_the_venue_has_shown_absent_for_long_enough_is_sent_again_under_its_id() -> None:
    desk = unknown()
    desk.now_us += 4 * SECOND_US - 1
    assert submits(desk.hear(R.ABSENT, FROM.QUERY)) == []
    desk.now_us += 1
    (again,) = submits(desk.hear(R.ABSENT, FROM.QUERY))
    assert (again.placing.venue_id, again.placing.attempt, again.resend) == (order_id(1), 1, 1)
    assert desk.state() == "SUBMITTING"
    assert desk.orders()[-1].from_state is OrderState.UNKNOWN
    desk.hear(R.FILLED, FROM.SUBMIT, filled="2", trades=(trade(1, "2"),))
    assert desk.state() == "FILLED"


def test_by_the_venue_s_clock_too_it_must_be_late_enough() -> None:
    desk = unknown()
    asked_us = desk.now_us + 4 * SECOND_US
    desk.now_us += 6 * SECOND_US
    assert submits(desk.hear(R.ABSENT, FROM.QUERY, venue_ts_us=asked_us - 1)) == []
    assert len(submits(desk.hear(R.ABSENT, FROM.QUERY, venue_ts_us=asked_us))) == 1


def test_it_is_sent_again_so_often_and_ends_once_absence_is_proof() -> None:
    desk = unknown()
    desk.now_us += 4 * SECOND_US
    assert len(submits(desk.hear(R.ABSENT, FROM.QUERY))) == 1
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.now_us += 5 * SECOND_US
    assert submits(desk.hear(R.ABSENT, FROM.QUERY)) == []
    assert desk.state() == "UNKNOWN"
    desk.now_us += 15 * SECOND_US
    desk.hear(R.ABSENT, FROM.QUERY)
    assert desk.state() == "EXPIRED"


@pytest.mark.parametrize("case", ["no id protects", "a cancel is wanted", "a stream's silence", "too late"])
def test_when_it_is_not_sent_again(case: str) -> None:
    desk = unknown(watch={"resends_max": 0 if case == "no id protects" else 1})
    if case == "a cancel is wanted":
        desk.approve(action="CANCEL")
    desk.now_us += (20 if case == "too late" else 5) * SECOND_US
    source = FROM.CANCEL if case == "a stream's silence" else FROM.QUERY
    assert submits(desk.hear(R.ABSENT, source)) == []
    assert desk.state() == "UNKNOWN"


def test_a_process_that_died_while_sending_proves_nothing_and_is_not_sent_again() -> None:
    """Without the word that no answer came we do not know when it left: only the expiry bounds that."""
    desk = Desk()
    desk.approve(expires_us=desk.now_us + 20 * SECOND_US)
    desk.now_us += 10 * SECOND_US
    assert submits(desk.hear(R.ABSENT, FROM.QUERY)) == []
    assert desk.state() == "SUBMITTING"


def test_a_resend_that_was_held_back_leaves_the_first_as_unknown_as_it_was() -> None:
    desk = unknown()
    desk.now_us += 4 * SECOND_US
    desk.hear(R.ABSENT, FROM.QUERY)
    desk.hear(R.NOT_SENT, FROM.SUBMIT, reason=Reason.GATE_NO_PERMIT)
    assert desk.state() == "UNKNOWN"
    assert desk.orders()[-1].reason is Reason.GATE_NO_PERMIT
    desk.hear(R.OPEN, FROM.STREAM, filled="0")
    assert desk.state() == "ACKNOWLEDGED"
    assert desk.notes() == []


def test_a_resend_that_was_held_back_is_not_tried_again_at_once() -> None:
    """Nobody has doubted it since: when it could have arrived last is not known any more."""
    desk = unknown(watch={"resends_max": 2})
    desk.now_us += 4 * SECOND_US
    desk.hear(R.ABSENT, FROM.QUERY)
    desk.hear(R.NOT_SENT, FROM.SUBMIT, reason=Reason.GATE_NO_PERMIT)
    desk.now_us += 5 * SECOND_US
    assert submits(desk.hear(R.ABSENT, FROM.QUERY)) == []


def test_the_first_may_arrive_while_the_resend_is_held_back() -> None:
    desk = unknown()
    desk.now_us += 4 * SECOND_US
    desk.hear(R.ABSENT, FROM.QUERY)
    desk.hear(R.OPEN, FROM.STREAM, filled="0")
    desk.hear(R.NOT_SENT, FROM.SUBMIT, reason=Reason.GATE_NO_PERMIT)
    assert desk.state() == "ACKNOWLEDGED"
    assert desk.notes() == []


# An order that takes at once slips only so far.


@pytest.mark.parametrize(
    ("side", "limit", "sent"),
    [
        ("BUY", "98.9", "98.9"),
        ("BUY", "99", "99"),
        ("BUY", "99.2", "99.2"),
        ("BUY", "120", "99.4"),
        ("SELL", "98.1", "98.1"),
        ("SELL", "98", "98"),
        ("SELL", "97.7", "97.7"),
        ("SELL", "50", "97.6"),
    ],
)
def test_an_order_that_takes_is_sent_at_the_best_price_and_the_slippage_at_most(
    side: str, limit: str, sent: str
) -> None:
    """Market at 98 to 99, 50 basis points, tick 0.1: 99.495 down for a buy, 97.51 up for a sale."""
    desk = Desk()
    desk.step(config_message(slippage_bps_max=50))
    desk.instrument()
    desk.quote("98", "99")
    (submit,) = submits(desk.approve(side=side, limit_price=limit))
    assert submit.placing.limit_price == Decimal(sent)
    assert desk.orders()[-1].limit_price == Decimal(sent)


def test_a_trade_is_judged_by_the_price_that_was_sent() -> None:
    desk = Desk()
    desk.step(config_message(slippage_bps_max=0))
    desk.quote("98", "99")
    desk.approve()
    desk.hear(R.FILLED, FROM.SUBMIT, filled="2", trades=(trade(1, "2", "99.5"),))
    assert [note.difference for note in desk.notes()] == [Difference.PRICE_DRIFT]


def test_a_tick_wider_than_the_slippage_leaves_the_best_price_and_so_does_an_unknown_instrument() -> None:
    for tick in ("5", None):
        desk = Desk()
        desk.step(config_message(slippage_bps_max=50))
        if tick is not None:
            desk.instrument(tick)
        desk.quote("98", "99")
        (submit,) = submits(desk.approve(limit_price="120"))
        assert submit.placing.limit_price == 99


@pytest.mark.parametrize(("reduce_only", "sent"), [(True, True), (False, False)])
@pytest.mark.parametrize("quoted", [True, False])
def test_without_a_fresh_quote_only_what_reduces_is_sent(reduce_only: bool, sent: bool, quoted: bool) -> None:
    desk = Desk()
    desk.step(config_message(slippage_bps_max=50))
    if quoted:
        desk.quote("98", "99")
        desk.wait(5 * SECOND_US + 1)
    step = desk.approve(reduce_only=reduce_only)
    assert bool(submits(step)) is sent
    if not sent:
        assert (desk.state(), desk.orders()[-1].reason) == ("REJECTED", Reason.DATA_STALE)
        assert not any(isinstance(effect, Query) for effect in step.effects)


def test_a_post_only_order_is_never_tightened() -> None:
    desk = Desk()
    desk.step(config_message(slippage_bps_max=50))
    desk.quote("98", "99")
    (submit,) = submits(desk.approve(limit_price="120", post_only=True))
    assert submit.placing.limit_price == 120
