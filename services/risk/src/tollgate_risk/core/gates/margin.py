"""Do perpetuals leave enough free, with this order and everything open counted at its worst.

What stands behind perpetuals is the *margin balance*: free cash and what they have won or lost. Spot holdings are no
part of it, for venues take them as margin at a discount or not at all; nor is what belongs to the treasury, and what
open orders may still claim. A desk that trades only perpetuals, has no order open and no treasury, has its equity.

A desk without perpetuals never meets these gates; where one is held, a spot buy does, for it takes from the balance.
While a mark is missing the balance is not known, and they say nothing, for ``data.no_mark`` speaks.
"""

from decimal import ROUND_CEILING, Decimal

from tollgate_contracts.money import ZERO, divide, round_to_places
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Side
from tollgate_domain.margin import funding_payment, liquidation_distance_bps
from tollgate_domain.portfolio import COST_PLACES
from tollgate_risk.core.case import BPS, Case, Measure
from tollgate_risk.core.gates.cash import cost, free_cash
from tollgate_risk.core.state import RiskState

_MS = 1_000
_PLACES = 8
# Less than the smallest amount of any quote currency is nothing; nor does a share of it fit the exact context.
_LEAST = Decimal("0.00000001")
_NO_BALANCE = "any of no margin balance"


def margin_balance(state: RiskState) -> Decimal | None:
    """Return what stands behind perpetuals, in quote currency; none while it is not known."""
    return None if state.equity() is None else free_cash(state) + state.exposure_in_all().gained


def _balance_after(case: Case) -> Decimal | None:
    """Return the margin balance once the order is paid; none where the gates of margin do not concern it."""
    is_spot_buy = not case.is_perpetual and case.intent.side is Side.BUY
    if case.reducing or not (case.is_perpetual or (is_spot_buy and case.total.leveraged)):
        return None
    balance = margin_balance(case.state)
    return None if balance is None else balance - cost(case)


def _added(case: Case) -> Decimal:
    """Return by how much the order makes the worst size of the symbol's position larger, where that needs margin."""
    return case.exposure_after - case.exposure.worst if case.is_perpetual else ZERO


def _rate(case: Case, name: str) -> Decimal:
    terms = None if case.instrument is None else case.instrument.margin
    rate: Decimal = ZERO if terms is None else getattr(terms, name)
    return rate


def insufficient(case: Case) -> Measure | None:
    """The balance covers the initial margin of all perpetuals, with a buffer on top."""
    balance = _balance_after(case)
    if balance is None:
        return None
    margin = case.total.initial_margin + _added(case) * _rate(case, "initial_rate")
    return _covered(case, Reason.MARGIN_INSUFFICIENT, balance, margin, case.rules.margin.initial_buffer_bps)


def maintenance(case: Case) -> Measure | None:
    """The balance covers the maintenance margin of all perpetuals, with a buffer on top."""
    balance = _balance_after(case)
    if balance is None:
        return None
    margin = case.total.maintenance_margin + _added(case) * _rate(case, "maintenance_rate")
    return _covered(case, Reason.MARGIN_MAINTENANCE, balance, margin, case.rules.margin.maintenance_buffer_bps)


def _covered(case: Case, code: Reason, balance: Decimal, margin: Decimal, buffer_bps: Decimal) -> Measure:
    # Rounded up, so that the product with any buffer fits the exact context.
    seen = round_to_places(margin, COST_PLACES, ROUND_CEILING) * (BPS + buffer_bps) / BPS
    return Measure(code, seen <= balance, balance, seen, case.policy.quote_currency)


def leverage(case: Case) -> Measure | None:
    """All perpetuals are together worth at most a multiple of the balance: the policy's, or the venue's if lower."""
    balance = _balance_after(case)
    if balance is None:
        return None
    limit = case.rules.margin.leverage_max
    if case.is_perpetual:
        limit = min(limit, _rate(case, "leverage_max"))
    seen = case.total.leveraged + _added(case)
    return _part(Reason.MARGIN_LEVERAGE, limit, seen, balance, "times the margin balance")


def funding(case: Case) -> Measure | None:
    """Funding payments that are due soon cost at most a part of the balance; what would be received counts for nothing.

    An order counts in its symbol's payment, whichever of the open orders trade.
    """
    balance = _balance_after(case)
    if balance is None:
        return None
    now_us, rules = case.state.now_us, case.rules.margin
    until_us = now_us + rules.funding_horizon_ms * _MS
    seen = case.state.exposures.funding(case.state, now_us, until_us)
    due = case.state.fundings.get(case.intent.symbol)
    if due is not None and case.is_perpetual and now_us <= due.due_us <= until_us:
        is_buy = case.intent.side is Side.BUY
        high = case.exposure.high + (case.value if is_buy else ZERO)
        low = case.exposure.low - (ZERO if is_buy else case.value)
        seen += funding_payment(high, low, due.rate) - case.exposure.funding
    return _part(Reason.MARGIN_FUNDING, rules.funding_share_bps, seen * BPS, balance, "bps of the margin balance")


def _part(code: Reason, limit: Decimal, seen: Decimal, balance: Decimal, unit: str) -> Measure:
    if not seen:
        return Measure(code, True, limit, ZERO, unit)
    if balance < _LEAST:
        return Measure(code, False, limit, _NO_BALANCE, unit)
    share = divide(seen, balance, _PLACES, ROUND_CEILING)
    return Measure(code, share <= limit, limit, share, unit)


def liquidation_distance(case: Case) -> Measure | None:
    """The mark is far from where the position would be liquidated if it alone moved against us.

    The position is the one with this order and all open ones of its side; the other symbols' margins are at their
    worst. An order that is not reducing leaves a position on its own side, so the other side is no matter of it.
    """
    balance = _balance_after(case)
    if balance is None or case.quote is None or not case.is_perpetual:
        return None
    held, mark, intent = case.state.held(case.intent.symbol), case.quote.mark, case.intent
    if intent.side is Side.BUY:
        quantity = held + case.exposure.buying + intent.quantity
    else:
        quantity = held - case.exposure.selling - intent.quantity
    rate = _rate(case, "maintenance_rate")
    others = case.total.maintenance_margin - case.exposure.maintenance_margin
    distance = liquidation_distance_bps(quantity, mark, rate, balance - others - abs(quantity) * mark * rate)
    limit = case.rules.margin.liquidation_distance_bps
    is_kept, seen = distance is None or distance >= limit, "none" if distance is None else distance
    return Measure(Reason.MARGIN_LIQUIDATION_DISTANCE, is_kept, limit, seen, "bps from the mark")
