"""Is the intent itself in order: in time, new, without contradiction."""

from collections.abc import Iterator

from tollgate_contracts.money import divide, plain
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Intent, OrderType, Protection, Purpose, Side, TimeInForce
from tollgate_risk.core.case import BPS, Case, Measure

MS = 1_000


def expired(case: Case) -> Measure:
    """An intent is dead from its expiry on, by tape time."""
    expires_us, now_us = case.intent.expires_us, case.state.now_us
    return Measure(Reason.INTENT_EXPIRED, expires_us > now_us, expires_us, now_us, "us")


def duplicate(case: Case) -> Measure:
    """A client order id is decided once; an open order's id is known for as long as the order is open.

    The same order under another id is a repetition for a while: SEC Rule 15c3-5 asks brokers to stop duplicative
    orders.
    """
    client_order_id = case.intent.client_order_id
    if client_order_id in case.state.decided or client_order_id in case.state.orders.by_id:
        return Measure(Reason.INTENT_DUPLICATE, False, "a new client order id", client_order_id, "client order id")
    limit_us, age_us = case.rules.intents.repeat_ms * MS, case.repeated_us
    is_kept = age_us is None or age_us >= limit_us
    return Measure(
        Reason.INTENT_DUPLICATE, is_kept, limit_us, "none" if age_us is None else age_us, "us since the same order"
    )


def malformed(case: Case) -> Measure:
    """An intent says one thing; all its contradictions are named together."""
    faults = "; ".join(_contradictions(case))
    return Measure(Reason.INTENT_MALFORMED, not faults, "no contradiction", faults or "none", "intent")


def _contradictions(case: Case) -> Iterator[str]:
    intent = case.intent
    yield from _order_type_faults(intent, allow_market=case.rules.intents.allow_market_orders)
    if intent.post_only and intent.time_in_force is not TimeInForce.GTC:
        yield f"post-only cannot be {intent.time_in_force}"
    life_ms_max = case.rules.intents.life_ms_max
    if intent.expires_us > case.state.now_us + life_ms_max * MS:
        yield f"expires more than {life_ms_max} ms ahead"
    if intent.desk != case.policy.desk:
        yield f"written for desk {intent.desk}"
    if intent.reduce_only and intent.purpose is Purpose.ENTRY:
        yield "an entry cannot be reduce-only"
    yield from _working_time_faults(intent, case.state.now_us, case.rules.intents.working_ms_max)
    yield from _replacement_faults(case)
    if intent.protection is not None:
        yield from _protection_faults(case, intent.protection)


def _working_time_faults(intent: Intent, now_us: int, working_ms_max: int) -> Iterator[str]:
    until_us = intent.good_until_us
    if until_us is None:
        return
    if until_us <= intent.expires_us:
        yield "works no longer than it may be sent"
    if until_us > now_us + working_ms_max * MS:
        yield f"works more than {working_ms_max} ms ahead"


def _replacement_faults(case: Case) -> Iterator[str]:
    intent = case.intent
    if intent.replaces is None:
        return
    order = case.replaced
    if order is None:
        yield f"replaces {intent.replaces}, which is no open order"
    elif (order.symbol, order.strategy) != (intent.symbol, intent.strategy):
        yield f"replaces {intent.replaces}, which is of {order.strategy or 'no strategy'} in {order.symbol}"
    elif order.side is not intent.side:
        yield f"replaces {intent.replaces}, which is a {order.side}"


def _protection_faults(case: Case, protection: Protection) -> Iterator[str]:
    intent, price = case.intent, case.price
    if intent.reduce_only or intent.purpose is not Purpose.ENTRY or case.reducing:
        yield "an order that reduces leaves nothing to protect"
    if price is None:
        return
    trigger, limit = protection.trigger_price, protection.limit_price
    is_on_the_loss_side = limit <= trigger < price if intent.side is Side.BUY else limit >= trigger > price
    if not is_on_the_loss_side:
        yield f"a stop at {plain(trigger)}, {plain(limit)} at worst, does not end a loss from {plain(price)}"
    distance, limit_bps = abs(price - limit) * BPS, case.rules.intents.protection_bps_max
    if distance > limit_bps * price:
        yield f"a stop {plain(divide(distance, price, 4))} bps away at worst, at most {plain(limit_bps)}"


def _order_type_faults(intent: Intent, *, allow_market: bool) -> Iterator[str]:
    if intent.order_type is OrderType.LIMIT:
        if intent.limit_price is None:
            yield "limit order without a price"
        return
    if not allow_market:
        yield "market orders are not allowed by the policy"
    if intent.limit_price is not None:
        yield "market order with a price"
    if intent.post_only:
        yield "market order cannot be post-only"
    if intent.time_in_force is TimeInForce.GTC:
        yield "market order cannot be GTC"


def unknown_order(case: Case) -> Measure:
    """A cancel names an open order and repeats what it is."""
    intent = case.intent
    order = case.state.orders.by_id.get(intent.client_order_id)
    if order is None:
        return Measure(Reason.INTENT_MALFORMED, False, "an open order", "no open order of this id", "intent")
    is_kept = (order.symbol, order.side) == (intent.symbol, intent.side)
    limit, seen = f"{order.side} {order.symbol}", f"{intent.side} {intent.symbol}"
    return Measure(Reason.INTENT_MALFORMED, is_kept, limit, seen, "intent")
