"""The gate's state for people: JSON-ready, decimals as plain strings."""

from decimal import Decimal
from typing import Any

from tollgate_contracts.money import plain
from tollgate_contracts.strategy import Side
from tollgate_domain import amounts
from tollgate_risk.core import modes
from tollgate_risk.core.case import shown
from tollgate_risk.core.conditions import Reading, survey
from tollgate_risk.core.gates.cash import free_cash
from tollgate_risk.core.orders import OpenOrder
from tollgate_risk.core.policy import LossRules
from tollgate_risk.core.results import SymbolResults
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
        "fees_without_rate": {} if state.portfolio is None else amounts.to_json(state.portfolio.without_rate()),
        "policy_hash": state.policy_hash if state.policy is not None else None,
        "fault": state.fault,
        "arming_missing": _arming_missing(state),
    }


def _arming_missing(state: RiskState) -> list[str] | None:
    """Return what keeps the desk from trading, as the policy's keys; none before a policy is in force."""
    policy = state.policy
    return None if policy is None else list(policy.rules.arming.missing(policy.environment))


def positions_view(state: RiskState) -> dict[str, str]:
    """Return what is held, by symbol, in base currency."""
    holdings = {} if state.portfolio is None else state.portfolio.holdings()
    return {symbol: plain(holding.quantity) for symbol, holding in holdings.items()}


def state_view(state: RiskState) -> dict[str, Any]:
    """Return what ``GET /v1/state`` tells: all that the gate judges by, but the policy."""
    pacing, kill = state.pacing, state.kill
    return {
        **status_view(state),
        "now_us": state.now_us,
        "feed": None if state.feed is None else state.feed.value,
        "kill_switch": {"engaged": kill.engaged, "epoch": kill.epoch, "actor": kill.actor, "reason": kill.reason},
        "cash": None if state.portfolio is None else plain(state.portfolio.cash),
        "free_cash": plain(free_cash(state)),
        "taker_fee_bps": plain(state.taker_fee_bps),
        "fee_bps": plain(state.fee_bps),
        "results": results_view(state),
        "gross_exposure": plain(state.exposure_in_all().worst),
        "exposure": {symbol: plain(state.exposure(symbol).worst) for symbol in state.exposures.symbols(state)},
        "open_orders": [_order_view(state, order) for order in state.orders.by_id.values()],
        "cycle": {
            "id": pacing.cycle_id,
            "orders": pacing.cycle_orders,
            "reducing_orders": pacing.cycle_reducing_orders,
        },
        "decided_ids_remembered": len(state.decided),
    }


def results_view(state: RiskState) -> dict[str, Any]:
    """Return what trading has brought: equity, the day, drawdown, streaks, lockouts and the treasury.

    Equity and what is reckoned from it are as last known; times are in microseconds.
    """
    results, rules = state.results, None if state.policy is None else state.policy.rules.loss
    counts, streak = results.counts, results.streak
    return {
        "equity": _shown(results.equity),
        "day": results.day,
        "day_opening_equity": _shown(results.day_opening),
        "daily_loss": _shown(results.daily_loss),
        "peak_equity": _shown(results.peak),
        "drawdown_bps": _shown(results.drawdown_bps),
        "revision": results.revision,
        "treasury": plain(results.capital.treasury),
        "trading_capital": plain(results.capital.trading),
        "deficit": plain(results.capital.deficit),
        "round_trips": {"ended": counts.ended, "won": counts.won, "lost": counts.lost, "stopped": counts.stopped},
        "consecutive_losses": streak.losses,
        "paused_until_us": rules and streak.paused_until_us(rules.consecutive, rules.consecutive_pause_ms),
        "symbols": {symbol: _symbol_view(one, rules) for symbol, one in sorted(results.by_symbol.items())},
    }


def _symbol_view(results: SymbolResults, rules: LossRules | None) -> dict[str, int | None]:
    streak = results.streak
    return {
        "consecutive_losses": streak.losses,
        "locked_out_until_us": None
        if rules is None
        else streak.paused_until_us(rules.symbol_consecutive, rules.symbol_lockout_ms),
        "last_win_us": results.last_win_us,
        "last_loss_us": results.last_loss_us,
        "last_stop_us": results.last_stop_us,
    }


def _shown(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)


def modes_view(state: RiskState) -> dict[str, Any]:
    """Return what ``GET /v1/modes`` tells: the mode, what asks for it, and how far the way back has come."""
    caution, policy = state.caution, state.policy
    return {
        "mode": None if state.mode is None else state.mode.value,
        "since_us": None if state.mode is None else caution.since_us,
        "policy_mode": None if policy is None else policy.rules.mode.value,
        "fault": state.fault,
        "floor": caution.floor.value,
        "cool_off_left_us": modes.cool_off_left_us(state),
        "conditions": [] if policy is None else [_reading_view(one) for one in survey(state, policy.rules)],
    }


def _reading_view(reading: Reading) -> dict[str, Any]:
    watch, rule, seen = reading.watch, reading.thresholds, reading.seen
    return {
        "condition": watch.condition.value,
        "enter": None if rule is None else plain(rule.enter),
        "leave": None if rule is None else plain(rule.leave),
        "seen": None if seen is None else shown(seen),
        "unit": watch.unit,
        "active": reading.since_us is not None,
        "since_us": reading.since_us,
        "response": None if rule is None else rule.response.value,
        "alert": watch.alert,
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
