"""All gates together: every reason in one order, nothing changed by asking, and what a cancel must pass."""

from decimal import Decimal
from typing import Any

import pytest
from risk_rows import OTHER_ID

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState, InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Outcome
from tollgate_contracts.strategy import Action
from tollgate_risk.core.case import open_case
from tollgate_risk.core.gates import CANCEL_GATES, SUBMIT_GATES, judge

MALFORMED = [Reason.INTENT_MALFORMED]
PACED = {"pace.global_spacing_ms": 10, "pace.symbol_cooldown_ms": 100, "pace.reducing_symbol_cooldown_ms": 20}


def test_a_rejection_carries_every_reason_in_the_order_of_the_taxonomy(desk):
    """An intent against which nearly everything can be said hears nearly everything, in one fixed order."""
    rules = {
        "mode": "REDUCE_ONLY",
        "universe.allowed": ["ETH-USDT", "BTC-USDT"],
        "universe.excluded": ["BTC-USDT"],
        "limits.order_notional": "100",
        "limits.position_notional": "200",
        "limits.gross_exposure": "300",
        "limits.open_orders": 0,
        "limits.open_orders_symbol": 0,
        "limits.orders_per_cycle": 1,
        **PACED,
    }
    desk.open(rules, cash="10", environment="live")
    desk.core.state.pacing.count("BTC-USDT", desk.now_us, reducing=False)
    desk.kill(engaged=True, epoch=3)
    desk.instrument(
        status=InstrumentStatus.HALTED,
        valid_until_us=desk.now_us,
        min_quantity=Decimal(1_000),
        min_notional=Decimal(1_000_000),
    )
    desk.feed(FeedState.GAP)
    first = desk.intent("BUY", "10.0005", "150.005", post_only=True)
    desk.decide(first)
    desk.now_us += 3_000_000
    desk.core.state.pacing.last_entry_us = desk.now_us
    desk.core.state.pacing.last_order_us["BTC-USDT"] = desk.now_us
    seen = [finding.code for finding in desk.decide(first.model_copy(update={"ts_us": desk.now_us})).findings]
    never_together = {Reason.GATE_NOT_ARMED, Reason.GATE_OBSERVE_ONLY, Reason.UNIVERSE_NOT_ALLOWED,
                      Reason.INSTRUMENT_UNKNOWN, Reason.DATA_NO_MARK}  # fmt: skip
    ours = [reason for reason in Reason if reason in ALL_GATED and reason not in never_together]
    assert seen == ours


ALL_GATED = {
    Reason.GATE_DRY_RUN, Reason.GATE_NOT_ARMED, Reason.GATE_KILL_SWITCH, Reason.GATE_REDUCE_ONLY,
    Reason.GATE_OBSERVE_ONLY, Reason.INTENT_EXPIRED, Reason.INTENT_DUPLICATE, Reason.INTENT_MALFORMED,
    Reason.UNIVERSE_NOT_ALLOWED, Reason.UNIVERSE_EXCLUDED, Reason.INSTRUMENT_UNKNOWN, Reason.INSTRUMENT_HALTED,
    Reason.INSTRUMENT_METADATA_STALE, Reason.INSTRUMENT_PRECISION, Reason.INSTRUMENT_MIN_QUANTITY,
    Reason.INSTRUMENT_MIN_NOTIONAL, Reason.DATA_STALE, Reason.DATA_GAP, Reason.DATA_NO_MARK, Reason.PRICE_COLLAR,
    Reason.PRICE_CROSSED_POST_ONLY, Reason.LIMIT_ORDER_NOTIONAL, Reason.LIMIT_POSITION_NOTIONAL,
    Reason.LIMIT_GROSS_EXPOSURE, Reason.LIMIT_OPEN_ORDERS, Reason.LIMIT_OPEN_ORDERS_SYMBOL,
    Reason.LIMIT_ORDERS_PER_CYCLE, Reason.CASH_RESERVE, Reason.CASH_INSUFFICIENT, Reason.PACE_GLOBAL_SPACING,
    Reason.PACE_SYMBOL_COOLDOWN,
}  # fmt: skip


def test_there_is_one_gate_for_each_reason_of_this_slice():
    """No gate is missing from the pipeline, and none stands in it twice."""
    assert len(SUBMIT_GATES) == len(set(SUBMIT_GATES)) == len(ALL_GATED)
    assert all(gate.__doc__ for gate in SUBMIT_GATES + CANCEL_GATES)


def test_gates_change_nothing(open_desk):
    """To judge is not to act: the state after judging is the state before."""
    before = open_desk.core.snapshot()
    state = open_desk.core.state
    judge(open_case(open_desk.intent(), state, state.policy))
    assert open_desk.core.snapshot() == before


def cancel_of(desk: Any, client_order_id: str, **fields: Any) -> Any:
    given = {"symbol": "BTC-USDT", "side": "BUY", **fields}
    return desk.ask(action=Action.CANCEL, client_order_id=client_order_id, **given)


def test_a_cancel_of_an_open_order_passes_whatever_else_is_shut(open_desk):
    """It makes risk smaller: kill switch, mode, limits and a broken feed do not stand in its way."""
    order = open_desk.ask()
    open_desk.policy({"mode": "OBSERVE_ONLY", "limits.open_orders": 0})
    open_desk.kill(engaged=True, epoch=1)
    open_desk.feed(FeedState.GAP)
    open_desk.instrument(status=InstrumentStatus.CANCEL_ONLY)
    decision = cancel_of(open_desk, order.client_order_id)
    assert decision.outcome is Outcome.APPROVED
    assert decision.action is Action.CANCEL
    again = cancel_of(open_desk, order.client_order_id)
    assert again.outcome is Outcome.APPROVED, "a cancel that got lost may be asked for again"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, [], id="as it is"),
        pytest.param({"symbol": "ETH-USDT"}, MALFORMED, id="another symbol"),
        pytest.param({"side": "SELL"}, MALFORMED, id="another side"),
        pytest.param({"expires_us": 1}, [Reason.INTENT_EXPIRED], id="expired"),
    ],
)
def test_a_cancel_repeats_the_order_it_cancels(open_desk, fields, expected):
    """A cancel that names one order and describes another is a mistake."""
    order = open_desk.ask()
    assert [f.code for f in cancel_of(open_desk, order.client_order_id, **fields).findings] == expected


def test_a_cancel_of_an_order_that_is_over_or_unknown_is_refused(open_desk):
    """There is nothing to cancel."""
    order = open_desk.ask()
    open_desk.order(order.client_order_id, OrderState.CANCELLED)
    assert [f.code for f in cancel_of(open_desk, order.client_order_id).findings] == MALFORMED
    assert [f.code for f in cancel_of(open_desk, OTHER_ID).findings] == MALFORMED
