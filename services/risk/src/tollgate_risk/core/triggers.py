"""What is behind a change of the mode: the conditions with their numbers, and the same in words."""

from tollgate_contracts.risk import Condition, TradingMode, Trigger
from tollgate_risk.core.case import shown
from tollgate_risk.core.conditions import Reading, survey
from tollgate_risk.core.state import RiskState

# Text on the tape has a bound, and what goes into it, such as a fault in words, has none of its own.
TEXT_MAX = 2_000
_NONE = "none"


def triggers_of(state: RiskState) -> tuple[Trigger, ...]:
    """Return the conditions that hold, and those that have ended on the way back, in the order of ``Condition``."""
    readings = () if state.policy is None else survey(state, state.policy.rules)
    triggers = [*_own_triggers(state), *(_trigger(reading) for reading in readings)]
    return tuple(trigger for trigger in triggers if trigger.active or trigger.condition in state.caution.ended)


def words(trigger: Trigger) -> str:
    """Return what a trigger says, for people."""
    match trigger.condition, trigger.active:
        case Condition.POLICY, _:
            return "the policy says so"
        case Condition.FAULT, True:
            return trigger.seen
        case Condition.FAULT, False:
            return "a new policy has ended the fault"
    is_at = "is at" if trigger.active else "has ended at"
    return f"{trigger.condition} {is_at} {trigger.seen} {trigger.unit}, limit {trigger.limit}"


def _own_triggers(state: RiskState) -> tuple[Trigger, Trigger]:
    active = state.caution.active
    base = TradingMode.NORMAL if state.policy is None else state.policy.rules.mode
    return (
        Trigger(
            condition=Condition.POLICY,
            active=Condition.POLICY in active,
            limit=TradingMode.NORMAL,
            seen=base,
            unit="mode",
        ),
        Trigger(
            condition=Condition.FAULT,
            active=Condition.FAULT in active,
            limit=_NONE,
            seen=(state.fault or _NONE)[:TEXT_MAX],
            unit="words",
        ),
    )


def _trigger(reading: Reading) -> Trigger:
    rule, is_active = reading.thresholds, reading.since_us is not None
    limit = _NONE if rule is None else shown(rule.enter if is_active else rule.leave)
    return Trigger(
        condition=reading.watch.condition,
        active=is_active,
        limit=limit,
        seen=_NONE if reading.seen is None else shown(reading.seen),
        unit=reading.watch.unit,
    )
