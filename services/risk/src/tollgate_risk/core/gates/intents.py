"""Is the intent itself in order: in time, new, without contradiction."""

from collections.abc import Iterator

from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.strategy import Intent, OrderType, TimeInForce
from tollgate_risk.core.case import Case, finding

MS = 1_000


def expired(case: Case) -> Finding | None:
    """An intent is dead from its expiry on, by tape time."""
    if case.intent.expires_us > case.state.now_us:
        return None
    return finding(Reason.INTENT_EXPIRED, case.intent.expires_us, case.state.now_us, "us")


def duplicate(case: Case) -> Finding | None:
    """A client order id is decided once; an open order's id is known for as long as the order is open."""
    client_order_id = case.intent.client_order_id
    if client_order_id not in case.state.decided and client_order_id not in case.state.orders.by_id:
        return None
    return finding(Reason.INTENT_DUPLICATE, "a new client order id", client_order_id, "client order id")


def malformed(case: Case) -> Finding | None:
    """An intent says one thing; all its contradictions are named together."""
    faults = tuple(_contradictions(case))
    if not faults:
        return None
    return finding(Reason.INTENT_MALFORMED, "no contradiction", "; ".join(faults), "intent")


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


def unknown_order(case: Case) -> Finding | None:
    """A cancel names an open order and repeats what it is."""
    intent = case.intent
    order = case.state.orders.by_id.get(intent.client_order_id)
    if order is None:
        return finding(Reason.INTENT_MALFORMED, "an open order", "no open order of this id", "intent")
    if (order.symbol, order.side) != (intent.symbol, intent.side):
        seen = f"{intent.side} {intent.symbol}"
        return finding(Reason.INTENT_MALFORMED, f"{order.side} {order.symbol}", seen, "intent")
    return None
