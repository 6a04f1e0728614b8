"""Under the kill switch: no trade, at its last level only what closes a position, and the account soon after."""

import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from execution_platform import Platform
from execution_samples import SECOND_US, START_US, Desk, order_id, trade
from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Account, VenuePosition
from tollgate_contracts.strategy import Side
from tollgate_execution.core import ExecutionCore, Submit
from tollgate_execution.verification import Verifier
from tollgate_venues.evidence import Evidence

CLOSING = {"scope": "FLATTEN", "side": "SELL", "reduce_only": True, "kill_epoch": 1}


def holding(quantity: str = "2", **changes: Any) -> Desk:
    """Return a desk that holds so much BTC, by a fill, with the switch engaged at FLATTEN unless told otherwise."""
    desk = Desk()
    desk.approve(100, quantity=quantity)
    desk.hear(ReportStatus.FILLED, number=100, filled=quantity, trades=(trade(1, quantity),))
    assert desk.core.status()["positions"] == {"BTC-USDT": quantity}
    desk.kill(1, **{"level": "FLATTEN", **changes})
    return desk


def short(quantity: str = "2") -> Desk:
    """Return a desk whose account opens with a short position in a perpetual."""
    desk = Desk(armed=False)
    armed = Desk()
    for message in armed.tape:
        if not isinstance(message, Account):
            desk.step(message)
            continue
        terms = {"entry_price": Decimal(100), "liquidation_price": None}
        position = VenuePosition(symbol="BTC-USDT", quantity=-Decimal(quantity), **terms)
        desk.step(message.model_copy(update={"positions": (position,)}))
    desk.kill(1, level="FLATTEN")
    return desk


@pytest.mark.parametrize("level", ["HALT", "CANCEL", "FLATTEN"])
def test_no_trade_passes_at_any_level(level: str) -> None:
    desk = holding(level=level)
    assert desk.approve(kill_epoch=1).effects == ()
    assert desk.refusals()[0].codes == (Reason.GATE_KILL_SWITCH,)


@pytest.mark.parametrize(
    ("switch", "changes", "passes"),
    [
        pytest.param({}, {}, True, id="all that is held"),
        pytest.param({}, {"quantity": "2.001"}, False, id="a step more than is held"),
        pytest.param({}, {"quantity": "1.999"}, True, id="a step less"),
        pytest.param({}, {"reduce_only": False}, False, id="not reduce-only"),
        pytest.param({}, {"side": "BUY"}, False, id="the side that enlarges"),
        pytest.param({}, {"symbol": "ETH-USDT"}, False, id="what is not held"),
        pytest.param({}, {"kill_epoch": 0}, False, id="approved before the switch was engaged"),
        pytest.param({}, {"kill_epoch": 2}, False, id="of an epoch to come"),
        pytest.param({"level": "CANCEL"}, {}, False, id="at CANCEL"),
        pytest.param({"level": "HALT"}, {}, False, id="at HALT"),
        pytest.param({"engaged": False}, {}, False, id="when released"),
    ],
)
def test_what_closes_a_position_passes_only_at_flatten(
    switch: dict[str, Any], changes: dict[str, Any], passes: bool
) -> None:
    desk = holding(**switch)
    effects = desk.approve(**{**CLOSING, **changes}).effects
    assert [type(effect) for effect in effects] == ([Submit] if passes else [])
    if not passes:
        assert desk.refusals()[0].codes == (Reason.GATE_KILL_SWITCH,)


def test_a_closing_order_counts_against_the_next_until_it_is_over_with_all_its_trades() -> None:
    desk = holding("2")
    desk.approve(1, **CLOSING, quantity="1.5")
    assert desk.approve(2, **CLOSING, quantity="0.6").effects == ()
    assert len(desk.approve(3, **CLOSING, quantity="0.5").effects) == 1
    # Of the first one a part trades and the rest is cancelled: that rest may be sold again, and no more.
    desk.hear(ReportStatus.CANCELLED, number=1, filled="1", trades=(trade(2, "1"),))
    assert desk.state(1) == "CANCELLED"
    assert desk.approve(4, **CLOSING, quantity="0.501").effects == ()
    assert len(desk.approve(5, **CLOSING, quantity="0.5").effects) == 1


def test_a_trade_that_the_venue_counts_and_has_not_shown_counts_too() -> None:
    desk = holding("2")
    desk.approve(1, **CLOSING, quantity="1.5")
    desk.hear(ReportStatus.CANCELLED, number=1, filled="1", trades=())
    assert desk.approve(2, **CLOSING, quantity="1").effects == ()
    desk.hear(ReportStatus.CANCELLED, number=1, filled="1", trades=(trade(2, "1"),))
    assert len(desk.approve(3, **CLOSING, quantity="1").effects) == 1


@pytest.mark.parametrize(
    ("side", "quantity", "passes"), [("BUY", "2", True), ("BUY", "2.001", False), ("SELL", "0.001", False)]
)
def test_a_short_is_closed_by_buying_and_by_no_more_than_it_is(side: str, quantity: str, passes: bool) -> None:
    desk = short("2")
    assert bool(desk.approve(**{**CLOSING, "side": side}, quantity=quantity).effects) is passes


def test_a_short_that_is_closed_is_not_bought_again() -> None:
    desk = short("2")
    desk.approve(1, **{**CLOSING, "side": "BUY"}, quantity="2")
    desk.hear(ReportStatus.FILLED, number=1, filled="2", trades=(trade(9, "2"),))
    assert desk.approve(2, **{**CLOSING, "side": "BUY"}, quantity="0.001").effects == ()


def test_a_snapshot_keeps_level_and_epoch() -> None:
    desk = holding("2")
    restored = ExecutionCore(Verifier({}).approval)
    restored.restore(desk.core.snapshot())
    assert restored.kill == desk.core.kill
    assert restored.status()["kill_switch"] == {"engaged": True, "level": "FLATTEN", "epoch": 1}


@given(
    st.lists(
        st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 30), st.integers(0, 30), st.booleans()), max_size=12
    )
)
@settings(max_examples=100, deadline=None)
def test_whatever_risk_signs_no_closing_order_enlarges_or_flips_a_position(
    wanted: list[tuple[str, int, int, bool]],
) -> None:
    """Execution's own count, whatever fills and whatever comes of the rest."""
    desk = holding("2")
    for number, (side, quantity, filled, is_over) in enumerate(wanted, 1):
        step = desk.approve(number, **{**CLOSING, "side": side}, quantity=f"{quantity / 10}")
        if not step.effects:
            continue
        part = Decimal(min(filled, quantity)) / 10
        trades = (trade(100 + number, f"{part}"),) if part else ()
        status = ReportStatus.CANCELLED if is_over else ReportStatus.OPEN
        if trades or is_over:
            desk.hear(status, number=number, filled=f"{part}", trades=trades)
    closing = [effect.approval for effect in desk.asked if isinstance(effect, Submit) and effect.approval.reduce_only]
    records = [desk.core.orders.get(approval.client_order_id) for approval in closing]
    at_worst = [record.booked if record.is_over else record.approval.quantity for record in records if record]
    assert len(at_worst) == len(closing)
    assert all(approval.side is Side.SELL for approval in closing)
    assert sum(at_worst, Decimal(0)) <= 2
    assert desk.notes() == [], "no fill sold more than was held"


@pytest.fixture
async def platform(database: Any, nats_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    platform = Platform(database, nats_url, tmp_path)
    # So seldom that only the kill switch can be why an account comes.
    section = platform.settings.execution.model_copy(update={"account_interval_ms": 600_000})
    platform.settings = platform.settings.model_copy(update={"execution": section})
    platform.arm()
    yield platform
    await platform.stop()


def accounts(platform: Platform) -> int:
    return platform.kinds().count("account")


async def test_the_account_is_stated_at_once_when_the_switch_is_engaged_with_nothing_open(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    before = accounts(platform)
    platform.kill(1, engaged=True)
    began = time.monotonic()
    await platform.until(lambda: accounts(platform) == before + 1)
    assert time.monotonic() - began < 1


async def test_the_account_is_stated_once_the_last_order_is_over(platform: Platform) -> None:
    await platform.start()
    await platform.has_permit()
    platform.approve(1)
    platform.approve(2)
    await platform.until(lambda: platform.state(1) == platform.state(2) == "ACKNOWLEDGED")
    before = accounts(platform)
    platform.kill(1, engaged=True, level="CANCEL")
    platform.approve(1, action="CANCEL")
    await platform.until(lambda: platform.state(1) == "CANCELLED")
    assert accounts(platform) == before
    platform.approve(2, action="CANCEL")
    began = time.monotonic()
    await platform.until(lambda: accounts(platform) == before + 1)
    assert time.monotonic() - began < 1


async def bought(platform: Platform) -> None:
    """Buy 2 BTC, and engage the switch at FLATTEN."""

    def filled(client_order_id: str) -> Evidence:
        done = (trade(1, "2", trade_id=f"trade-{client_order_id}"),)
        return Evidence(client_order_id, ReportSource.SUBMIT, ReportStatus.FILLED, "v1", Decimal(2), done)

    platform.venue.answers["submit"] = filled
    await platform.start()
    await platform.has_permit()
    platform.approve(1)
    await platform.until(lambda: platform.state(1) == "FILLED")
    platform.kill(1, engaged=True, level="FLATTEN")
    platform.permit_epoch = 1


async def test_a_position_is_closed_under_a_permit_to_close_and_stated_as_closed(platform: Platform) -> None:
    await bought(platform)
    platform.permit_scope = "FLATTEN"
    await platform.has_permit()
    platform.approve(2, **CLOSING, time_in_force="IOC")
    await platform.until(lambda: platform.state(2) == "FILLED")
    assert [order.side.value for order in platform.venue.submitted] == ["BUY", "SELL"]
    assert platform.core.status()["positions"] == {}


@pytest.mark.parametrize(
    ("door", "scope", "reason"), [(True, "FLATTEN", "gate.kill_switch"), (False, "TRADE", "gate.no_permit")]
)
async def test_a_shut_door_or_a_permit_to_trade_holds_back_what_closes(
    platform: Platform, door: bool, scope: str, reason: str
) -> None:
    await bought(platform)
    platform.permit_scope = scope
    await platform.has_permit()
    if door:
        platform.door.shut("ann", "test", START_US + SECOND_US)
    platform.approve(2, **CLOSING, time_in_force="IOC")
    await platform.until(lambda: platform.state(2) == "REJECTED")
    assert len(platform.venue.submitted) == 1
    (said,) = [m for m in platform.messages() if m.kind == "order" and m.client_order_id == order_id(2) and m.reason]
    assert said.reason == reason
