"""Venue and gate compared: what differs, what is not judged yet, what a release waits for, and the proof of flat."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from tollgate_contracts.execution import OrderState
from tollgate_contracts.marketdata import FeedState, MarginTerms
from tollgate_contracts.reconciliation import Account, Balance, VenuePosition
from tollgate_contracts.strategy import Side
from tollgate_risk.core import RiskCore
from tollgate_risk.core.reconciliation import WORDS_MAX, clean, flat, not_flat

NO_STATEMENT = "the venue has not stated the account since the switch was engaged, with no order open"
ORDER_ID = "tg" + "a" * 30


def state_account(
    desk: Any,
    balances: dict[str, str],
    *,
    locked: dict[str, str] | None = None,
    positions: dict[str, str] | None = None,
    venue_ts_us: int | None = None,
    account: str = "main",
) -> None:
    """Let the venue state the account; ``balances`` are free."""
    currencies = dict.fromkeys((*balances, *(locked or {})))
    held = {
        currency: Balance(
            currency=currency,
            free=Decimal(balances.get(currency, "0")),
            locked=Decimal((locked or {}).get(currency, "0")),
        )
        for currency in currencies
    }
    stated = (
        VenuePosition(symbol=symbol, quantity=Decimal(quantity), entry_price=Decimal(100), liquidation_price=None)
        for symbol, quantity in (positions or {}).items()
    )
    desk.now_us += 1
    desk.step(
        Account(
            **desk.envelope("execution"),
            venue="simulated",
            account=account,
            balances=tuple(held.values()),
            positions=tuple(stated),
            maker_fee_bps=Decimal(10),
            taker_fee_bps=Decimal(20),
            venue_ts_us=desk.now_us if venue_ts_us is None else venue_ts_us,
        )
    )


def opened(desk: Any, tolerance: str = "0") -> Any:
    """Return a desk with 1,000 USDT and 2 BTC at a mark of 100, and the switch engaged at FLATTEN."""
    desk.policy({"reconciliation.tolerance_quote": tolerance})
    state_account(desk, {"USDT": "1000", "BTC": "2"})
    desk.instrument("BTC-USDT")
    desk.quote("BTC-USDT")
    return desk


AGREED = {"USDT": "1000", "BTC": "2"}


@pytest.mark.parametrize(
    ("tolerance", "balances", "locked", "differing"),
    [
        pytest.param("0", AGREED, {}, [], id="equal"),
        pytest.param("0", {"USDT": "900", "BTC": "0"}, {"USDT": "100", "BTC": "2"}, [], id="locked counts too"),
        pytest.param("0", {**AGREED, "DOGE": "7"}, {}, [], id="a currency that is not the desk's"),
        pytest.param("0", {"USDT": "1000.01", "BTC": "2"}, {}, ["USDT"], id="a cent too much"),
        pytest.param("0", {"USDT": "999.99", "BTC": "2"}, {}, ["USDT"], id="a cent too little"),
        pytest.param("0.01", {"USDT": "1000.01", "BTC": "2"}, {}, [], id="cash at the tolerance"),
        pytest.param("0.01", {"USDT": "1000.010001", "BTC": "2"}, {}, ["USDT"], id="cash beyond it"),
        pytest.param("0.01", {"USDT": "1000", "BTC": "2.0001"}, {}, [], id="at the tolerance at the mark"),
        pytest.param("0.01", {"USDT": "1000", "BTC": "1.9999"}, {}, [], id="the same below"),
        pytest.param("0.01", {"USDT": "1000", "BTC": "2.000101"}, {}, ["BTC"], id="beyond it at the mark"),
        pytest.param("1000", {"USDT": "1000", "BTC": "2", "ETH": "0.001"}, {}, ["ETH"], id="without a mark exactly"),
        pytest.param("0", {}, {}, ["USDT", "BTC"], id="nothing is stated"),
    ],
)
def test_what_differs(
    desk: Any, tolerance: str, balances: dict[str, str], locked: dict[str, str], differing: list[str]
) -> None:
    opened(desk, tolerance)
    state_account(desk, balances, locked=locked)
    reconciliation = desk.core.state.reconciliation
    assert [text.partition(":")[0] for text in reconciliation.differences] == differing
    assert (reconciliation.clean == reconciliation.judged) == (not differing)
    assert reconciliation.judged.sequence == desk.sequence
    assert reconciliation.judged.venue_ts_us == desk.now_us


def test_a_difference_names_both_sides(desk: Any) -> None:
    opened(desk)
    state_account(desk, {"USDT": "1000", "BTC": "2.5"})
    assert desk.core.state.reconciliation.differences == ("BTC: the venue has 2.5, the gate 2",)


def test_differences_are_bounded(desk: Any) -> None:
    symbols = [f"C{number:02d}-USDT" for number in range(40)]
    caps = [{"symbol": symbol, "units": "1"} for symbol in symbols]
    desk.policy({"universe.allowed": symbols, "limits.position_units": caps}, symbols=symbols)
    state_account(desk, {"USDT": "1000"})
    state_account(desk, {"USDT": "1000"} | {symbol[:3]: "1" for symbol in symbols})
    assert len(desk.core.state.reconciliation.differences) == WORDS_MAX + 1


def test_a_perpetual_is_compared_by_its_position_and_not_by_a_balance(desk: Any) -> None:
    desk.policy()
    terms = MarginTerms(initial_rate=Decimal("0.1"), maintenance_rate=Decimal("0.05"), leverage_max=Decimal(10))
    desk.instrument("BTC-USDT", margin=terms)
    state_account(desk, {"USDT": "1000"}, positions={"BTC-USDT": "-2"})
    assert desk.core.state.reconciliation.differences == ()
    state_account(desk, {"USDT": "1000", "BTC": "5"}, positions={"BTC-USDT": "-2"})
    assert desk.core.state.reconciliation.differences == ()
    state_account(desk, {"USDT": "1000"}, positions={"BTC-USDT": "-1"})
    assert desk.core.state.reconciliation.differences == ("BTC-USDT: the venue has -1, the gate -2",)
    state_account(desk, {"USDT": "1000"})
    assert desk.core.state.reconciliation.differences == ("BTC-USDT: the venue has 0, the gate -2",)


def test_a_position_in_what_the_desk_does_not_trade_is_a_difference(desk: Any) -> None:
    opened(desk)
    state_account(desk, AGREED, positions={"DOGE-USDT": "1"})
    assert desk.core.state.reconciliation.differences == ("DOGE-USDT: the venue has 1, the gate 0",)


def test_anothers_account_is_not_judged(desk: Any) -> None:
    opened(desk)
    before = desk.core.state.reconciliation.judged
    state_account(desk, {}, account="other")
    assert desk.core.state.reconciliation.judged == before


@pytest.mark.parametrize(("early_us", "is_judged"), [(0, True), (1, False)])
def test_a_statement_from_before_the_newest_fill_is_not_judged(desk: Any, early_us: int, is_judged: bool) -> None:
    """It cannot have the fill in it; that is no difference."""
    opened(desk)
    desk.fill("tg" + "f" * 30, "1")
    filled_us = desk.now_us
    before = desk.core.state.reconciliation.judged
    state_account(desk, {"USDT": "900", "BTC": "3"}, venue_ts_us=filled_us - early_us)
    assert (desk.core.state.reconciliation.judged != before) is is_judged
    assert desk.core.state.reconciliation.differences == ()


@pytest.mark.parametrize("order_state", [None, OrderState.ACKNOWLEDGED, OrderState.UNKNOWN, OrderState.CANCELLED])
def test_while_an_order_may_still_fill_nothing_is_judged(desk: Any, order_state: OrderState | None) -> None:
    """Not answered, working, unknown, or over with a fill still to come: the venue may know more than we do."""
    opened(desk)
    before = desk.core.state.reconciliation.judged
    if order_state is None:
        desk.feed(FeedState.UP)
        assert desk.ask("SELL", "0.1").findings == ()
    else:
        desk.order(ORDER_ID, OrderState.ACKNOWLEDGED)
        desk.order(ORDER_ID, order_state, "0.5" if order_state is OrderState.CANCELLED else "0")
    assert len(desk.core.state.orders) == 1
    state_account(desk, {"USDT": "950", "BTC": "2.5"})
    assert desk.core.state.reconciliation.judged == before


def engage(desk: Any, level: str = "FLATTEN", epoch: int = 1) -> None:
    desk.now_us += 1
    desk.kill(engaged=True, epoch=epoch, level=level)


def drifts(desk: Any) -> None:
    desk.drift("BTC", "0.5")


def drifts_no_more(desk: Any) -> None:
    desk.drift("BTC", "0.5")
    desk.drift("BTC", "0")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        pytest.param(lambda desk: None, [NO_STATEMENT], id="no statement since"),
        pytest.param(lambda desk: state_account(desk, AGREED), [], id="a clean statement since"),
        pytest.param(
            lambda desk: state_account(desk, {"USDT": "1000", "BTC": "1"}),
            ["BTC: the venue has 1, the gate 2"],
            id="a difference",
        ),
        pytest.param(
            lambda desk: (state_account(desk, {"USDT": "1000"}), state_account(desk, AGREED)), [], id="it has ended"
        ),
        pytest.param(
            lambda desk: (state_account(desk, AGREED), desk.order(ORDER_ID, OrderState.ACKNOWLEDGED)),
            [f"order {ORDER_ID} in BTC-USDT is not over: ACKNOWLEDGED"],
            id="an order works",
        ),
        pytest.param(
            lambda desk: (state_account(desk, AGREED), desk.order(ORDER_ID, OrderState.UNKNOWN)),
            [f"order {ORDER_ID} in BTC-USDT is not over: UNKNOWN"],
            id="an order is unknown",
        ),
        pytest.param(
            lambda desk: (state_account(desk, AGREED), drifts(desk)), ["books and venue differ by 0.5 BTC"], id="drift"
        ),
        pytest.param(lambda desk: (state_account(desk, AGREED), drifts_no_more(desk)), [], id="the drift has ended"),
        pytest.param(
            lambda desk: (state_account(desk, AGREED), desk.feed(FeedState.STALE)), [], id="the feed is no matter"
        ),
        pytest.param(lambda desk: (state_account(desk, AGREED), desk.policy_text("{")), [], id="nor is the policy"),
    ],
)
def test_what_is_in_the_way_of_a_release(desk: Any, prepare: Callable[[Any], Any], words: list[str]) -> None:
    opened(desk)
    engage(desk, "HALT")
    prepare(desk)
    assert list(clean(desk.core.state)) == words


def test_engaging_anew_asks_for_a_new_statement(desk: Any) -> None:
    opened(desk)
    engage(desk, "HALT")
    state_account(desk, AGREED)
    assert clean(desk.core.state) == ()
    engage(desk, "CANCEL", 2)
    assert clean(desk.core.state) == (NO_STATEMENT,)


def test_a_gate_that_never_had_a_policy_has_nothing_in_the_way(desk: Any) -> None:
    engage(desk)
    assert clean(desk.core.state) == ()


def test_many_open_orders_are_bounded_in_words(desk: Any) -> None:
    opened(desk)
    for number in range(WORDS_MAX + 5):
        desk.order(f"tg{number:030x}", OrderState.ACKNOWLEDGED)
    assert clean(desk.core.state)[-1] == "and more"
    assert len(clean(desk.core.state)) <= WORDS_MAX + 2


FLAT = {"USDT": "1200"}


@pytest.mark.parametrize(
    ("balances", "more", "waits_for"),
    [
        pytest.param(FLAT, {}, [], id="cash alone"),
        pytest.param({**FLAT, "BTC": "0.009"}, {}, [], id="dust by quantity"),
        pytest.param({**FLAT, "BTC": "0.051"}, {}, [], id="dust by value at the bound"),
        pytest.param({**FLAT, "BTC": "0.052"}, {}, ["0.052 BTC is held"], id="a step more can be sold"),
        pytest.param({**FLAT, "ETH": "1"}, {}, ["1 ETH is held"], id="what nobody has described"),
        pytest.param({**FLAT, "DOGE": "1"}, {}, [], id="what the desk does not trade"),
        pytest.param(FLAT, {"locked": {"USDT": "5"}}, ["5 USDT is locked"], id="locked cash"),
        pytest.param(FLAT, {"positions": {"BTC-USDT": "-1"}}, ["-1 BTC-USDT is held"], id="a position"),
    ],
)
def test_what_the_venue_must_state_for_a_proof(
    desk: Any, balances: dict[str, str], more: dict[str, Any], waits_for: list[str]
) -> None:
    opened(desk)
    desk.fill("tg" + "f" * 30, "2", side="SELL")
    engage(desk)
    state_account(desk, balances, **more)
    state = desk.core.state
    assert (flat(state) is not None) == (not waits_for)
    assert list(not_flat(state)) == waits_for


def sold(desk: Any) -> Any:
    """Return a desk that has sold all and has the switch engaged at FLATTEN."""
    opened(desk)
    desk.fill("tg" + "f" * 30, "2", side="SELL")
    engage(desk)
    return desk


def test_the_proof_names_the_venues_own_statement_and_the_dust(desk: Any) -> None:
    sold(desk)
    state_account(desk, {**FLAT, "BTC": "0.001"})
    proof = flat(desk.core.state)
    assert proof is not None
    assert proof.statement.message_id == desk.taped[-1].id
    assert (proof.statement.sequence, proof.statement.venue_ts_us) == (desk.sequence, desk.now_us)
    assert proof.balances == {"BTC": Decimal("0.001"), "USDT": Decimal(1200)}
    assert proof.dust == ("BTC",)


@pytest.mark.parametrize("level", ["HALT", "CANCEL"])
def test_there_is_no_proof_at_a_level_that_closes_nothing(desk: Any, level: str) -> None:
    opened(desk)
    desk.fill("tg" + "f" * 30, "2", side="SELL")
    engage(desk, level)
    state_account(desk, FLAT)
    assert flat(desk.core.state) is None
    assert not_flat(desk.core.state) == ("the switch is not engaged at FLATTEN",)


@pytest.mark.parametrize(("late_us", "is_proof"), [(0, False), (1, True)])
def test_a_statement_not_later_than_the_engagement_proves_nothing(desk: Any, late_us: int, is_proof: bool) -> None:
    sold(desk)
    state_account(desk, FLAT, venue_ts_us=desk.now_us + late_us)
    assert (flat(desk.core.state) is not None) is is_proof


def test_a_fill_an_order_or_a_new_epoch_after_it_ends_the_proof(desk: Any) -> None:
    sold(desk)
    state_account(desk, FLAT)
    assert flat(desk.core.state) is not None
    desk.order(ORDER_ID, OrderState.ACKNOWLEDGED)
    assert flat(desk.core.state) is None
    desk.order(ORDER_ID, OrderState.CANCELLED)
    assert flat(desk.core.state) is not None
    desk.now_us += 1
    desk.fill("tg" + "e" * 30, "1")
    assert flat(desk.core.state) is None
    closing = desk.outputs[-1].client_order_id
    desk.fill(closing, "1", side="SELL")
    desk.order(closing, OrderState.FILLED, "1", side=Side.SELL)
    state_account(desk, FLAT)
    assert flat(desk.core.state) is not None
    engage(desk, "FLATTEN", 2)
    assert flat(desk.core.state) is None


def test_a_later_statement_that_is_not_flat_ends_the_proof(desk: Any) -> None:
    sold(desk)
    state_account(desk, FLAT)
    state_account(desk, {**FLAT, "BTC": "1"})
    assert flat(desk.core.state) is None


def test_an_open_order_is_what_a_proof_waits_for(desk: Any) -> None:
    sold(desk)
    desk.order(ORDER_ID, OrderState.ACKNOWLEDGED, side=Side.SELL)
    state_account(desk, FLAT)
    assert not_flat(desk.core.state)[0] == f"order {ORDER_ID} in BTC-USDT is not over: ACKNOWLEDGED"


def test_all_of_it_is_in_a_snapshot(desk: Any) -> None:
    sold(desk)
    state_account(desk, {**FLAT, "BTC": "0.001"})
    restored = RiskCore()
    restored.restore(json.loads(json.dumps(desk.core.snapshot())))
    assert restored.state.reconciliation == desk.core.state.reconciliation
    assert restored.state.closing == desk.core.state.closing
    assert flat(restored.state) == flat(desk.core.state)
