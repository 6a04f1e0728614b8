"""The mode: conditions that hold ask for one, and it comes back step by step when they have ended.

The mode in force is the severest of three: the one that the policy names, OBSERVE_ONLY under a fault, and the floor
that the conditions hold. What a person ends, by a policy, ends at once. The floor falls at once, to what the severest
condition asks for, and rises one step at a time, each after no condition has asked for it for the cool-off.
"""

from tollgate_contracts.risk import Condition, Mode, Policy, TradingMode, Trigger
from tollgate_risk.core.conditions import WATCHES, holds, thresholds_of
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.core.reply import Reply
from tollgate_risk.core.state import RiskState
from tollgate_risk.core.triggers import TEXT_MAX, triggers_of, words

_MS = 1_000
_MODES = tuple(TradingMode)
# What a person ends: nothing of it cools off.
_BY_A_PERSON = (Condition.POLICY, Condition.FAULT)
_BY_POLICY = "the policy says so"


def review(state: RiskState, reply: Reply) -> None:
    """Bring the mode to what is asked for, and say so when it changes."""
    policy, caution = state.policy, state.caution
    if policy is None and state.fault is None:
        return
    caution.note(Condition.FAULT, state.fault is not None, state.now_us)
    has_cooled_off = False
    if policy is not None:
        _note_conditions(state, policy)
        has_cooled_off = _settle_floor(state, policy)
    wanted = severest(caution.floor, *(asked_by(state, condition) for condition in _BY_A_PERSON))
    if wanted is not state.mode:
        _change(state, wanted, has_cooled_off, reply)
    # The ends of these two are behind no later change; those of the others are behind each step of the way back.
    for condition in _BY_A_PERSON:
        caution.ended.pop(condition, None)
    if caution.floor is TradingMode.NORMAL:
        caution.ended.clear()


def asked_by(state: RiskState, condition: Condition) -> TradingMode:
    """Return the mode that a condition asks for now: NORMAL while it does not hold."""
    if condition not in state.caution.active:
        return TradingMode.NORMAL
    if condition is Condition.FAULT:
        return TradingMode.OBSERVE_ONLY
    # Without a policy nobody says what a condition asks for; there is then a fault, which asks for more than any.
    if state.policy is None:
        return TradingMode.NORMAL
    if condition is Condition.POLICY:
        return state.policy.rules.mode
    rule = thresholds_of(state.policy.rules, condition)
    return TradingMode.NORMAL if rule is None else rule.response


def cool_off_left_us(state: RiskState) -> int | None:
    """Return how long the floor still waits before its next step up; none while it does not wait."""
    quiet_since_us, policy = state.caution.quiet_since_us, state.policy
    if quiet_since_us is None or policy is None:
        return None
    return max(quiet_since_us + policy.rules.modes.cool_off_ms * _MS - state.now_us, 0)


def severest(*modes: TradingMode) -> TradingMode:
    """Return the mode that lets least through."""
    return max(modes, key=lambda mode: mode.severity)


def _note_conditions(state: RiskState, policy: PolicyDocument) -> None:
    caution, rules = state.caution, policy.rules
    caution.note(Condition.POLICY, rules.mode is not TradingMode.NORMAL, state.now_us)
    for watch in WATCHES:
        rule = thresholds_of(rules, watch.condition)
        held = watch.condition in caution.active
        if rule is not None or held:
            caution.note(watch.condition, holds(rule, watch.read(state, rules), held), state.now_us)


def _settle_floor(state: RiskState, policy: PolicyDocument) -> bool:
    """Bring the floor to what the conditions ask for; say whether a cool-off has let it rise."""
    caution, now_us = state.caution, state.now_us
    held = [condition for condition in caution.active if condition not in _BY_A_PERSON]
    wanted = severest(TradingMode.NORMAL, *(asked_by(state, condition) for condition in held))
    if wanted.severity >= caution.floor.severity:
        caution.floor, caution.quiet_since_us = wanted, None
        return False
    if caution.quiet_since_us is None:
        caution.quiet_since_us = now_us
    if now_us - caution.quiet_since_us < policy.rules.modes.cool_off_ms * _MS:
        return False
    caution.floor = _MODES[caution.floor.severity - 1]
    caution.quiet_since_us = None if caution.floor is wanted else now_us
    return True


def _change(state: RiskState, to_mode: TradingMode, has_cooled_off: bool, reply: Reply) -> None:
    before, state.mode = state.mode, to_mode
    state.caution.since_us = state.now_us
    triggers = triggers_of(state)
    is_rising = before is not None and to_mode.severity < before.severity
    reasons = [words(one) for one in triggers if _is_said(state, one, to_mode, is_rising=is_rising)]
    if has_cooled_off and state.policy is not None:
        reasons.append(f"no condition has asked for {before} for {state.policy.rules.modes.cool_off_ms} ms")
    if isinstance(reply.cause, Policy):
        reasons = reasons or [_BY_POLICY]
        reasons += _lacking(state.policy)
    why = "; ".join(reasons)[:TEXT_MAX]
    reply.say(Mode, from_mode=before, to_mode=to_mode, why=why, triggers=triggers)


def _is_said(state: RiskState, trigger: Trigger, to_mode: TradingMode, *, is_rising: bool) -> bool:
    """Say whether a trigger belongs in the words: what asks for this very mode, and what has let go of the last."""
    if trigger.active:
        return to_mode is not TradingMode.NORMAL and asked_by(state, trigger.condition) is to_mode
    return is_rising


def _lacking(policy: PolicyDocument | None) -> list[str]:
    """Return what arming lacks, in words; nothing for a desk that is armed."""
    missing = () if policy is None else policy.rules.arming.missing(policy.environment)
    if policy is None or not missing:
        return []
    return [f"a {policy.environment} desk that is not armed: {', '.join(missing)}"]
