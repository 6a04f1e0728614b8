"""Is the order small enough, by itself and with everything that is held and may still trade.

Open buys count in full at the worse of their bound and the mark, open sells do not count as done. An order that
only makes a position smaller passes every cap but the one on its own size and its own number: a desk above its
caps must be able to come down.
"""

from decimal import Decimal

from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reasons import Finding, Reason
from tollgate_risk.core.case import Case, finding
from tollgate_risk.core.state import RiskState


def exposure_of(state: RiskState, symbol: str) -> Decimal:
    """Return the worst value of one symbol: what is held and what open buys may add, in quote currency."""
    held = state.value(state.held(symbol), symbol)
    return held + sum((state.value(o.remaining, symbol, o.price) for o in state.orders.buying(symbol)), ZERO)


def gross_exposure_of(state: RiskState) -> Decimal:
    """Return the worst value of all symbols together, in quote currency."""
    held = state.portfolio.holdings() if state.portfolio is not None else {}
    symbols = dict.fromkeys([*held, *(order.symbol for order in state.orders.by_id.values())])
    return sum((exposure_of(state, symbol) for symbol in symbols), ZERO)


def order_notional(case: Case) -> Finding | None:
    """One order is worth at most the cap; this binds reducing orders too, which come in slices."""
    return _capped(case, Reason.LIMIT_ORDER_NOTIONAL, case.rules.limits.order_notional, case.value)


def position_notional(case: Case) -> Finding | None:
    """One position is worth at most the cap when everything open has traded."""
    if case.reducing:
        return None
    seen = exposure_of(case.state, case.intent.symbol) + case.value
    return _capped(case, Reason.LIMIT_POSITION_NOTIONAL, case.rules.limits.position_notional, seen)


def gross_exposure(case: Case) -> Finding | None:
    """All positions together are worth at most the cap when everything open has traded."""
    if case.reducing:
        return None
    seen = gross_exposure_of(case.state) + case.value
    return _capped(case, Reason.LIMIT_GROSS_EXPOSURE, case.rules.limits.gross_exposure, seen)


def _capped(case: Case, code: Reason, limit: Decimal, seen: Decimal) -> Finding | None:
    if seen <= limit:
        return None
    return finding(code, plain(limit), plain(seen), case.policy.quote_currency)


def open_orders(case: Case) -> Finding | None:
    """Only so many orders are open at a time, this one counted."""
    limit, seen = case.rules.limits.open_orders, len(case.state.orders) + 1
    if case.reducing or seen <= limit:
        return None
    return finding(Reason.LIMIT_OPEN_ORDERS, limit, seen, "orders")


def open_orders_symbol(case: Case) -> Finding | None:
    """Only so many orders are open in one symbol at a time, this one counted."""
    limit, seen = case.rules.limits.open_orders_symbol, case.state.orders.count(case.intent.symbol) + 1
    if case.reducing or seen <= limit:
        return None
    return finding(Reason.LIMIT_OPEN_ORDERS_SYMBOL, limit, seen, "orders")


def orders_per_cycle(case: Case) -> Finding | None:
    """Only so many orders are approved in one clock cycle; reducing orders are counted apart."""
    limits, pacing = case.rules.limits, case.state.pacing
    if case.reducing:
        limit, seen = limits.reducing_orders_per_cycle, pacing.cycle_reducing_orders + 1
    else:
        limit, seen = limits.orders_per_cycle, pacing.cycle_orders + 1
    if seen <= limit:
        return None
    return finding(Reason.LIMIT_ORDERS_PER_CYCLE, limit, seen, "orders")
