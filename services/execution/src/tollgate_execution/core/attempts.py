"""At what price an order is placed, and when it is placed anew: never worse than approved, and never twice at once."""

from dataclasses import replace
from decimal import Decimal

from tollgate_contracts.approval import Approval
from tollgate_contracts.execution import OrderState
from tollgate_contracts.money import EXACT, divide
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import InstrumentRules
from tollgate_execution.core.evidence import Assessment
from tollgate_execution.core.market import Market
from tollgate_execution.core.parameters import Parameters
from tollgate_execution.core.placing import Leg
from tollgate_execution.core.record import OrderRecord

_BPS = Decimal(10_000)
# A price times a rate in basis points has four digits more than a price; rounding to the tick comes after.
_PLACES = 22


def best_prices(symbol: str, market: Market, parameters: Parameters, now_us: int) -> tuple[Decimal, Decimal] | None:
    """Return best bid and ask, or none where the tape has no fresh quote of the symbol."""
    quoted = market.quoted(symbol)
    if quoted is None or now_us - quoted.ts_us > parameters.quote_age_us_max:
        return None
    return quoted.quote.bid, quoted.quote.ask


def first_price(approval: Approval, market: Market, parameters: Parameters, now_us: int) -> Decimal | Reason:
    """Return at what price an order is sent first, or why it is not: one that would take slips only so far."""
    bound, slippage_bps = approval.limit_price, parameters.slippage_bps_max
    assert bound is not None  # noqa: S101 - the guards let no order through without a price bound
    if slippage_bps is None or approval.post_only:
        return bound
    best = best_prices(approval.symbol, market, parameters, now_us)
    if best is None:
        return bound if approval.reduce_only else Reason.DATA_STALE
    bid, ask = best
    buys = approval.side is Side.BUY
    opposite = ask if buys else bid
    if (bound < opposite) if buys else (bound > opposite):
        return bound
    price, instrument = opposite, market.instrument(approval.symbol)
    if instrument is not None:
        slack = _BPS + slippage_bps if buys else _BPS - slippage_bps
        reached = divide(EXACT.multiply(opposite, slack), _BPS, _PLACES)
        price = InstrumentRules.of(instrument).quantize_price(reached, approval.side)
    # To round a buy down could pass the ask, and a sale up the bid: the best price itself is always in reach.
    return min(bound, max(price, opposite)) if buys else max(bound, min(price, opposite))


def repriced(
    before: OrderRecord, assessment: Assessment, market: Market, parameters: Parameters, now_us: int
) -> OrderRecord | None:
    """Return the next attempt of a post-only order that would have taken, or none where there may be none."""
    approval, placing = before.approval, before.placing
    if placing.leg is not Leg.ORDER:
        return None
    refused = assessment.record.state is OrderState.REJECTED and assessment.reason is Reason.PRICE_CROSSED_POST_ONLY
    if not refused or not approval.post_only or approval.limit_price is None:
        return None
    if before.is_over or before.cancel is not None or before.sends > 1 or assessment.record.trades:
        return None
    ends_us = min(placing.until_us, placing.until_us if approval.good_until_us is None else approval.good_until_us)
    if placing.attempt > parameters.watch.reprices_max or now_us >= ends_us:
        return None
    best = best_prices(approval.symbol, market, parameters, now_us)
    if best is None:
        return None
    bid, ask = best
    # Both are prices of the venue's grid: the one was quoted, the other approved for it.
    price = min(bid, approval.limit_price) if placing.side is Side.BUY else max(ask, approval.limit_price)
    return replace(
        assessment.record,
        placing=placing.next(price),
        state=OrderState.SUBMITTING,
        venue_order_id=None,
        acknowledged=False,
        doubted_us=0,
        before_cancel=None,
    )
