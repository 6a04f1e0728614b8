"""What only the journal knows is taken back: a later attempt as the order that it is, a late trade and nothing else."""

import json
from decimal import Decimal
from typing import Any

import pytest
from execution_samples import SECOND_US, TRUSTED, Desk, config_message, order_id, signed_approval, trade
from protection_samples import PROTECTED

from tollgate_contracts.core import Step
from tollgate_contracts.execution import OrderState, ReportSource, ReportStatus
from tollgate_contracts.reconciliation import Adoption
from tollgate_contracts.strategy import Side
from tollgate_execution.core import Cancel, ExecutionCore, Submit
from tollgate_execution.core.placing import attempt_id
from tollgate_execution.core.protection import stop_id
from tollgate_execution.verification import Verifier

R, FROM = ReportStatus, ReportSource
SECOND = attempt_id(order_id(1), 2)
STOP = stop_id(order_id(1), 1)
MINUTE_US = 60 * SECOND_US


def adoption(desk: Desk, signed: Any = None, **changes: Any) -> Adoption:
    """Return the journal's word that an order is ours; its second attempt unless the changes say otherwise."""
    fields: dict[str, Any] = {
        "id": f"execution:simulated:adoption-{desk.sequence}",
        "client_order_id": SECOND,
        "attempt": 2,
        "protects": None,
        "ended_as": None,
        "decision_id": "risk:7:0",
        "approval": signed or signed_approval(1),
    }
    return Adoption(**{**fields, **changes}, **desk.envelope())


def first(desk: Desk, signed: Any = None, **changes: Any) -> Adoption:
    """Return the journal's word that an order, as approved, is ours."""
    return adoption(desk, signed, **{"client_order_id": order_id(1), "attempt": 1, **changes})


def differences(desk: Desk) -> list[tuple[str, str, str]]:
    return [(note.subject, note.difference.value, note.repair.value) for note in desk.notes()]


def test_a_later_attempt_that_the_tape_has_lost_is_taken_back_and_fills_the_order() -> None:
    desk = Desk()
    desk.now_us += MINUTE_US
    desk.step(adoption(desk))
    assert (desk.state(), desk.record().placing.attempt) == ("UNKNOWN", 2)
    assert differences(desk) == [(order_id(1), "FOREIGN_ORDER", "ADOPTED")]
    desk.hear(R.OPEN, FROM.QUERY, filled="0", attempt=2, venue_order_id="v2")
    assert desk.state() == "ACKNOWLEDGED"
    made = trade(1, "2", venue_ts_us=desk.now_us)
    desk.hear(R.FILLED, FROM.STREAM, filled="2", trades=(made,), attempt=2)
    assert desk.state() == "FILLED"
    assert [fill.client_order_id for fill in desk.fills()] == [order_id(1)]


@pytest.mark.parametrize("cancelled", [False, True])
def test_an_order_that_the_tape_holds_at_an_earlier_attempt_goes_over_to_the_one_that_was_sent(cancelled: bool) -> None:
    """The refusal of the first and the sending of the second were lost; a cancel that is wanted stays wanted."""
    desk = Desk()
    desk.approve(post_only=True, time_in_force="GTC")
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    if cancelled:
        desk.approve(action="CANCEL")
    desk.step(adoption(desk))
    assert (desk.state(), desk.record().placing.venue_id) == ("UNKNOWN", SECOND)
    assert [(order.attempt, order.to_state.value) for order in desk.orders()][-1] == (2, "UNKNOWN")
    desk.hear(R.OPEN, FROM.QUERY, filled="0", attempt=2)
    assert desk.state() == ("CANCELLING" if cancelled else "ACKNOWLEDGED")
    if cancelled:
        # At once, and not when the order is looked at next.
        assert [each.client_order_id for each in desk.asked if isinstance(each, Cancel)][-1:] == [SECOND]


def test_an_attempt_of_an_order_that_is_over_here_is_cancelled_and_what_it_has_traded_is_booked() -> None:
    """The first attempt was shown absent for so long that the order has expired; its end is final."""
    desk = Desk()
    desk.approve(time_in_force="GTC")
    desk.hear(R.NO_ANSWER, FROM.SUBMIT)
    desk.now_us += MINUTE_US
    desk.hear(R.ABSENT, FROM.QUERY)
    assert desk.state() == "EXPIRED"
    desk.step(adoption(desk))
    assert desk.state() == "EXPIRED"
    made = trade(1, "1", venue_ts_us=desk.now_us)
    step = desk.hear(R.OPEN, FROM.QUERY, filled="1", trades=(made,), attempt=2)
    assert [each.client_order_id for each in step.effects if isinstance(each, Cancel)] == [SECOND]
    assert [fill.trade for fill in desk.fills()] == [made]
    assert desk.state() == "EXPIRED"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"attempt": 3}, id="the id is another attempt's"),
        pytest.param({"client_order_id": order_id(2), "attempt": 1}, id="the id is another order's"),
        pytest.param({"ended_as": OrderState.UNKNOWN}, id="it has ended as nothing that is an end"),
        pytest.param({"protects": order_id(1), "ended_as": OrderState.FILLED}, id="nothing was to be protected"),
    ],
)
def test_what_the_approval_does_not_bear_out_is_not_taken_back(changes: dict[str, Any]) -> None:
    desk = Desk()
    assert desk.step(adoption(desk, **changes)).outputs == ()
    assert desk.core.orders.active() == ()
    assert not [*desk.core.orders.newest()]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"ended_as": None}, id="it may be live"),
        pytest.param({"protects": order_id(2)}, id="it protects another order"),
    ],
)
def test_a_stop_that_may_be_live_or_is_another_s_is_not_taken_back(changes: dict[str, Any]) -> None:
    """A live one is come upon by the order that it protects: only that one knows what is to be protected."""
    desk = Desk()
    of_a_stop = {"client_order_id": STOP, "attempt": 1, "protects": order_id(1), "ended_as": OrderState.FILLED}
    assert desk.step(adoption(desk, signed_approval(1, **PROTECTED), **{**of_a_stop, **changes})).outputs == ()
    assert not [*desk.core.orders.newest()]


def test_an_attempt_before_the_one_that_is_held_changes_nothing() -> None:
    desk = Desk()
    desk.step(adoption(desk))
    before = json.dumps(desk.core.snapshot())
    desk.step(first(desk))
    desk.step(adoption(desk))
    assert json.dumps(desk.core.snapshot()) == before


class Forgetful(Desk):
    """A desk that has bought 1 of 2 by trade t1, saw the rest cancelled, and has forgotten the order since."""

    def __init__(self, **approved: Any) -> None:
        super().__init__()
        self.signed = signed_approval(1, **approved)
        self.now_us += SECOND_US
        self.step(config_message(watch={"forget_after_us": MINUTE_US}))
        self.approve(1, **approved)
        made = trade(1, "1", venue_ts_us=self.now_us)
        self.hear(R.CANCELLED, FROM.SUBMIT, filled="1", trades=(made,))
        self.counts = self.core.status()["orders"]
        self.wait(2 * MINUTE_US)
        assert self.core.orders.find(order_id(1)) is None
        self.late = trade(2, "0.5", venue_ts_us=self.now_us)

    def reopen(self) -> Step:
        """Let the journal say that the order is ours, and how it has ended."""
        return self.step(first(self, self.signed, ended_as=OrderState.CANCELLED))


def test_a_late_trade_of_a_forgotten_order_is_booked_once_and_its_end_is_not_told_again() -> None:
    desk = Forgetful()
    assert desk.reopen().outputs == ()
    for _ in range(2):
        desk.hear(R.TRADED, FROM.FILLS, trades=(desk.late,))
    assert [fill.trade.trade_id for fill in desk.fills()] == ["t1", "t2"]
    assert desk.state() == "CANCELLED"
    assert differences(desk) == [(order_id(1), "LATE_FILL", "BOOKED")]
    assert desk.core.status()["positions"] == {"BTC-USDT": "1.5"}
    assert desk.core.status()["orders"] == desk.counts
    assert [order.to_state.value for order in desk.orders()] == ["SUBMITTING", "CANCELLED"]
    desk.wait(2 * MINUTE_US)
    assert desk.core.orders.find(order_id(1)) is None


def test_of_a_forgotten_order_nothing_is_heard_but_the_list_of_fills() -> None:
    """Every other source lists what was booked before it was forgotten, and nobody could tell it apart."""
    desk = Forgetful()
    desk.reopen()
    both = (trade(1, "1", venue_ts_us=desk.now_us), desk.late)
    for source in (FROM.QUERY, FROM.STREAM, FROM.CANCEL):
        for status in (R.OPEN, R.CANCELLED):
            step = desk.hear(status, source, filled="1.5", trades=both)
            assert (step.outputs, step.effects) == ((), ())
    assert len(desk.fills()) == 1


def test_a_trade_that_is_booked_or_in_the_opening_balances_is_not_late() -> None:
    desk = Forgetful()
    desk.reopen()
    opening = trade(3, "0.1")
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(1, "1", venue_ts_us=desk.now_us), opening, desk.late))
    assert [fill.trade.trade_id for fill in desk.fills()] == ["t1", "t2"]


def test_a_late_trade_beyond_what_was_approved_is_flagged() -> None:
    desk = Forgetful()
    desk.reopen()
    desk.hear(R.TRADED, FROM.FILLS, trades=(trade(2, "2.1", venue_ts_us=desk.now_us),))
    assert len(desk.fills()) == 1
    assert differences(desk) == [("t2", "QUANTITY_DRIFT", "FLAGGED")]


def test_without_the_journal_s_word_a_late_trade_is_flagged_and_not_booked() -> None:
    desk = Forgetful()
    desk.hear(R.TRADED, FROM.FILLS, trades=(desk.late,))
    assert differences(desk) == [(order_id(1), "FOREIGN_FILL", "FLAGGED")]
    assert len(desk.fills()) == 1


def test_what_a_forgotten_stop_sells_late_is_booked_as_a_sale() -> None:
    desk = Forgetful()
    signed = signed_approval(1, **PROTECTED)
    ended = {"client_order_id": STOP, "attempt": 1, "protects": order_id(1), "ended_as": OrderState.CANCELLED}
    desk.step(adoption(desk, signed, **ended))
    report = desk.report(R.TRADED, FROM.FILLS, trades=(trade(7, "1", "94", venue_ts_us=desk.now_us),))
    desk.step(report.model_copy(update={"client_order_id": STOP}))
    last = desk.fills()[-1]
    assert (last.client_order_id, last.side) == (STOP, Side.SELL)
    assert desk.core.status()["positions"] == {}


def test_what_a_protected_order_fills_after_it_was_forgotten_is_said_to_be_unprotected() -> None:
    """Which of its stops were used is forgotten with it: a used number would bring back trades that are booked."""
    desk = Forgetful(**PROTECTED)
    before = len([each for each in desk.asked if isinstance(each, Submit)])
    desk.reopen()
    desk.core.protecting.covers.clear()
    desk.hear(R.TRADED, FROM.FILLS, trades=(desk.late,))
    assert (order_id(1), "UNPROTECTED", "FLAGGED") in differences(desk)
    assert len([each for each in desk.asked if isinstance(each, Submit)]) == before


def test_a_core_restored_with_a_reopened_order_books_it_as_the_other_does() -> None:
    desk = Forgetful()
    desk.reopen()
    restored = ExecutionCore(Verifier(TRUSTED).approval)
    restored.restore(json.loads(json.dumps(desk.core.snapshot())))
    report = desk.report(R.TRADED, FROM.FILLS, trades=(desk.late,))
    sequence = desk.sequence + 1
    assert restored.step(sequence, report).outputs == desk.step(report).outputs
    assert restored.portfolio is not None
    assert restored.portfolio.holding("BTC-USDT").quantity == Decimal("1.5")
