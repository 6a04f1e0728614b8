"""All gates together: every reason in one order, nothing changed by asking, and what a cancel must pass."""

import importlib
from decimal import Decimal
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from risk_rows import GATES, OTHER_ID, ROWS, Edge

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState, InstrumentStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import Outcome
from tollgate_contracts.strategy import Action, TimeInForce
from tollgate_risk.core.case import Measure, open_case
from tollgate_risk.core.gates import CANCEL_GATES, SUBMIT_GATES, judge, look

MALFORMED = [Reason.INTENT_MALFORMED]
PACED = {"pace.global_spacing_ms": 10, "pace.symbol_cooldown_ms": 100, "pace.reducing_symbol_cooldown_ms": 20}


NEVER_TOGETHER = {
    Reason.GATE_OBSERVE_ONLY,  # there is one mode at a time
    Reason.UNIVERSE_NOT_ALLOWED,  # only an allowed symbol can be excluded
    Reason.INSTRUMENT_UNKNOWN,  # and then nothing else is known of the instrument
    Reason.LIMIT_CONCENTRATION,  # a missing mark hides equity
    Reason.PRICE_SELF_CROSS,  # needs an open order, and so a desk that let one through
}
# These have tables of their own, over the results and positions that they need.
TOLD_ELSEWHERE = {
    reason
    for reason in Reason
    if reason.value.startswith(("loss.", "margin.")) or reason.value.endswith("outcome_cooldown")
}


def test_a_rejection_carries_every_reason_in_the_order_of_the_taxonomy(desk):
    """An intent against which nearly everything can be said hears nearly everything, in one fixed order."""
    nothing = {"symbol": "BTC-USDT", "units": "0.001"}
    rules = {
        "mode": "REDUCE_ONLY",
        "universe.allowed": ["ETH-USDT", "BTC-USDT"],
        "universe.excluded": ["BTC-USDT"],
        "limits.order_notional": "100",
        "limits.cycle_notional": "100",
        "limits.position_notional": "200",
        "limits.position_units": [nothing, {**nothing, "symbol": "ETH-USDT"}],
        "limits.gross_exposure": "300",
        "limits.net_exposure": "300",
        "limits.groups": [{"name": "all", "symbols": ["BTC-USDT"], "exposure": "1"}],
        "limits.open_orders": 0,
        "limits.open_orders_symbol": 0,
        "limits.orders_per_cycle": 1,
        "pace.orders_per_hour": 0,
        "pace.orders_per_day": 0,
        "pace.burst": 1,
        "pace.rate_per_s": 1,
        **PACED,
    }
    desk.open(rules, cash="10", environment="live")
    state = desk.core.state
    desk.kill(engaged=True, epoch=3)
    desk.hold("0.01", symbol="AVAX-USDT")
    desk.instrument(
        status=InstrumentStatus.HALTED,
        valid_until_us=desk.now_us,
        min_quantity=Decimal(1_000),
        min_notional=Decimal(1_000_000),
    )
    desk.quote(venue_ts_us=desk.now_us - 2_000_000)
    desk.feed(FeedState.GAP)
    first = desk.intent("BUY", "10.0005", "150.005", post_only=True)
    desk.decide(first)
    desk.now_us += 3_000_000
    state.pacing.count("BTC-USDT", "", Decimal(1), state.policy.rules.pace, desk.now_us, reducing=False)
    seen = [finding.code for finding in desk.decide(first.model_copy(update={"ts_us": desk.now_us})).findings]
    assert seen == [reason for reason in Reason if reason in seen]
    assert set(seen) >= set(GATES) - NEVER_TOGETHER - TOLD_ELSEWHERE
    assert not set(seen) & NEVER_TOGETHER


EVERY_GATE_ON = {
    **PACED,
    "intents.repeat_ms": 200,
    "limits.cycle_notional": "20000",
    "limits.open_orders_symbol": 3,
    "limits.position_units": [{"symbol": s, "units": "100"} for s in ("BTC-USDT", "ETH-USDT", "SOL-USDT")],
    "limits.net_exposure": "20000",
    "limits.concentration_bps": "2000",
    "limits.groups": [{"name": "majors", "symbols": ["BTC-USDT", "ETH-USDT"], "exposure": "15000"}],
    "pace.rate_per_s": 20,
    "pace.burst": 40,
    "pace.orders_per_hour": 100,
    "pace.orders_per_day": 1_000,
}
SILENT_FOR_A_BUY = {Reason.GATE_REDUCE_ONLY, *TOLD_ELSEWHERE}


def test_with_every_gate_on_a_good_order_is_measured_by_each_and_approved(desk):
    """No gate is silent by accident: each has seen the order, with its limit, and kept its rule."""
    desk.open(EVERY_GATE_ON)
    desk.hold("20")
    for side, symbol, price in (("BUY", "BTC-USDT", "99.5"), ("SELL", "BTC-USDT", "100.5"), ("BUY", "ETH-USDT", "100")):
        assert desk.reasons(side, "1", price, symbol=symbol) == []
        desk.wait(100_000)
    state = desk.core.state
    intent = desk.intent("BUY", "10", "100", post_only=True, time_in_force=TimeInForce.GTC)
    measures = {measure.code: measure for measure in look(open_case(intent, state, state.policy))}
    assert set(GATES) - set(measures) <= SILENT_FOR_A_BUY
    assert all(measure.is_kept for measure in measures.values())
    assert desk.decide(intent).outcome is Outcome.APPROVED


def test_there_is_one_gate_for_each_reason_in_the_order_of_the_taxonomy():
    """No gate stands in the pipeline twice, and each says what it does."""
    assert len(SUBMIT_GATES) == len(GATES)
    assert list(GATES) == [reason for reason in Reason if reason in GATES]
    assert all(gate.__doc__ for gate in SUBMIT_GATES + CANCEL_GATES)


WITHOUT_A_SCALE = {
    Reason.GATE_DRY_RUN, Reason.GATE_NOT_ARMED, Reason.GATE_KILL_SWITCH, Reason.GATE_OBSERVE_ONLY,
    Reason.INTENT_MALFORMED, Reason.UNIVERSE_NOT_ALLOWED, Reason.UNIVERSE_EXCLUDED, Reason.INSTRUMENT_UNKNOWN,
    Reason.INSTRUMENT_HALTED, Reason.INSTRUMENT_PRECISION, Reason.DATA_GAP, Reason.DATA_NO_MARK,
}  # fmt: skip


@pytest.mark.parametrize("reason", GATES)
def test_every_gate_has_rows_at_its_limit_and_on_either_side_and_where_it_is_silent(reason):
    """A gate that joins the pipeline joins the tables: at, under and over, or kept and refused; and silent."""
    for file in sorted(Path(__file__).parent.glob("test_risk_gates*.py")):
        if file.stem != Path(__file__).stem:
            importlib.import_module(file.stem)
    asked = {Edge.KEPT, Edge.REFUSED} if reason in WITHOUT_A_SCALE else {Edge.AT, Edge.UNDER, Edge.OVER}
    if get_type_hints(GATES[reason])["return"] is not Measure:
        asked = asked | {Edge.SILENT}
    shown = {row.edge for row in ROWS if row.gate is reason}
    missing = sorted(edge.value for edge in asked - shown)
    assert not missing, f"{reason} has no row for {', '.join(missing)}"


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
