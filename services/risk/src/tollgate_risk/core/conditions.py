"""The conditions that move the mode: what each looks at, its unit, and the alert that tells of it.

A reading is what is seen now, in the unit of the condition's thresholds, or None where it cannot be known. It begins
to hold at ``enter`` and has ended at ``leave``; between the two it is what it was. What cannot be known begins
nothing and ends nothing.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

from tollgate_contracts.risk import Condition
from tollgate_contracts.safety import BreakerState
from tollgate_risk.core.activity import USABLE
from tollgate_risk.core.policy import ConditionRule, FloorRule, PolicyRules
from tollgate_risk.core.state import RiskState

_MS = 1_000

Seen = Decimal | int | None
Thresholds = ConditionRule | FloorRule | None


class Watch(NamedTuple):
    """One condition: how it is read, in which unit, and under which name it alerts; its metrics' label is its value."""

    condition: Condition
    read: Callable[[RiskState, PolicyRules], Seen]
    unit: str
    alert: str


class Reading(NamedTuple):
    """What one condition is at: its thresholds, what is seen, and since when it holds, if it does."""

    watch: Watch
    thresholds: Thresholds
    seen: Seen
    since_us: int | None


def _daily_loss(state: RiskState, _rules: PolicyRules) -> Seen:
    return state.results.daily_loss


def _drawdown(state: RiskState, _rules: PolicyRules) -> Seen:
    return state.results.drawdown_bps


def _consecutive_losses(state: RiskState, rules: PolicyRules) -> Seen:
    # As long as the pause that so many lead to: in a mode without entries no trade could ever end the streak.
    streak = state.results.streak
    is_over = state.now_us >= streak.pause_ends_us(rules.loss.consecutive_pause_ms)
    return 0 if is_over else streak.losses


def _feed(state: RiskState, _rules: PolicyRules) -> Seen:
    return 0 if state.feed in USABLE else _ms_since(state, state.activity.feed_lost_us)


def _clock_skew(state: RiskState, _rules: PolicyRules) -> Seen:
    skew_us = state.activity.skew_us
    return None if skew_us is None else skew_us // _MS


def _rejection_spike(state: RiskState, _rules: PolicyRules) -> Seen:
    return state.activity.rejections.total(state.now_us)


def _trade_spike(state: RiskState, _rules: PolicyRules) -> Seen:
    return state.activity.fills.total(state.now_us)


def _venue_errors(state: RiskState, _rules: PolicyRules) -> Seen:
    return state.activity.venue_errors.total(state.now_us)


def _breaker_open(state: RiskState, _rules: PolicyRules) -> Seen:
    return sum(breaker is not BreakerState.CLOSED for breaker in state.activity.breakers.values())


def _no_fills(state: RiskState, rules: PolicyRules) -> Seen:
    # Only while signals fire: in a mode without entries no fill could ever end it. One order then tries anew.
    approved_us = state.activity.approved_us
    is_quiet = approved_us is None or state.now_us - approved_us > rules.modes.window_ms * _MS
    return 0 if is_quiet else state.activity.unfilled


def _win_rate(state: RiskState, rules: PolicyRules) -> Seen:
    return state.results.win_rate_bps(rules.modes.win_rate_trips)


def _ledger_drift(state: RiskState, _rules: PolicyRules) -> Seen:
    return len(state.activity.drifts) + len(state.activity.position_drifts)


def _reconciliation_lag(state: RiskState, _rules: PolicyRules) -> Seen:
    return _ms_since(state, state.activity.account_us)


def _ms_since(state: RiskState, heard_us: int | None) -> int:
    """Return whole milliseconds since then, or since the first policy where nothing was heard."""
    began_us = state.now_us if state.activity.began_us is None else state.activity.began_us
    return (state.now_us - (began_us if heard_us is None else heard_us)) // _MS


_C = Condition
WATCHES: tuple[Watch, ...] = (
    Watch(_C.DAILY_LOSS, _daily_loss, "quote currency", "TollgateRiskDailyLoss"),
    Watch(_C.DRAWDOWN, _drawdown, "bps of the peak", "TollgateRiskDrawdown"),
    Watch(_C.CONSECUTIVE_LOSSES, _consecutive_losses, "round trips", "TollgateRiskConsecutiveLosses"),
    Watch(_C.FEED, _feed, "ms", "TollgateRiskFeed"),
    Watch(_C.CLOCK_SKEW, _clock_skew, "ms", "TollgateRiskClockSkew"),
    Watch(_C.REJECTION_SPIKE, _rejection_spike, "intents", "TollgateRiskRejectionSpike"),
    Watch(_C.TRADE_SPIKE, _trade_spike, "fills", "TollgateRiskTradeSpike"),
    Watch(_C.VENUE_ERRORS, _venue_errors, "orders", "TollgateRiskVenueErrors"),
    Watch(_C.BREAKER_OPEN, _breaker_open, "groups", "TollgateRiskBreakerOpen"),
    Watch(_C.NO_FILLS, _no_fills, "orders", "TollgateRiskNoFills"),
    Watch(_C.WIN_RATE, _win_rate, "bps of round trips", "TollgateRiskWinRate"),
    Watch(_C.LEDGER_DRIFT, _ledger_drift, "currencies", "TollgateRiskLedgerDrift"),
    Watch(_C.RECONCILIATION_LAG, _reconciliation_lag, "ms", "TollgateRiskReconciliationLag"),
)
"""Every condition but the policy itself and a fault, in the order of ``Condition``."""


def thresholds_of(rules: PolicyRules, condition: Condition) -> Thresholds:
    """Return the policy's rule for a condition; none when it is switched off."""
    rule: Thresholds = getattr(rules.modes.conditions, condition.value)
    return rule


def holds(rule: Thresholds, seen: Seen, held: bool) -> bool:
    """Say whether a condition holds that did or did not until now; one that is switched off never does."""
    if rule is None:
        return False
    if isinstance(rule, FloorRule):
        # A rate of too few is no rate: were it to hold on, nothing would ever be traded that could end it.
        return seen is not None and (seen < rule.leave if held else seen <= rule.enter)
    if seen is None:
        return held
    return seen > rule.leave if held else seen >= rule.enter


def survey(state: RiskState, rules: PolicyRules) -> tuple[Reading, ...]:
    """Return where every condition stands, also those that are switched off."""
    return tuple(
        Reading(
            watch,
            thresholds_of(rules, watch.condition),
            watch.read(state, rules),
            state.caution.active.get(watch.condition),
        )
        for watch in WATCHES
    )
