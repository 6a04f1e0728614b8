"""Each limit with what is used of it now, for people: decimals as plain strings, in the order of the policy file."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from tollgate_contracts.money import divide, plain
from tollgate_risk.core.gates.cash import free_cash
from tollgate_risk.core.policy import PolicyDocument
from tollgate_risk.core.state import RiskState

_BPS = Decimal(10_000)
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
    return {"name": name, "of": of, "at": at, "limit": _text(limit), "used": _text(used), "unit": unit}


def _text(value: object) -> str | None:
    if value is None:
        return None
    return plain(value) if isinstance(value, Decimal) else str(value)


def _share(part: Decimal, state: RiskState, whole: Decimal = _BPS) -> Decimal | None:
    equity = state.equity()
    return None if equity is None or equity <= 0 else divide(part * whole, equity, _PLACES)


def _size_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    limits, quote, total, pacing = policy.rules.limits, policy.quote_currency, state.exposure_in_all(), state.pacing
    yield _line("limits.cycle_notional", limits.cycle_notional, pacing.cycle_notional, quote)
    yield _line("limits.gross_exposure", limits.gross_exposure, total.worst, quote)
    yield _line("limits.net_exposure", limits.net_exposure, total.net, quote)
    yield _line("limits.open_orders", limits.open_orders, len(state.orders), "orders")
    yield _line("limits.orders_per_cycle", limits.orders_per_cycle, pacing.cycle_orders, "orders")
    used = pacing.cycle_reducing_orders
    yield _line("limits.reducing_orders_per_cycle", limits.reducing_orders_per_cycle, used, "orders")
    yield _line("cash.reserve", policy.rules.cash.reserve, free_cash(state), quote, at="least")
    yield _line(
        "margin.leverage_max", policy.rules.margin.leverage_max, _share(total.leveraged, state, Decimal(1)), "x"
    )


def _symbol_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    limits, quote = policy.rules.limits, policy.quote_currency
    units = {cap.symbol: cap.units for cap in limits.position_units}
    for symbol in sorted({*policy.rules.universe.allowed, *state.exposures.symbols(state)}):
        at_risk, held = state.exposure(symbol), state.held(symbol)
        yield _line("limits.position_notional", limits.position_notional, at_risk.worst, quote, symbol)
        if symbol in units:
            most = max(held + at_risk.buying, at_risk.selling - held)
            yield _line("limits.position_units", units[symbol], most, symbol.partition("-")[0], symbol)
        share = _share(at_risk.worst, state)
        yield _line("limits.concentration_bps", limits.concentration_bps, share, "bps of equity", symbol)
        yield _line("limits.open_orders_symbol", limits.open_orders_symbol, at_risk.orders, "orders", symbol)


def _group_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    for group in policy.rules.limits.groups:
        worst = sum((state.exposure(symbol).worst for symbol in group.symbols), Decimal(0))
        yield _line("limits.groups", group.exposure, worst, policy.quote_currency, group.name)


def _pace_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    pace, pacing, now_us = policy.rules.pace, state.pacing, state.now_us
    yield _line("pace.burst", pace.burst, pace.burst - pacing.tokens(pace, now_us), "orders")
    yield _line("pace.orders_per_hour", pace.orders_per_hour, pacing.hour.total(now_us), "orders")
    yield _line("pace.orders_per_day", pace.orders_per_day, pacing.day.total(now_us), "orders")


def _loss_lines(state: RiskState, policy: PolicyDocument) -> Iterator[dict[str, Any]]:
    loss, results = policy.rules.loss, state.results
    yield _line("loss.daily", loss.daily, results.daily_loss, policy.quote_currency)
    yield _line("loss.drawdown_bps", loss.drawdown_bps, results.drawdown_bps, "bps of the peak")
    yield _line("loss.consecutive", loss.consecutive, results.consecutive_losses, "losing round trips")
    for symbol in policy.rules.universe.allowed:
        losses = results.of(symbol).streak.losses
        yield _line("loss.symbol_consecutive", loss.symbol_consecutive, losses, "losing round trips", symbol)
