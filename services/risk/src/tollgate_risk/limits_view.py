"""Each limit with what is used of it now, for people: decimals as plain strings, in the order of the policy file."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tollgate_contracts.money import ZERO, divide
from tollgate_risk.core.case import BPS, shown
from tollgate_risk.core.gates.cash import spendable
from tollgate_risk.core.gates.margin import margin_balance
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.core.state import RiskState

_PLACES = 4


def limits_view(state: RiskState, policy: PolicyDocument) -> list[dict[str, Any]]:
    """Return one line for each limit that fills up; ``of`` names the symbol or group, ``used`` is null while unknown.

    A limit with ``at`` ``most`` is reached when ``used`` is ``limit``; one with ``least`` when it has fallen to it.
    """
    lines = (
        *_size_lines(state, policy),
        *_symbol_lines(state, policy),
        *_group_lines(state, policy),
        *_pace_lines(state, policy),
        *_loss_lines(state, policy),
    )
    return sorted(lines, key=lambda line: _SECTIONS.index(line["name"].partition(".")[0]))


_SECTIONS = ("limits", "cash", "pace", "loss", "margin")


def _line(name: str, limit: object, used: object, unit: str, of: str | None = None, at: str = "most") -> dict[str, Any]:
    told = None if used is None else shown(used)
    return {"name": name, "of": of, "at": at, "limit": shown(limit), "used": told, "unit": unit}


def _part(part: Decimal, whole: Decimal | None) -> Decimal | None:
    """Return what part of ``whole`` is used; none where that is not known, or nothing."""
    return None if whole is None or whole <= ZERO else divide(part, whole, _PLACES)


def _size_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    limits, quote, total, pacing = policy.rules.limits, policy.quote_currency, state.exposure_in_all(), state.pacing
    yield _line("limits.cycle_notional", limits.cycle_notional, pacing.cycle_notional, quote)
    yield _line("limits.gross_exposure", limits.gross_exposure, total.worst, quote)
    yield _line("limits.net_exposure", limits.net_exposure, total.net, quote)
    yield _line("limits.open_orders", limits.open_orders, len(state.orders), "orders")
    yield _line("limits.orders_per_cycle", limits.orders_per_cycle, pacing.cycle_orders, "orders")
    used = pacing.cycle_reducing_orders
    yield _line("limits.reducing_orders_per_cycle", limits.reducing_orders_per_cycle, used, "orders")
    yield _line("cash.reserve", policy.rules.cash.reserve, spendable(state), quote, at="least")
    leverage = _part(total.leveraged, margin_balance(state))
    yield _line("margin.leverage_max", policy.rules.margin.leverage_max, leverage, "times the margin balance")


def _symbol_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    limits, quote = policy.rules.limits, policy.quote_currency
    units = {cap.symbol: cap.units for cap in limits.position_units}
    for symbol in sorted({*policy.rules.universe.allowed, *state.exposures.symbols(state)}):
        at_risk, held = state.exposure(symbol), state.held(symbol)
        yield _line("limits.position_notional", limits.position_notional, at_risk.worst, quote, symbol)
        if symbol in units:
            most = max(held + at_risk.buying, at_risk.selling - held)
            yield _line("limits.position_units", units[symbol], most, symbol.partition("-")[0], symbol)
        share = _part(at_risk.worst * BPS, state.equity())
        yield _line("limits.concentration_bps", limits.concentration_bps, share, "bps of equity", symbol)
        yield _line("limits.open_orders_symbol", limits.open_orders_symbol, at_risk.orders, "orders", symbol)


def _group_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    for group in policy.rules.limits.groups:
        worst = state.exposures.group(state, group.name)
        yield _line("limits.groups", group.exposure, worst, policy.quote_currency, group.name)


def _pace_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    pace, pacing, now_us = policy.rules.pace, state.pacing, state.now_us
    yield _line("pace.burst", pace.burst, pace.burst - pacing.tokens(pace, now_us), "orders")
    yield _line("pace.orders_per_hour", pace.orders_per_hour, pacing.hour.total(now_us), "orders")
    yield _line("pace.orders_per_day", pace.orders_per_day, pacing.day.total(now_us), "orders")


def _loss_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    loss, results, equity, now_us = policy.rules.loss, state.results, state.equity(), state.now_us
    yield _line("loss.daily", loss.daily, results.daily_loss_at(equity), policy.quote_currency)
    yield _line("loss.drawdown_bps", loss.drawdown_bps, results.drawdown_bps_at(equity), "bps of the peak")
    in_a_row = results.streak.now(loss.consecutive, loss.consecutive_pause_ms, now_us)
    yield _line("loss.consecutive", loss.consecutive, in_a_row, "losing round trips")
    for symbol in policy.rules.universe.allowed:
        losses = results.of(symbol).streak.now(loss.symbol_consecutive, loss.symbol_lockout_ms, now_us)
        yield _line("loss.symbol_consecutive", loss.symbol_consecutive, losses, "losing round trips", symbol)
