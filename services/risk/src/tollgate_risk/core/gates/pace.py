"""Is it too soon, or too much; reducing orders wait only for the symbol's own, shorter cooldown."""

from tollgate_contracts.reasons import Reason
from tollgate_risk.core.case import Case, Measure

MS = 1_000


def global_spacing(case: Case) -> Measure | None:
    """Two orders that are not reducing keep their distance."""
    last_us = case.state.pacing.last_entry_us
    if case.reducing or last_us is None:
        return None
    limit_us, seen_us = case.rules.pace.global_spacing_ms * MS, case.state.now_us - last_us
    return Measure(Reason.PACE_GLOBAL_SPACING, seen_us >= limit_us, limit_us, seen_us, "us")


def symbol_cooldown(case: Case) -> Measure | None:
    """After an order in a symbol the next one in it waits."""
    last_us = case.state.pacing.last_order_us.get(case.intent.symbol)
    if last_us is None:
        return None
    pace = case.rules.pace
    limit_us = (pace.reducing_symbol_cooldown_ms if case.reducing else pace.symbol_cooldown_ms) * MS
    seen_us = case.state.now_us - last_us
    return Measure(Reason.PACE_SYMBOL_COOLDOWN, seen_us >= limit_us, limit_us, seen_us, "us")


def outcome_cooldown(case: Case) -> Measure | None:
    """After a round trip in a symbol its next entry waits, by how it ended; the longest wait speaks."""
    if case.reducing:
        return None
    pace, results = case.rules.pace, case.state.results.of(case.intent.symbol)
    longest: tuple[int, int, str] | None = None
    for last_us, wait_ms, name in (
        (results.last_win_us, pace.after_win_ms, "win"),
        (results.last_loss_us, pace.after_loss_ms, "loss"),
        (results.last_stop_us, pace.after_stop_ms, "stop"),
    ):
        if last_us is not None and (longest is None or last_us + wait_ms * MS > longest[0]):
            longest = (last_us + wait_ms * MS, last_us, name)
    if longest is None:
        return None
    ends_us, last_us, name = longest
    limit_us, seen_us = ends_us - last_us, case.state.now_us - last_us
    return Measure(Reason.PACE_OUTCOME_COOLDOWN, seen_us >= limit_us, limit_us, seen_us, f"us since a {name}")


def hourly_cap(case: Case) -> Measure | None:
    """Only so many orders that are not reducing within any hour: a last resort."""
    if case.reducing:
        return None
    limit, seen = case.rules.pace.orders_per_hour, case.state.pacing.hour.total(case.state.now_us) + 1
    return Measure(Reason.PACE_HOURLY_CAP, seen <= limit, limit, seen, "orders in an hour")


def daily_cap(case: Case) -> Measure | None:
    """The same within any day."""
    if case.reducing:
        return None
    limit, seen = case.rules.pace.orders_per_day, case.state.pacing.day.total(case.state.now_us) + 1
    return Measure(Reason.PACE_DAILY_CAP, seen <= limit, limit, seen, "orders in a day")


def rate(case: Case) -> Measure | None:
    """An order that is not reducing takes a token out of the bucket."""
    if case.reducing:
        return None
    seen = case.state.pacing.tokens(case.rules.pace, case.state.now_us)
    return Measure(Reason.PACE_RATE, seen >= 1, 1, seen, "tokens")
