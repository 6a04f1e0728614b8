"""The last look before the first byte leaves."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from execution_samples import SECOND_US, START_US, approval_fields

from tollgate_contracts.approval import Approval, Permit, Scope
from tollgate_contracts.marketdata import InstrumentStatus, SymbolQuote
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import KillLevel
from tollgate_contracts.strategy import OrderType, Side, TimeInForce
from tollgate_execution.core import Kill
from tollgate_execution.core.market import Quoted
from tollgate_execution.last_checks import (
    Caps,
    Moment,
    Pace,
    Place,
    Turnover,
    reasons_not_to_send,
    takes_cancel,
    takes_order,
)
from tollgate_venues.adapter import VenueOrder


def approved(**changes: Any) -> Approval:
    """Return an approval of a buy of 2 BTC at 100 at most."""
    return Approval.model_validate_json(json.dumps(approval_fields(**{"kill_epoch": 4, **changes})))


def order_of(approval: Approval, **changes: Any) -> VenueOrder:
    """Return the order as it was approved."""
    order = VenueOrder(
        client_order_id=approval.client_order_id,
        symbol=approval.symbol,
        side=approval.side,
        order_type=approval.order_type,
        quantity=approval.quantity,
        limit_price=approval.limit_price,
        time_in_force=approval.time_in_force,
        post_only=approval.post_only,
        reduce_only=approval.reduce_only,
    )
    return replace(order, **changes)


def reasons(approval: Approval, moment: Moment, **changes: Any) -> tuple[Reason, ...]:
    """Return what speaks against sending the order of an approval, with ``changes`` to the order."""
    return reasons_not_to_send(approval, order_of(approval, **changes), moment)


def quoted(bid: str, ask: str, ts_us: int = START_US) -> Quoted:
    """Return a quote of ten units on each side."""
    sizes = {"bid_quantity": Decimal(10), "ask_quantity": Decimal(10), "venue_ts_us": ts_us, "venue_sequence": 1}
    return Quoted(SymbolQuote(symbol="BTC-USDT", bid=Decimal(bid), ask=Decimal(ask), **sizes), ts_us, 1)


APPROVAL = approved()
CLOSING = approved(scope="FLATTEN", side="SELL", reduce_only=True)
SELLING = approved(side="SELL", reduce_only=True)
PROTECTED = approved(protection={"trigger_price": "90", "limit_price": "85"})


def permit(scope: str = "TRADE", epoch: int = 4) -> Permit:
    return Permit(
        scope=Scope(scope),
        desk="main",
        number=1,
        kill_epoch=epoch,
        issued_us=START_US,
        expires_us=START_US + SECOND_US,
        key_id=APPROVAL.key_id,
    )


CAPS = Caps(
    order_notional_max=Decimal(200),
    minute_notional_max=Decimal(500),
    open_orders_max=3,
    open_orders_symbol_max=2,
    collar_bps=100,
    exit_collar_bps=1_000,
    quote_age_us_max=2 * SECOND_US,
)
GOOD = Moment(
    wall_us=START_US,
    door_is_shut=False,
    kill=Kill(engaged=False, epoch=4),
    permit=permit(),
    reducible=Decimal(0),
    pace_is_used_up=False,
    caps=CAPS,
    place=Place(InstrumentStatus.OPEN, True, quoted("99", "100")),
)
HOLDING = replace(GOOD, reducible=Decimal(2))


def at(**changes: Any) -> dict[str, Any]:
    """Return what is seen when the place is another."""
    return {"place": replace(GOOD.place, **changes)}


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({}, ()),
        ({"wall_us": START_US + 5 * SECOND_US - 1, **at(quoted=quoted("99", "100", START_US + 4 * SECOND_US))}, ()),
        (
            {"wall_us": START_US + 5 * SECOND_US, **at(quoted=quoted("99", "100", START_US + 4 * SECOND_US))},
            (Reason.APPROVAL_EXPIRED,),
        ),
        ({"door_is_shut": True}, (Reason.GATE_KILL_SWITCH,)),
        ({"kill": Kill(engaged=True, epoch=4)}, (Reason.GATE_KILL_SWITCH,)),
        ({"kill": Kill(engaged=False, epoch=5)}, (Reason.GATE_KILL_SWITCH,)),
        ({"permit": permit(epoch=5)}, (Reason.GATE_KILL_SWITCH,)),
        ({"permit": permit(epoch=3)}, (Reason.GATE_KILL_SWITCH,)),
        ({"kill": Kill(engaged=False, epoch=5), "permit": permit(epoch=5)}, (Reason.GATE_KILL_SWITCH,)),
        ({"permit": None}, (Reason.GATE_NO_PERMIT,)),
        ({"permit": permit("FLATTEN")}, (Reason.GATE_NO_PERMIT,)),
        ({"is_safe_mode": True}, (Reason.GATE_SAFE_MODE,)),
        ({"is_stopping": True}, (Reason.GATE_SAFE_MODE,)),
        (at(quoted=quoted("99", "100", START_US - 2 * SECOND_US)), ()),
        (at(quoted=quoted("99", "100", START_US - 2 * SECOND_US - 1)), (Reason.DATA_STALE,)),
        (at(quoted=None), (Reason.DATA_NO_MARK,)),
        (at(quoted=quoted("98", "99.01")), ()),
        (at(quoted=quoted("98", "99")), (Reason.PRICE_COLLAR,)),
        ({"caps": replace(CAPS, order_notional_max=Decimal("199.99"))}, (Reason.LIMIT_ORDER_NOTIONAL,)),
        ({"minute_notional": Decimal(300)}, ()),
        ({"minute_notional": Decimal("300.01")}, (Reason.PACE_RATE,)),
        ({"open_before": 2, "open_in_symbol": 1}, ()),
        ({"open_before": 3}, (Reason.LIMIT_OPEN_ORDERS,)),
        ({"open_before": 2, "open_in_symbol": 2}, (Reason.LIMIT_OPEN_ORDERS_SYMBOL,)),
        ({"pace_is_used_up": True}, (Reason.PACE_RATE,)),
        (at(status=InstrumentStatus.CANCEL_ONLY), (Reason.VENUE_NOT_OPEN,)),
        (at(status=InstrumentStatus.AUCTION), (Reason.VENUE_NOT_OPEN,)),
        (at(status=InstrumentStatus.HALTED), (Reason.VENUE_NOT_OPEN,)),
        (at(status=None), ()),
        (at(is_reconciled=False), (Reason.VENUE_NOT_OPEN,)),
        (
            {"door_is_shut": True, "permit": None, "pace_is_used_up": True, "wall_us": START_US + 9 * SECOND_US},
            (
                Reason.GATE_KILL_SWITCH,
                Reason.GATE_NO_PERMIT,
                Reason.DATA_STALE,
                Reason.PACE_RATE,
                Reason.APPROVAL_EXPIRED,
            ),
        ),
    ],
)
def test_every_reason_not_to_send_is_named_in_the_order_of_the_taxonomy(
    seen: dict[str, Any], expected: tuple[Reason, ...]
) -> None:
    assert reasons(APPROVAL, replace(GOOD, **seen)) == expected


def test_everything_at_once_is_said_in_the_order_of_the_taxonomy() -> None:
    worst = replace(
        GOOD,
        wall_us=START_US + 9 * SECOND_US,
        door_is_shut=True,
        permit=None,
        is_safe_mode=True,
        pace_is_used_up=True,
        open_before=9,
        open_in_symbol=9,
        caps=replace(CAPS, order_notional_max=Decimal(1)),
        place=Place(InstrumentStatus.HALTED, True, quoted("1", "2")),
    )
    said = reasons(APPROVAL, worst, quantity=Decimal(3))
    assert list(said) == [reason for reason in Reason if reason in said]
    assert len(said) == 12, "all but the mark that there is, since a stale one is there"


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param({"is_safe_mode": True}, id="in safe mode"),
        pytest.param({"minute_notional": Decimal(10_000)}, id="after a busy minute"),
        pytest.param({"open_before": 99, "open_in_symbol": 99}, id="with many orders open"),
        pytest.param(at(quoted=quoted("110", "111", 1)), id="held against an old quote"),
        pytest.param(at(quoted=quoted("111", "112")), id="inside the wider collar"),
    ],
)
def test_what_makes_a_position_smaller_is_sent_where_an_entry_is_not(seen: dict[str, Any]) -> None:
    assert reasons(SELLING, replace(HOLDING, **seen)) == ()
    assert reasons(approved(side="SELL"), replace(HOLDING, **seen)) != ()


@pytest.mark.parametrize(
    ("changes", "reducible", "seen", "expected"),
    [
        pytest.param({"reduce_only": False}, "2", {}, (Reason.GATE_SAFE_MODE,), id="not called so"),
        pytest.param({}, "1.999", {}, (Reason.GATE_SAFE_MODE,), id="called so, and more than is held"),
        pytest.param({}, "2", at(quoted=quoted("111.12", "112")), (Reason.PRICE_COLLAR,), id="given away"),
        pytest.param({}, "2", at(quoted=None), (Reason.DATA_NO_MARK,), id="never quoted"),
        pytest.param({}, "2", {"is_stopping": True}, (Reason.GATE_SAFE_MODE,), id="in a process that stops"),
        pytest.param({}, "2", at(status=InstrumentStatus.CANCEL_ONLY), (Reason.VENUE_NOT_OPEN,), id="cancel-only"),
        pytest.param({}, "2", {"pace_is_used_up": True}, (Reason.PACE_RATE,), id="too fast"),
    ],
)
def test_an_exit_is_one_by_our_own_count_and_has_its_own_bounds(
    changes: dict[str, Any], reducible: str, seen: dict[str, Any], expected: tuple[Reason, ...]
) -> None:
    moment = replace(GOOD, is_safe_mode=True, reducible=Decimal(reducible), **seen)
    assert reasons(SELLING.model_copy(update=changes), moment) == expected


def test_the_collar_holds_on_the_side_that_costs_and_not_on_the_side_that_waits() -> None:
    """A buy far below the market and a sell far above it can only rest; exactly at the bound is inside."""
    far = replace(GOOD, place=replace(GOOD.place, quoted=quoted("1000", "1001")))
    assert reasons(APPROVAL, far) == ()
    selling = approved(side="SELL")
    assert reasons(selling, replace(GOOD, place=replace(GOOD.place, quoted=quoted("10", "11")))) == ()
    assert reasons(selling, replace(GOOD, place=replace(GOOD.place, quoted=quoted("101.01", "102")))) == ()
    assert reasons(selling, replace(GOOD, place=replace(GOOD.place, quoted=quoted("101.02", "102")))) == (
        Reason.PRICE_COLLAR,
    )


STOP = {
    "side": Side.SELL,
    "reduce_only": True,
    "trigger_price": Decimal(90),
    "limit_price": Decimal(85),
    "time_in_force": TimeInForce.GTC,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({}, (), id="as signed"),
        pytest.param({"quantity": Decimal(1)}, (), id="for less"),
        pytest.param({"quantity": Decimal("2.01")}, (Reason.APPROVAL_MISMATCH,), id="for more"),
        pytest.param({"limit_price": Decimal(84)}, (Reason.APPROVAL_MISMATCH,), id="at another price"),
        pytest.param({"trigger_price": Decimal(91)}, (Reason.APPROVAL_MISMATCH,), id="at another trigger"),
        pytest.param({"side": Side.BUY}, (Reason.APPROVAL_MISMATCH,), id="on the same side"),
        pytest.param({"reduce_only": False}, (Reason.APPROVAL_MISMATCH,), id="not reducing"),
        pytest.param({"symbol": "ETH-USDT"}, (Reason.APPROVAL_MISMATCH,), id="elsewhere"),
    ],
)
def test_a_stop_is_sent_exactly_as_risk_has_signed_it_with_the_entry(
    changes: dict[str, Any], expected: tuple[Reason, ...]
) -> None:
    said = reasons(PROTECTED, GOOD, **{**STOP, **changes})
    assert tuple(reason for reason in said if reason is Reason.APPROVAL_MISMATCH) == expected
    assert expected or said == ()


def test_a_stop_is_sent_in_safe_mode_while_stopping_and_after_its_approval_s_time() -> None:
    moment = replace(GOOD, is_safe_mode=True, is_stopping=True, wall_us=START_US + 900 * SECOND_US)
    assert reasons(PROTECTED, moment, **STOP) == ()


def test_a_stop_may_not_give_a_position_away_once_it_is_triggered() -> None:
    """Its collar reaches from where the market will be when it works: the trigger, or the market if that is lower."""
    loose = approved(protection={"trigger_price": "90", "limit_price": "80.99"})
    stop = {**STOP, "limit_price": Decimal("80.99")}
    assert reasons(loose, GOOD, **stop) == (Reason.PRICE_COLLAR,)
    fallen = replace(GOOD, place=replace(GOOD.place, quoted=quoted("89.9", "90")))
    assert reasons(loose, fallen, **stop) == ()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"quantity": Decimal(1)}, (), id="less"),
        pytest.param({"limit_price": Decimal(99)}, (), id="at a better price"),
        pytest.param(
            {"quantity": Decimal(1), "limit_price": Decimal("100.01")},
            (Reason.APPROVAL_MISMATCH,),
            id="at a worse price",
        ),
        pytest.param({"quantity": Decimal("2.01"), "limit_price": Decimal(99)}, (Reason.APPROVAL_MISMATCH,), id="more"),
        pytest.param({"symbol": "ETH-USDT"}, (Reason.APPROVAL_MISMATCH,), id="elsewhere"),
        pytest.param({"side": Side.SELL}, (Reason.APPROVAL_MISMATCH,), id="the other way"),
        pytest.param(
            {"limit_price": None, "order_type": OrderType.MARKET},
            (Reason.LIMIT_ORDER_NOTIONAL, Reason.APPROVAL_MISMATCH),
            id="without a bound",
        ),
    ],
)
def test_an_order_may_be_made_smaller_or_better_and_nothing_else(
    changes: dict[str, Any], expected: tuple[Reason, ...]
) -> None:
    assert reasons(APPROVAL, GOOD, **changes) == expected


@pytest.mark.parametrize(
    ("is_configured", "changes", "is_sent"),
    [
        (False, {"time_in_force": TimeInForce.GTC}, False),
        (True, {"time_in_force": TimeInForce.GTC}, True),
        (True, {"time_in_force": TimeInForce.IOC}, False),
    ],
)
def test_into_an_auction_go_only_orders_that_rest_and_only_if_configured(
    is_configured: bool, changes: dict[str, Any], is_sent: bool
) -> None:
    moment = replace(GOOD, caps=replace(CAPS, trades_in_auction=is_configured), **at(status=InstrumentStatus.AUCTION))
    assert reasons(APPROVAL, moment, **changes) == (() if is_sent else (Reason.VENUE_NOT_OPEN,))


def test_a_cancel_goes_to_the_venue_in_every_state_but_halted() -> None:
    states = (None, *InstrumentStatus)
    assert [state for state in states if not takes_cancel(state)] == [InstrumentStatus.HALTED]


def test_a_cap_that_is_switched_off_holds_nothing_back() -> None:
    moment = replace(
        GOOD,
        caps=Caps(order_notional_max=Decimal(200)),
        minute_notional=Decimal(10**9),
        open_before=10**6,
        open_in_symbol=10**6,
        place=Place(None, True, None),
    )
    assert reasons(APPROVAL, moment) == ()


FLATTENING = replace(
    GOOD, kill=Kill(engaged=True, level=KillLevel.FLATTEN, epoch=4), permit=permit("FLATTEN"), reducible=Decimal(2)
)


@pytest.mark.parametrize(
    ("changes", "seen", "expected"),
    [
        pytest.param({}, {}, (), id="all that is held"),
        pytest.param({}, {"reducible": Decimal("1.999")}, (Reason.GATE_KILL_SWITCH,), id="a step more than is held"),
        pytest.param({"reduce_only": False}, {}, (Reason.GATE_KILL_SWITCH,), id="not reduce-only"),
        pytest.param({}, {"kill": Kill(engaged=False, epoch=4)}, (Reason.GATE_KILL_SWITCH,), id="not engaged"),
        pytest.param(
            {},
            {"kill": Kill(engaged=True, level=KillLevel.CANCEL, epoch=4)},
            (Reason.GATE_KILL_SWITCH,),
            id="at CANCEL",
        ),
        pytest.param({"kill_epoch": 3}, {}, (Reason.GATE_KILL_SWITCH,), id="of an earlier epoch"),
        pytest.param({}, {"permit": permit("FLATTEN", 3)}, (Reason.GATE_KILL_SWITCH,), id="permit of another epoch"),
        pytest.param({}, {"permit": permit("TRADE")}, (Reason.GATE_NO_PERMIT,), id="permit to trade"),
        pytest.param({}, {"permit": None}, (Reason.GATE_NO_PERMIT,), id="no permit"),
        pytest.param({}, {"door_is_shut": True}, (Reason.GATE_KILL_SWITCH,), id="the kill door is shut"),
        pytest.param({}, {"is_safe_mode": True}, (), id="in safe mode"),
    ],
)
def test_what_closes_a_position_is_sent_only_as_the_switch_says(
    changes: dict[str, Any], seen: dict[str, Any], expected: tuple[Reason, ...]
) -> None:
    assert reasons(CLOSING.model_copy(update=changes), replace(FLATTENING, **seen)) == expected


def test_a_trade_is_not_sent_while_positions_are_closed_whatever_permit_there_is() -> None:
    for held, expected in (
        (permit("TRADE"), (Reason.GATE_KILL_SWITCH,)),
        (permit("FLATTEN"), (Reason.GATE_KILL_SWITCH, Reason.GATE_NO_PERMIT)),
    ):
        assert reasons(APPROVAL, replace(FLATTENING, permit=held)) == expected


def test_the_pace_counts_any_second_and_not_the_clock_s() -> None:
    pace = Pace(2)
    pace.count(0, is_exit=False)
    pace.count(900_000, is_exit=True)
    assert pace.is_used_up(999_999, is_exit=True)
    assert not pace.is_used_up(1_000_000, is_exit=False)
    pace.count(1_000_000, is_exit=True)
    assert pace.is_used_up(1_899_999, is_exit=False)
    assert not pace.is_used_up(1_900_000, is_exit=True)


def test_entries_leave_a_fifth_of_the_pace_to_exits_and_all_together_keep_to_it() -> None:
    pace = Pace(10)
    for _ in range(8):
        assert not pace.is_used_up(0, is_exit=False)
        pace.count(0, is_exit=False)
    assert pace.is_used_up(0, is_exit=False)
    for _ in range(2):
        assert not pace.is_used_up(0, is_exit=True)
        pace.count(0, is_exit=True)
    assert pace.is_used_up(0, is_exit=True)
    assert not pace.is_used_up(1_000_000, is_exit=False)


def test_an_exit_waits_only_so_long_for_the_orders_of_a_venue_that_has_opened_again() -> None:
    for is_exit, waits_in_vain, taken in ((True, True, True), (True, False, False), (False, True, False)):
        place = Place(InstrumentStatus.OPEN, False, None, waits_in_vain)
        assert takes_order(order_of(APPROVAL), place, Caps(Decimal(1)), is_exit=is_exit) is taken
    shut = Place(InstrumentStatus.CANCEL_ONLY, False, None, True)
    assert not takes_order(order_of(APPROVAL), shut, Caps(Decimal(1)), is_exit=True)


def test_the_turnover_of_a_minute_is_never_counted_as_less_than_it_was() -> None:
    turnover = Turnover()
    turnover.count(0, Decimal(3))
    turnover.count(30 * SECOND_US, Decimal(4))
    assert turnover.of_last_minute(30 * SECOND_US) == 7
    assert turnover.of_last_minute(60 * SECOND_US) == 7, "exactly a minute later it still counts"
    assert turnover.of_last_minute(61 * SECOND_US) == 4
    assert turnover.of_last_minute(91 * SECOND_US) == 0


def test_the_turnover_remembers_a_minute_and_no_more() -> None:
    turnover = Turnover()
    for second in range(10_000):
        turnover.count(second * SECOND_US, Decimal(1))
    assert len(turnover._by_second) == 61
