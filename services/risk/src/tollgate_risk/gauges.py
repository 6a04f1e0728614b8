"""The mode and its conditions as metrics, from the gate's state."""

import math
import time

from tollgate_chassis.telemetry.metrics import risk as metrics
from tollgate_contracts.risk import TradingMode
from tollgate_risk.core.conditions import WATCHES, Reading, survey
from tollgate_risk.core.gates.cash import free_cash
from tollgate_risk.core.state import RiskState

# As often as the tape's clock beats: nothing in them moves the mode between two beats without a message of its own.
_REFRESH_S = 0.25


class ModeGauges:
    """Sets the gauges of the mode, at a bounded rate."""

    def __init__(self) -> None:
        self._due_s = -math.inf
        self._active = [metrics.CONDITION_ACTIVE.labels(watch.condition.value) for watch in WATCHES]
        self._value = [metrics.CONDITION_VALUE.labels(watch.condition.value) for watch in WATCHES]
        self._limit = [metrics.CONDITION_LIMIT.labels(watch.condition.value) for watch in WATCHES]

    def refresh(self, state: RiskState) -> None:
        """Set them from ``state``, unless that was done a moment ago."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            return
        self._due_s = now_s + _REFRESH_S
        for mode in TradingMode:
            metrics.MODE.labels(mode.value).set(int(state.mode is mode))
        metrics.RISK_OPEN_ORDERS.set(len(state.orders))
        if state.policy is None:
            return
        # Prometheus knows floats only; nothing is decided on a gauge.
        metrics.RISK_EXPOSURE.set(float(state.exposure_in_all().worst))
        metrics.RISK_FREE_CASH.set(float(free_cash(state)))
        for index, reading in enumerate(survey(state, state.policy.rules)):
            self._set(index, reading)

    def _set(self, index: int, reading: Reading) -> None:
        rule, seen = reading.thresholds, reading.seen
        self._active[index].set(int(reading.since_us is not None))
        self._value[index].set(math.nan if seen is None else float(seen))
        self._limit[index].set(math.nan if rule is None else float(rule.enter))
