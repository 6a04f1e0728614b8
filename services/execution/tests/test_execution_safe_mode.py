"""Safe mode in the core: no entry is taken, what rests unprotected is taken back, and exits go on."""

import json
from typing import Any

import pytest
from execution_samples import SECOND_US, TRUSTED, Desk, order_id, signed_approval, trade

from tollgate_contracts.core import Step
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.safety import Dependency, SafeMode
from tollgate_execution.core import Cancel, ExecutionCore, Submit
from tollgate_execution.verification import Verifier

D = Dependency


def safe_mode(desk: Desk, *degraded: Dependency) -> Step:
    """Put safe mode on the tape: engaged by what is degraded, released by nothing."""
    return desk.step(
        SafeMode(
            id=f"execution:simulated:safe-mode-{desk.sequence}",
            engaged=bool(degraded),
            degraded=degraded,
            detail="",
            **desk.envelope(),
        )
    )


def rest(desk: Desk, number: int, **changes: Any) -> None:
    """Have an order work at the venue."""
    desk.approve(number, time_in_force="GTC", **changes)
    desk.hear(ReportStatus.OPEN, ReportSource.SUBMIT, number=number, filled="0", venue_order_id=f"v{number}")


def hold(desk: Desk, number: int = 99) -> None:
    """Hold two units."""
    desk.approve(number)
    fill = trade(number, "2")
    desk.hear(ReportStatus.FILLED, ReportSource.SUBMIT, number=number, filled="2", trades=(fill,), venue_order_id="v")


def cancels(step: Step) -> list[tuple[str, Reason | None]]:
    return [(effect.client_order_id, effect.why) for effect in step.effects if isinstance(effect, Cancel)]


def test_entries_that_rest_are_cancelled_and_what_makes_a_position_smaller_stays() -> None:
    desk = Desk()
    hold(desk)
    rest(desk, 1)
    rest(desk, 2, side="SELL", reduce_only=True, limit_price="120")
    rest(desk, 3, symbol="ETH-USDT")
    step = safe_mode(desk, D.VENUE_ORDERS)
    assert cancels(step) == [(order_id(1), Reason.GATE_SAFE_MODE), (order_id(3), Reason.GATE_SAFE_MODE)]
    assert [desk.state(number) for number in (1, 2, 3)] == ["CANCELLING", "ACKNOWLEDGED", "CANCELLING"]


def test_an_order_that_is_over_is_left_alone() -> None:
    desk = Desk()
    hold(desk)
    assert safe_mode(desk, D.USER_STREAM).effects == ()


def test_each_further_word_of_safe_mode_asks_for_nothing_twice() -> None:
    desk = Desk()
    rest(desk, 1)
    assert len(cancels(safe_mode(desk, D.VENUE_ORDERS))) == 1
    assert cancels(safe_mode(desk, D.VENUE_ORDERS, D.USER_STREAM)) == []


def test_an_entry_whose_outcome_is_unknown_is_to_be_cancelled_too_and_stays_unknown() -> None:
    desk = Desk()
    desk.approve(1)
    desk.hear(ReportStatus.NO_ANSWER, ReportSource.SUBMIT)
    assert cancels(safe_mode(desk, D.VENUE_ORDERS)) == [(order_id(1), Reason.GATE_SAFE_MODE)]
    assert desk.state(1) == "UNKNOWN"


def test_an_entry_is_refused_with_what_is_degraded_and_taken_again_afterwards() -> None:
    desk = Desk()
    safe_mode(desk, D.MARKET_DATA, D.PERMIT)
    assert desk.approve(1).effects == ()
    (refusal,) = desk.refusals()
    assert refusal.codes == (Reason.GATE_SAFE_MODE,)
    assert refusal.detail == "safe mode: MARKET_DATA, PERMIT"
    safe_mode(desk)
    assert [type(effect) for effect in desk.approve(2).effects] == [Submit]


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        pytest.param({"reduce_only": True}, True, id="takes off what is held"),
        pytest.param({"reduce_only": True, "quantity": "1"}, True, id="takes off a part"),
        pytest.param({"reduce_only": True, "quantity": "2.00000001"}, False, id="takes off more than is held"),
        pytest.param({"reduce_only": False}, False, id="is not called reducing"),
        pytest.param({"reduce_only": True, "side": "BUY"}, False, id="is called reducing and is not"),
        pytest.param({"reduce_only": True, "symbol": "ETH-USDT"}, False, id="reduces what is not held"),
    ],
)
def test_in_safe_mode_only_what_reduces_by_our_own_count_is_let_through(changes: dict[str, Any], passes: bool) -> None:
    desk = Desk()
    hold(desk)
    safe_mode(desk, D.RECONCILIATION)
    step = desk.approve(1, **{"side": "SELL", **changes})
    assert [type(effect) for effect in step.effects] == ([Submit] if passes else [])


def test_a_cancel_is_let_through_in_safe_mode() -> None:
    desk = Desk()
    hold(desk)
    rest(desk, 1, side="SELL", reduce_only=True, limit_price="120")
    safe_mode(desk, D.STOPPING)
    assert cancels(desk.approve(1, action="CANCEL", side="SELL", reduce_only=True)) == [(order_id(1), None)]


def test_safe_mode_is_shown_and_survives_a_restart() -> None:
    desk = Desk()
    safe_mode(desk, D.MARKET_DATA)
    since_us = desk.now_us
    desk.now_us += SECOND_US
    safe_mode(desk, D.MARKET_DATA, D.PERMIT)
    shown = {"engaged": True, "degraded": ["MARKET_DATA", "PERMIT"], "since_us": since_us}
    assert desk.core.status()["safe_mode"] == shown
    again = ExecutionCore(Verifier(TRUSTED).approval)
    again.restore(json.loads(json.dumps(desk.core.snapshot())))
    assert again.status()["safe_mode"] == shown
    assert json.dumps(again.snapshot()) == json.dumps(desk.core.snapshot())


def unknown(desk: Desk, number: int = 1) -> None:
    """Have an order's outcome unknown."""
    desk.approve(number)
    desk.hear(ReportStatus.NO_ANSWER, ReportSource.SUBMIT, number=number)


@pytest.mark.parametrize("outcome", [ReportStatus.CANCELLED, ReportStatus.EXPIRED, ReportStatus.REJECTED])
def test_an_operator_s_word_ends_an_order_of_unknown_outcome(outcome: ReportStatus) -> None:
    desk = Desk()
    unknown(desk)
    desk.hear(outcome, ReportSource.OPERATOR, reason=Reason.ORDER_OPERATOR)
    assert desk.state() == outcome.value
    assert desk.orders()[-1].reason is Reason.ORDER_OPERATOR


def test_a_trade_that_the_venue_lists_after_an_operator_s_word_is_booked_as_a_late_one() -> None:
    desk = Desk()
    unknown(desk)
    desk.hear(ReportStatus.CANCELLED, ReportSource.OPERATOR, reason=Reason.ORDER_OPERATOR)
    desk.hear(ReportStatus.TRADED, ReportSource.FILLS, trades=(trade(1, "2"),))
    assert desk.state() == "CANCELLED"
    assert [fill.trade.trade_id for fill in desk.fills()] == ["t1"]
    assert "LATE_FILL" in [note.difference.value for note in desk.notes()]


def test_an_operator_s_word_on_an_order_whose_outcome_is_known_changes_nothing() -> None:
    desk = Desk()
    rest(desk, 1)
    desk.hear(ReportStatus.CANCELLED, ReportSource.OPERATOR, reason=Reason.ORDER_OPERATOR)
    assert desk.state(1) == "ACKNOWLEDGED"


def test_the_approval_of_an_order_that_was_refused_in_safe_mode_is_not_used_up_by_that() -> None:
    desk = Desk()
    safe_mode(desk, D.PERMIT)
    signed = signed_approval(1, issued_us=desk.now_us, expires_us=desk.now_us + 5 * SECOND_US)
    desk.decide(signed)
    safe_mode(desk)
    assert [type(effect) for effect in desk.decide(signed).effects] == [Submit]
