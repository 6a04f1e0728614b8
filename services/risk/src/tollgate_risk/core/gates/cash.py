"""Can the order be paid for, or the asset delivered, with everything open counted."""

from decimal import Decimal

from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.strategy import Side
from tollgate_risk.core.case import Case, finding
from tollgate_risk.core.state import RiskState


def free_cash(state: RiskState) -> Decimal:
    """Return the cash that no open buy may still claim, fees included; zero before the account is known."""
    if state.portfolio is None:
        return ZERO
    claimed = state.orders.buying_notional()
    return state.portfolio.cash - claimed - state.fee_on(claimed)


def _cost(case: Case) -> Decimal:
    value = case.intent.quantity * case.bound
    return value + case.state.fee_on(value)


def reserve(case: Case) -> Finding | None:
    """A buy leaves the reserve untouched."""
    if case.intent.side is Side.SELL:
        return None
    left, limit = free_cash(case.state) - _cost(case), case.rules.cash.reserve
    if left >= limit:
        return None
    return finding(Reason.CASH_RESERVE, plain(limit), plain(left), case.policy.quote_currency)


def insufficient(case: Case) -> Finding | None:
    """A buy is paid from free cash, a sale delivers what is held and not yet promised."""
    if case.intent.side is Side.SELL:
        if case.intent.quantity <= case.reducible:
            return None
        return finding(Reason.CASH_INSUFFICIENT, plain(case.reducible), plain(case.intent.quantity), case.base)
    cost, free = _cost(case), free_cash(case.state)
    if case.state.portfolio is not None and cost <= free:
        return None
    return finding(Reason.CASH_INSUFFICIENT, plain(free), plain(cost), case.policy.quote_currency)
