"""Has too much been lost to go on: entries stop, and what is held may always be reduced.

Equity moves with every quote, so the gates ask for it anew. While a mark is missing it is not known, and they say
nothing, for ``data.no_mark`` speaks; but a limit that was reached when equity was last known stays reached.
"""

from decimal import Decimal

from tollgate_contracts.reasons import Reason
from tollgate_risk.core.case import Case, Measure


def daily(case: Case) -> Measure | None:
    """Since the day began, open and closed positions together have lost less than the limit."""
    if case.reducing:
        return None
    equity = case.state.equity()
    seen, limit = case.state.results.daily_loss_at(equity), case.rules.loss.daily
    return _below(Reason.LOSS_DAILY, limit, seen, case.policy.quote_currency, is_current=equity is not None)


def drawdown(case: Case) -> Measure | None:
    """Equity has fallen from its peak by less than the limit."""
    if case.reducing:
        return None
    equity = case.state.equity()
    seen, limit = case.state.results.drawdown_bps_at(equity), case.rules.loss.drawdown_bps
    return _below(Reason.LOSS_DRAWDOWN, limit, seen, "bps of the peak", is_current=equity is not None)


def _below(code: Reason, limit: Decimal, seen: Decimal | None, unit: str, *, is_current: bool) -> Measure | None:
    if seen is None or (not is_current and seen < limit):
        return None
    return Measure(code, seen < limit, limit, seen, unit)


def consecutive(case: Case) -> Measure | None:
    """Fewer round trips have lost in a row than the limit, or the pause that they led to is over."""
    if case.reducing:
        return None
    rules = case.rules.loss
    limit = rules.consecutive
    seen = case.state.results.streak.now(limit, rules.consecutive_pause_ms, case.state.now_us)
    return Measure(Reason.LOSS_CONSECUTIVE, seen < limit, limit, seen, "losing round trips in a row")


def symbol_lockout(case: Case) -> Measure | None:
    """The same within the symbol, which is else locked out for a while."""
    if case.reducing:
        return None
    rules, streak = case.rules.loss, case.state.results.of(case.intent.symbol).streak
    limit = rules.symbol_consecutive
    seen = streak.now(limit, rules.symbol_lockout_ms, case.state.now_us)
    return Measure(Reason.LOSS_SYMBOL_LOCKOUT, seen < limit, limit, seen, "losing round trips in a row")
