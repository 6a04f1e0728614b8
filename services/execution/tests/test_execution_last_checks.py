"""The last look before the first byte leaves."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from execution_samples import SECOND_US, START_US, signed_approval, submit_of

from tollgate_contracts.reasons import Reason
from tollgate_execution.last_checks import Moment, Pace, reasons_not_to_send

APPROVAL = submit_of(signed_approval(kill_epoch=4)).approval
GOOD = Moment(
    wall_us=START_US,
    door_is_shut=False,
    kill_engaged=False,
    kill_epoch=4,
    permit_epoch=4,
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
        ({"kill_engaged": True}, (Reason.GATE_KILL_SWITCH,)),
        ({"kill_epoch": 5}, (Reason.GATE_KILL_SWITCH,)),
        ({"permit_epoch": 5}, (Reason.GATE_KILL_SWITCH,)),
        ({"permit_epoch": 3}, (Reason.GATE_KILL_SWITCH,)),
        ({"kill_epoch": 5, "permit_epoch": 5}, (Reason.GATE_KILL_SWITCH,)),
        ({"permit_epoch": None}, (Reason.GATE_NO_PERMIT,)),
        ({"order_notional_max": Decimal("199.99")}, (Reason.LIMIT_ORDER_NOTIONAL,)),
        ({"pace_is_used_up": True}, (Reason.PACE_RATE,)),
        (
            {"door_is_shut": True, "permit_epoch": None, "pace_is_used_up": True, "wall_us": START_US + 9 * SECOND_US},
            (Reason.GATE_KILL_SWITCH, Reason.GATE_NO_PERMIT, Reason.PACE_RATE, Reason.APPROVAL_EXPIRED),
        ),
    ],
)
def test_every_reason_not_to_send_is_named_in_the_order_of_the_taxonomy(
    seen: dict[str, Any], reasons: tuple[Reason, ...]
) -> None:
    assert reasons_not_to_send(APPROVAL, replace(GOOD, **seen)) == reasons


def test_the_pace_counts_any_second_and_not_the_clock_s() -> None:
    pace = Pace(2)
    pace.count(0)
    pace.count(900_000)
    assert pace.is_used_up(999_999)
    assert not pace.is_used_up(1_000_000)
    pace.count(1_000_000)
    assert pace.is_used_up(1_899_999)
    assert not pace.is_used_up(1_900_000)
