"""Can the order be paid for, or the asset delivered, with everything open counted: the desk finances itself.

Cash is what the account opened with, what trading has brought, and what the venue says has come or gone besides. What
belongs to the treasury is not cash to trade with, and the reserve is never touched.
"""

from decimal import Decimal

from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Side
from tollgate_risk.core.case import Case, Measure
from tollgate_risk.core.state import RiskState


def free_cash(state: RiskState) -> Decimal:
    """Return the cash that no open order and no loss may still claim, fees included, less what is the treasury's.

    Zero before the account is known.
    """
    if state.portfolio is None:
        return ZERO
    at_risk = state.exposure_in_all()
    return state.portfolio.cash - state.treasury - at_risk.claimed - state.fee_on(at_risk.fee_base)


def spendable(state: RiskState) -> Decimal:
    """Return the free cash that may buy spot: cash that margins perpetuals buys nothing."""
    return free_cash(state) - state.exposure_in_all().initial_margin


def _free(case: Case) -> Decimal:
    # Whether a perpetual has margin enough, the gates of margin say.
    return free_cash(case.state) if case.is_perpetual else spendable(case.state)


def cost(case: Case) -> Decimal:
    """Return what the order may take out of cash: its price for a spot buy, the fee for anything on margin.

    A spot buy pays no more than its bound, spread and slippage included; a position on margin has lost them at once.
    """
    if case.is_perpetual:
        return case.state.fee_on(case.value) + case.state.slippage_on(case.intent.symbol, case.value)
    value = case.intent.quantity * case.bound
    return case.state.fee_on(value) + value


def reserve(case: Case) -> Measure | None:
    """What adds to a position leaves the reserve untouched."""
    if _is_delivery(case) or case.reducing:
        return None
    left, limit = _free(case) - cost(case), case.rules.cash.reserve
    return Measure(Reason.CASH_RESERVE, left >= limit, limit, left, case.policy.quote_currency)


def insufficient(case: Case) -> Measure | None:
    """A buy is paid from free cash, a spot sale delivers what is held and not yet promised."""
    if _is_delivery(case):
        return Measure(
            Reason.CASH_INSUFFICIENT,
            case.intent.quantity <= case.reducible,
            case.reducible,
            case.intent.quantity,
            case.base,
        )
    if case.reducing:
        return None
    seen, free = cost(case), _free(case)
    is_kept = case.state.portfolio is not None and seen <= free
    return Measure(Reason.CASH_INSUFFICIENT, is_kept, free, seen, case.policy.quote_currency)


def _is_delivery(case: Case) -> bool:
    return case.intent.side is Side.SELL and not case.is_perpetual
