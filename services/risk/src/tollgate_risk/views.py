"""The gate's state for people: JSON-ready, decimals as plain strings."""

from typing import Any

from tollgate_contracts.money import plain
from tollgate_contracts.strategy import Side
from tollgate_risk.core.gates.cash import free_cash
from tollgate_risk.core.gates.limits import exposure_of, gross_exposure_of
from tollgate_risk.core.orders import OpenOrder
from tollgate_risk.core.state import RiskState


def status_view(state: RiskState) -> dict[str, Any]:
    """Return what ``GET /v1/status`` tells of the gate."""
    counts = state.counts
    return {
        "mode": None if state.mode is None else state.mode.value,
        "intents": counts.intents,
        "decisions": {
            "APPROVED": counts.approved,
            "REJECTED": counts.rejected,
            "by_reason": dict(sorted(counts.by_reason.items())),
        },
        "open_orders": len(state.orders),
        "positions": positions_view(state),
        "policy_hash": state.policy_hash if state.policy is not None else None,
        "fault": state.fault,
    }


def positions_view(state: RiskState) -> dict[str, str]:
    """Return what is held, by symbol, in base currency."""
    holdings = {} if state.portfolio is None else state.portfolio.holdings()
    return {symbol: plain(holding.quantity) for symbol, holding in holdings.items()}


def state_view(state: RiskState) -> dict[str, Any]:
    """Return what ``GET /v1/state`` tells: all that the gate judges by, but the policy."""
    exposed = sorted({*positions_view(state), *(order.symbol for order in state.orders.by_id.values())})
    pacing, kill = state.pacing, state.kill
    return {
        **status_view(state),
        "now_us": state.now_us,
        "feed": None if state.feed is None else state.feed.value,
        "kill_switch": {"engaged": kill.engaged, "epoch": kill.epoch, "actor": kill.actor, "reason": kill.reason},
        "cash": None if state.portfolio is None else plain(state.portfolio.cash),
        "free_cash": plain(free_cash(state)),
        "taker_fee_bps": plain(state.taker_fee_bps),
        "gross_exposure": plain(gross_exposure_of(state)),
        "exposure": {symbol: plain(exposure_of(state, symbol)) for symbol in exposed},
        "open_orders": [_order_view(state, order) for order in state.orders.by_id.values()],
        "cycle": {
            "id": pacing.cycle_id,
            "orders": pacing.cycle_orders,
            "reducing_orders": pacing.cycle_reducing_orders,
        },
        "decided_ids_remembered": len(state.decided),
    }


def _order_view(state: RiskState, order: OpenOrder) -> dict[str, Any]:
    value = order.remaining * order.price
    reserves = plain(value + state.fee_on(value)) if order.side is Side.BUY else plain(order.remaining)
    return {
        "client_order_id": order.client_order_id,
        "decision_id": order.decision_id,
        "symbol": order.symbol,
        "side": order.side.value,
        "quantity": plain(order.quantity),
        "filled": plain(order.filled),
        "price": plain(order.price),
        "state": None if order.state is None else order.state.value,
        "reserves": reserves,
    }
