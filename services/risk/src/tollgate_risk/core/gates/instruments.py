"""May this symbol be traded, and would the venue take the order's price and size."""

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import is_multiple, plain
from tollgate_contracts.reasons import Reason
from tollgate_domain.fees import AMOUNT_PLACES
from tollgate_domain.instruments import notional
from tollgate_risk.core.case import Case, Measure


def not_allowed(case: Case) -> Measure:
    """Only symbols on the allowlist are traded, in either direction."""
    allowed, symbol = case.rules.universe.allowed, case.intent.symbol
    is_kept = symbol in allowed
    limit = symbol if is_kept else ", ".join(allowed)
    return Measure(Reason.UNIVERSE_NOT_ALLOWED, is_kept, limit, symbol, "symbol")


def excluded(case: Case) -> Measure:
    """An excluded symbol is wound down: what is held may be reduced, nothing is added."""
    is_kept = case.reducing or case.intent.symbol not in case.rules.universe.excluded
    return Measure(Reason.UNIVERSE_EXCLUDED, is_kept, "reducing orders only", case.intent.side, "symbol")


def unknown(case: Case) -> Measure:
    """Without metadata nothing can be quantized."""
    is_kept = case.instrument is not None
    seen = "known" if is_kept else "none"
    return Measure(Reason.INSTRUMENT_UNKNOWN, is_kept, "metadata of the venue", seen, "instrument")


def halted(case: Case) -> Measure | None:
    """Orders go only to an instrument that is open: not while it is halted, in auction or takes cancels only."""
    if case.instrument is None:
        return None
    status = case.instrument.status
    return Measure(Reason.INSTRUMENT_HALTED, status is InstrumentStatus.OPEN, InstrumentStatus.OPEN, status, "status")


def metadata_stale(case: Case) -> Measure | None:
    """Metadata past its validity may quantize wrongly."""
    if case.instrument is None:
        return None
    until_us, now_us = case.instrument.valid_until_us, case.state.now_us
    return Measure(Reason.INSTRUMENT_METADATA_STALE, now_us <= until_us, until_us, now_us, "us")


def precision(case: Case) -> Measure | None:
    """Price, quantity and protective stop lie on the venue's grid; the gate never rounds an order for its author.

    Nor is anything traded of which the books could not hold the value to the last digit.
    """
    instrument = case.instrument
    if instrument is None:
        return None
    if instrument.value_places > AMOUNT_PLACES:
        return Measure(Reason.INSTRUMENT_PRECISION, False, AMOUNT_PLACES, instrument.value_places, "places of a value")
    limit_price, quantity = case.intent.limit_price, case.intent.quantity
    off_grid = []
    if not is_multiple(quantity, instrument.step):
        off_grid.append(("step", instrument.step, quantity))
    protection = case.intent.protection
    stop = () if protection is None else (protection.trigger_price, protection.limit_price)
    off_grid += [
        ("tick", instrument.tick, price)
        for price in (limit_price, *stop)
        if price is not None and not is_multiple(price, instrument.tick)
    ]
    if not off_grid:
        return Measure(Reason.INSTRUMENT_PRECISION, True, "the venue's grid", "on it", "multiple")
    limit = ", ".join(f"{name} {plain(grid)}" for name, grid, _ in off_grid)
    seen = ", ".join(plain(value) for _, _, value in off_grid)
    return Measure(Reason.INSTRUMENT_PRECISION, False, limit, seen, "multiple")


def min_quantity(case: Case) -> Measure | None:
    """The venue takes nothing smaller."""
    if case.instrument is None:
        return None
    limit, seen = case.instrument.min_quantity, case.intent.quantity
    return Measure(Reason.INSTRUMENT_MIN_QUANTITY, seen >= limit, limit, seen, case.base)


def min_notional(case: Case) -> Measure | None:
    """The venue takes nothing worth less, at the order's own price."""
    if case.instrument is None or case.price is None:
        return None
    limit, seen = case.instrument.min_notional, notional(case.price, case.intent.quantity)
    return Measure(Reason.INSTRUMENT_MIN_NOTIONAL, seen >= limit, limit, seen, case.policy.quote_currency)
