"""The last look before the first byte leaves."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from execution_samples import SECOND_US, START_US, signed_approval, submit_of

from tollgate_contracts.approval import Permit, Scope
from tollgate_contracts.reasons import Reason
from tollgate_contracts.risk import KillLevel
from tollgate_execution.core import Kill
from tollgate_execution.last_checks import Moment, Pace, reasons_not_to_send

APPROVAL = submit_of(signed_approval(kill_epoch=4)).approval
CLOSING = submit_of(signed_approval(kill_epoch=4, scope="FLATTEN", side="SELL", reduce_only=True)).approval


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


GOOD = Moment(
    wall_us=START_US,
    door_is_shut=False,
    kill=Kill(engaged=False, epoch=4),
    permit=permit(),
    reducible=Decimal(0),
    pace_is_used_up=False,
    order_notional_max=Decimal(200),
)


@pytest.mark.parametrize(
    ("seen", "reasons"),
    [
        ({}, ()),
        ({"wall_us": START_US + 5 * SECOND_US - 1}, ()),
        ({"wall_us": START_US + 5 * SECOND_US}, (Reason.APPROVAL_EXPIRED,)),
        ({"door_is_shut": True}, (Reason.GATE_KILL_SWITCH,)),
        ({"kill": Kill(engaged=True, epoch=4)}, (Reason.GATE_KILL_SWITCH,)),
        ({"kill": Kill(engaged=False, epoch=5)}, (Reason.GATE_KILL_SWITCH,)),
        ({"permit": permit(epoch=5)}, (Reason.GATE_KILL_SWITCH,)),
        ({"permit": permit(epoch=3)}, (Reason.GATE_KILL_SWITCH,)),
        ({"kill": Kill(engaged=False, epoch=5), "permit": permit(epoch=5)}, (Reason.GATE_KILL_SWITCH,)),
        ({"permit": None}, (Reason.GATE_NO_PERMIT,)),
        ({"permit": permit("FLATTEN")}, (Reason.GATE_NO_PERMIT,)),
        ({"order_notional_max": Decimal("199.99")}, (Reason.LIMIT_ORDER_NOTIONAL,)),
        ({"pace_is_used_up": True}, (Reason.PACE_RATE,)),
        (
            {"door_is_shut": True, "permit": None, "pace_is_used_up": True, "wall_us": START_US + 9 * SECOND_US},
            (Reason.GATE_KILL_SWITCH, Reason.GATE_NO_PERMIT, Reason.PACE_RATE, Reason.APPROVAL_EXPIRED),
        ),
    ],
)
def test_every_reason_not_to_send_is_named_in_the_order_of_the_taxonomy(
    seen: dict[str, Any], reasons: tuple[Reason, ...]
) -> None:
    assert reasons_not_to_send(APPROVAL, replace(GOOD, **seen)) == reasons


FLATTENING = replace(
    GOOD, kill=Kill(engaged=True, level=KillLevel.FLATTEN, epoch=4), permit=permit("FLATTEN"), reducible=Decimal(2)
)


@pytest.mark.parametrize(
    ("changes", "seen", "reasons"),
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
    ],
)
def test_what_closes_a_position_is_sent_only_as_the_switch_says(
    changes: dict[str, Any], seen: dict[str, Any], reasons: tuple[Reason, ...]
) -> None:
    assert reasons_not_to_send(CLOSING.model_copy(update=changes), replace(FLATTENING, **seen)) == reasons


def test_a_trade_is_not_sent_while_positions_are_closed_whatever_permit_there_is() -> None:
    for held, expected in (
        (permit("TRADE"), (Reason.GATE_KILL_SWITCH,)),
        (permit("FLATTEN"), (Reason.GATE_KILL_SWITCH, Reason.GATE_NO_PERMIT)),
    ):
        assert reasons_not_to_send(APPROVAL, replace(FLATTENING, permit=held)) == expected


def test_the_pace_counts_any_second_and_not_the_clock_s() -> None:
    pace = Pace(2)
    pace.count(0)
    pace.count(900_000)
    assert pace.is_used_up(999_999)
    assert not pace.is_used_up(1_000_000)
    pace.count(1_000_000)
    assert pace.is_used_up(1_899_999)
    assert not pace.is_used_up(1_900_000)
