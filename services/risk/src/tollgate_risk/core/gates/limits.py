"""Is the order small enough, by itself and with everything that is held and may still trade.

What is open counts in full, at the worse of its bound and the mark. An order that only makes a position smaller
passes every cap but the one on its own size and its own number: a desk above its caps must be able to come down.
"""

from decimal import Decimal

from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Side
from tollgate_risk.core.case import BPS, Case, Measure


def order_notional(case: Case) -> Measure:
    """One order is worth at most the cap; this binds reducing orders too, which come in slices."""
    return _capped(case, Reason.LIMIT_ORDER_NOTIONAL, case.rules.limits.order_notional, case.value)


def cycle_notional(case: Case) -> Measure | None:
    """The orders that one cycle of the clock approves are together worth at most the cap."""
    if case.reducing:
        return None
    seen = case.state.pacing.cycle_notional + case.value
    return _capped(case, Reason.LIMIT_CYCLE_NOTIONAL, case.rules.limits.cycle_notional, seen)


def position_notional(case: Case) -> Measure | None:
    """One position is worth at most the cap when everything open has traded."""
    if case.reducing:
        return None
    return _capped(case, Reason.LIMIT_POSITION_NOTIONAL, case.rules.limits.position_notional, case.exposure_after)


def position_units(case: Case) -> Measure | None:
    """One position has at most so many units when everything open has traded."""
    cap = case.rules.limits.units_of(case.intent.symbol)
    if case.reducing or cap is None:
        return None
    held, quantity = case.state.held(case.intent.symbol), case.intent.quantity
    if case.intent.side is Side.BUY:
        seen = held + case.exposure.buying + quantity
    else:
        seen = case.exposure.selling + quantity - held
    return Measure(Reason.LIMIT_POSITION_UNITS, seen <= cap, cap, max(seen, ZERO), case.base)


def gross_exposure(case: Case) -> Measure | None:
    """All positions together are worth at most the cap when everything open has traded, longs and shorts added."""
    if case.reducing:
        return None
    seen = case.total.worst + case.exposure_after - case.exposure.worst
    return _capped(case, Reason.LIMIT_GROSS_EXPOSURE, case.rules.limits.gross_exposure, seen)


def net_exposure(case: Case) -> Measure | None:
    """Longs against shorts are worth at most the cap, whichever of the open orders trade."""
    if case.reducing:
        return None
    total = case.total
    if case.intent.side is Side.BUY:
        seen = max(total.net, total.high + case.value)
    else:
        seen = max(total.net, case.value - total.low)
    return _capped(case, Reason.LIMIT_NET_EXPOSURE, case.rules.limits.net_exposure, seen)


def group_exposure(case: Case) -> Measure | None:
    """Symbols that move together are worth at most their group's cap; of several groups the fullest speaks."""
    if case.reducing:
        return None
    added = case.exposure_after - case.exposure.worst
    fullest: tuple[Decimal, str, Decimal, Decimal] | None = None
    for group in case.rules.limits.groups_of(case.intent.symbol):
        seen = case.state.exposures.group(case.state, group.name) + added
        if fullest is None or seen - group.exposure > fullest[0]:
            fullest = (seen - group.exposure, group.name, group.exposure, seen)
    if fullest is None:
        return None
    excess, name, limit, seen = fullest
    unit = f"{case.policy.quote_currency} in {name}"
    return Measure(Reason.LIMIT_GROUP_EXPOSURE, excess <= ZERO, limit, seen, unit)


def concentration(case: Case) -> Measure | None:
    """One position is worth at most a part of equity when everything open has traded."""
    equity = case.state.equity()
    if case.reducing or equity is None:
        return None
    limit = max(equity, ZERO) * case.rules.limits.concentration_bps / BPS
    seen, unit = case.exposure_after, f"{case.policy.quote_currency} of equity's share"
    return Measure(Reason.LIMIT_CONCENTRATION, seen <= limit, limit, seen, unit)


def _capped(case: Case, code: Reason, limit: Decimal, seen: Decimal) -> Measure:
    return Measure(code, seen <= limit, limit, seen, case.policy.quote_currency)


def open_orders(case: Case) -> Measure | None:
    """Only so many orders are open at a time, this one counted."""
    if case.reducing:
        return None
    limit, seen = case.rules.limits.open_orders, len(case.state.orders) + 1
    return Measure(Reason.LIMIT_OPEN_ORDERS, seen <= limit, limit, seen, "orders")


def open_orders_symbol(case: Case) -> Measure | None:
    """Only so many orders are open in one symbol at a time, this one counted."""
    if case.reducing:
        return None
    limit, seen = case.rules.limits.open_orders_symbol, case.exposure.orders + 1
    return Measure(Reason.LIMIT_OPEN_ORDERS_SYMBOL, seen <= limit, limit, seen, "orders")


def orders_per_cycle(case: Case) -> Measure:
    """Only so many orders are approved in one clock cycle; reducing orders are counted apart."""
    limits, pacing = case.rules.limits, case.state.pacing
    if case.reducing:
        limit, seen = limits.reducing_orders_per_cycle, pacing.cycle_reducing_orders + 1
    else:
        limit, seen = limits.orders_per_cycle, pacing.cycle_orders + 1
    return Measure(Reason.LIMIT_ORDERS_PER_CYCLE, seen <= limit, limit, seen, "orders")
