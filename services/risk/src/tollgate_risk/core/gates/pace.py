"""Is it too soon; reducing orders wait only for the symbol's own, shorter cooldown."""

from tollgate_contracts.reasons import Finding, Reason
from tollgate_risk.core.case import Case, finding

MS = 1_000


def global_spacing(case: Case) -> Finding | None:
    """Two orders that are not reducing keep their distance."""
    last_us = case.state.pacing.last_entry_us
    if case.reducing or last_us is None:
        return None
    limit_us, seen_us = case.rules.pace.global_spacing_ms * MS, case.state.now_us - last_us
    return None if seen_us >= limit_us else finding(Reason.PACE_GLOBAL_SPACING, limit_us, seen_us, "us")


def symbol_cooldown(case: Case) -> Finding | None:
    """After an order in a symbol the next one in it waits."""
    last_us = case.state.pacing.last_order_us.get(case.intent.symbol)
    if last_us is None:
        return None
    pace = case.rules.pace
    limit_us = (pace.reducing_symbol_cooldown_ms if case.reducing else pace.symbol_cooldown_ms) * MS
    seen_us = case.state.now_us - last_us
    return None if seen_us >= limit_us else finding(Reason.PACE_SYMBOL_COOLDOWN, limit_us, seen_us, "us")
