"""May this symbol be traded, and would the venue take the order's price and size."""

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import is_multiple, plain
from tollgate_contracts.reasons import Finding, Reason
from tollgate_domain.instruments import notional
from tollgate_risk.core.case import Case, finding


def not_allowed(case: Case) -> Finding | None:
    """Only symbols on the allowlist are traded, in either direction."""
    allowed = case.rules.universe.allowed
    if case.intent.symbol in allowed:
        return None
    return finding(Reason.UNIVERSE_NOT_ALLOWED, ", ".join(allowed), case.intent.symbol, "symbol")


def excluded(case: Case) -> Finding | None:
    """An excluded symbol is wound down: what is held may be sold, nothing is bought."""
    if case.intent.symbol not in case.rules.universe.excluded or case.reducing:
        return None
    return finding(Reason.UNIVERSE_EXCLUDED, "reducing orders only", case.intent.side, "symbol")


def unknown(case: Case) -> Finding | None:
    """Without metadata nothing can be quantized."""
    if case.instrument is not None:
        return None
    return finding(Reason.INSTRUMENT_UNKNOWN, "metadata of the venue", "none", "instrument")


def halted(case: Case) -> Finding | None:
    """Orders go only to an instrument that is open."""
    if case.instrument is None or case.instrument.status is InstrumentStatus.OPEN:
        return None
    return finding(Reason.INSTRUMENT_HALTED, InstrumentStatus.OPEN, case.instrument.status, "status")


def metadata_stale(case: Case) -> Finding | None:
    """Metadata past its validity may quantize wrongly."""
    if case.instrument is None or case.state.now_us <= case.instrument.valid_until_us:
        return None
    return finding(Reason.INSTRUMENT_METADATA_STALE, case.instrument.valid_until_us, case.state.now_us, "us")


def precision(case: Case) -> Finding | None:
    """Price and quantity lie on the venue's grid; the gate never rounds an order for its author."""
    instrument = case.instrument
    if instrument is None:
        return None
    limit_price, quantity = case.intent.limit_price, case.intent.quantity
    off_grid = []
    if not is_multiple(quantity, instrument.step):
        off_grid.append(("step", instrument.step, quantity))
    if limit_price is not None and not is_multiple(limit_price, instrument.tick):
        off_grid.append(("tick", instrument.tick, limit_price))
    if not off_grid:
        return None
    limit = ", ".join(f"{name} {plain(grid)}" for name, grid, _ in off_grid)
    seen = ", ".join(plain(value) for _, _, value in off_grid)
    return finding(Reason.INSTRUMENT_PRECISION, limit, seen, "multiple")


def min_quantity(case: Case) -> Finding | None:
    """The venue takes nothing smaller."""
    if case.instrument is None or case.intent.quantity >= case.instrument.min_quantity:
        return None
    limit = plain(case.instrument.min_quantity)
    return finding(Reason.INSTRUMENT_MIN_QUANTITY, limit, plain(case.intent.quantity), case.base)


def min_notional(case: Case) -> Finding | None:
    """The venue takes nothing worth less, at the order's own price."""
    if case.instrument is None or case.price is None:
        return None
    value = notional(case.price, case.intent.quantity)
    if value >= case.instrument.min_notional:
        return None
    limit = plain(case.instrument.min_notional)
    return finding(Reason.INSTRUMENT_MIN_NOTIONAL, limit, plain(value), case.policy.quote_currency)
