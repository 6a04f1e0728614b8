"""May this desk trade at all: arming, kill switch, mode."""

from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.risk import TradingMode
from tollgate_risk.core.case import Case, finding
from tollgate_risk.core.policy import LIVE_ACKNOWLEDGEMENT


def dry_run(case: Case) -> Finding | None:
    """A live desk whose policy does not switch live trading on sends nothing."""
    if case.policy.environment != "live" or case.rules.arming.live_trading:
        return None
    return finding(Reason.GATE_DRY_RUN, "live_trading true", "live_trading false", "policy")


def not_armed(case: Case) -> Finding | None:
    """A live desk needs the operator's acknowledgement, letter for letter."""
    arming = case.rules.arming
    armed = not arming.live_trading or arming.acknowledgement == LIVE_ACKNOWLEDGEMENT
    if case.policy.environment != "live" or armed:
        return None
    return finding(Reason.GATE_NOT_ARMED, "the acknowledgement sentence", "another text", "policy")


def no_policy() -> Finding:
    """Without a policy in force there is nothing to judge by: the only reason, and it is enough."""
    return finding(Reason.GATE_NOT_ARMED, "a policy in force", "none", "policy")


def kill_switch(case: Case) -> Finding | None:
    """Nothing is approved while the kill switch is engaged."""
    kill = case.state.kill
    if not kill.engaged:
        return None
    return finding(Reason.GATE_KILL_SWITCH, "released", f"engaged at epoch {kill.epoch}", "kill switch")


def reduce_only(case: Case) -> Finding | None:
    """In this mode, and for an intent that asks for it, an order may only make a position smaller."""
    wanted = case.intent.reduce_only or case.state.mode is TradingMode.REDUCE_ONLY
    if not wanted or case.reducing:
        return None
    # Long only: a buy never makes a position smaller.
    limit = case.reducible if case.intent.side == "SELL" else ZERO
    return finding(Reason.GATE_REDUCE_ONLY, plain(limit), plain(case.intent.quantity), case.base)


def observe_only(case: Case) -> Finding | None:
    """In this mode nothing is approved, and none has been said only before the first policy."""
    if case.state.mode not in {None, TradingMode.OBSERVE_ONLY}:
        return None
    return finding(Reason.GATE_OBSERVE_ONLY, TradingMode.REDUCE_ONLY, case.state.mode or "none", "mode")
