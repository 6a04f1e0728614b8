"""May this desk trade at all: arming, kill switch, mode."""

from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.risk import TradingMode
from tollgate_risk.core.case import Case, Measure


def dry_run(case: Case) -> Measure:
    """A dry run judges everything and sends nothing; so does a live desk that is not switched to live trading."""
    missing = case.rules.arming.missing(case.policy.environment)
    what = [name for name in missing if name != "live_trading_ack"]
    return Measure(Reason.GATE_DRY_RUN, not what, "dry_run false, live_trading true", ", ".join(what), "policy")


def not_armed(case: Case) -> Measure:
    """A live desk needs the operator's acknowledgement, letter for letter."""
    is_armed = "live_trading_ack" not in case.rules.arming.missing(case.policy.environment)
    seen = "as it is asked" if is_armed else "another text"
    return Measure(Reason.GATE_NOT_ARMED, is_armed, "the acknowledgement sentence", seen, "policy")


def no_policy() -> Finding:
    """Without a policy in force there is nothing to judge by: the only reason, and it is enough."""
    return Measure(Reason.GATE_NOT_ARMED, False, "a policy in force", "none", "policy").finding()


def kill_switch(case: Case) -> Measure:
    """Nothing is approved while the kill switch is engaged."""
    kill = case.state.kill
    seen = f"engaged at epoch {kill.epoch}" if kill.engaged else "released"
    return Measure(Reason.GATE_KILL_SWITCH, not kill.engaged, "released", seen, "kill switch")


def reduce_only(case: Case) -> Measure | None:
    """In this mode, and for an intent that asks for it, an order may only make a position smaller.

    Nor may any other order take from under an open reducing one what it is to reduce: both together would flip it.
    """
    is_asked = case.intent.reduce_only or case.state.mode is TradingMode.REDUCE_ONLY
    takes_from_another = case.is_perpetual and case.intent.side is case.reducing_side and case.exposure.reducing
    if not is_asked and not takes_from_another:
        return None
    limit = case.reducible if case.intent.side is case.reducing_side else ZERO
    return Measure(Reason.GATE_REDUCE_ONLY, case.reducing, limit, case.intent.quantity, case.base)


def observe_only(case: Case) -> Measure:
    """In this mode nothing is approved, and none has been said only before the first policy."""
    mode = case.state.mode
    is_kept = mode is not None and mode is not TradingMode.OBSERVE_ONLY
    return Measure(Reason.GATE_OBSERVE_ONLY, is_kept, TradingMode.REDUCE_ONLY, mode or "none", "mode")
