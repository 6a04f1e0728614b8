"""The mode and its conditions as metrics: what is alerted on."""

import math
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tollgate_contracts.risk import TradingMode
from tollgate_contracts.safety import BreakerState
from tollgate_risk.core.conditions import WATCHES
from tollgate_risk.core.gates.cash import free_cash
from tollgate_risk.gauges import ModeGauges

RULE = {"enter": "1", "leave": "0", "response": "REDUCE_ONLY"}


def sample(name: str, **labels: str) -> float:
    value = REGISTRY.get_sample_value(f"tollgate_risk_{name}", labels)
    assert value is not None
    return value


def modes() -> dict[str, float]:
    return {mode.value: sample("mode", mode=mode.value) for mode in TradingMode}


@pytest.fixture
def watched(desk: Any) -> Any:
    return desk.open({"modes.conditions.breaker_open": RULE})


def test_every_condition_has_its_gauges_and_exactly_one_mode_is_in_force(watched):
    """Also a condition that is switched off: it is seen, and its limit is no number."""
    ModeGauges().refresh(watched.core.state)
    assert modes() == {"NORMAL": 1, "REDUCE_ONLY": 0, "OBSERVE_ONLY": 0}
    for watch in WATCHES:
        label = {"condition": watch.condition.value}
        assert sample("condition_active", **label) == 0
        assert math.isnan(sample("condition_limit", **label)) == (watch.condition.value != "breaker_open")
    assert math.isnan(sample("condition_value", condition="win_rate"))
    assert sample("condition_limit", condition="breaker_open") == 1


def test_a_condition_that_holds_is_shown_with_the_mode_that_it_asks_for(watched):
    """As the gate's own state has it."""
    watched.breaker(BreakerState.OPEN)
    ModeGauges().refresh(watched.core.state)
    assert modes() == {"NORMAL": 0, "REDUCE_ONLY": 1, "OBSERVE_ONLY": 0}
    assert sample("condition_active", condition="breaker_open") == 1
    assert sample("condition_value", condition="breaker_open") == 1


def test_the_gauges_are_not_set_with_every_message(watched):
    """A metric is read each few seconds; the tape moves a thousand times as often."""
    gauges = ModeGauges()
    gauges.refresh(watched.core.state)
    watched.breaker(BreakerState.OPEN)
    gauges.refresh(watched.core.state)
    assert sample("condition_active", condition="breaker_open") == 0


def test_before_the_first_policy_no_mode_is_in_force(desk):
    """And no condition is judged."""
    ModeGauges().refresh(desk.core.state)
    assert modes() == {"NORMAL": 0, "REDUCE_ONLY": 0, "OBSERVE_ONLY": 0}


def test_what_the_limits_count_is_shown(watched):
    ModeGauges().refresh(watched.core.state)
    state = watched.core.state
    assert sample("open_orders") == len(state.orders)
    assert sample("gross_exposure_quote") == float(state.exposure_in_all().worst)
    assert sample("free_cash_quote") == float(free_cash(state)) > 0
