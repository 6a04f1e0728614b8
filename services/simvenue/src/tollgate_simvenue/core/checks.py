"""What an order must fulfil before it is registered: guards in a fixed order, the first that fails answers."""

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.strategy import OrderType, TimeInForce
from tollgate_simvenue.core.model import Instrument, OrderRequest, Refusal, Refused
from tollgate_simvenue.core.units import atoms_text, units_text


def check(request: OrderRequest, instrument: Instrument, best_opposite: int | None) -> Refused | None:
    """Return why ``request`` cannot be registered, or null.

    ``best_opposite`` is the best price that a market order would meet; null when that side is empty.
    """
    return (
        _check_sense(request)
        or _check_status(request, instrument)
        or _check_grid(request, instrument)
        or _check_size(request, instrument, best_opposite)
    )


def _check_sense(request: OrderRequest) -> Refused | None:
    if request.order_type is OrderType.MARKET:
        if request.limit_price is not None:
            return Refused(Refusal.CONTRADICTION, "a market order has no limit price", "limit_price")
        if request.time_in_force is TimeInForce.GTC:
            return Refused(Refusal.CONTRADICTION, "a market order is IOC or FOK", "time_in_force")
    elif request.limit_price is None:
        return Refused(Refusal.MISSING_FIELD, "a limit order has a limit price", "limit_price")
    if request.post_only and request.time_in_force is not TimeInForce.GTC:
        return Refused(Refusal.CONTRADICTION, "a post-only order is GTC", "post_only")
    return _check_waiting(request)


def _check_waiting(request: OrderRequest) -> Refused | None:
    """Judge what makes an order wait, or end by itself."""
    if request.trigger_price is not None and (request.order_type is OrderType.MARKET or request.post_only):
        return Refused(Refusal.CONTRADICTION, "a stop is a limit order, and not post-only", "trigger_price")
    if request.good_until_us is not None:
        if request.time_in_force is not TimeInForce.GTC:
            return Refused(Refusal.CONTRADICTION, "an order that is good until a time is GTC", "good_until_us")
        if request.good_until_us <= request.received_us:
            return Refused(Refusal.GOOD_UNTIL_PASSED, "the order would be over already", "good_until_us")
    return None


def _check_status(request: OrderRequest, instrument: Instrument) -> Refused | None:
    """An auction collects orders that may rest or wait; everything else needs an open instrument."""
    collected = instrument.status is InstrumentStatus.AUCTION and request.time_in_force is TimeInForce.GTC
    if instrument.status is not InstrumentStatus.OPEN and not collected:
        return Refused(
            Refusal.INSTRUMENT_NOT_OPEN, f"{instrument.symbol} is {instrument.status}: no such orders now", "symbol"
        )
    return None


def _check_grid(request: OrderRequest, instrument: Instrument) -> Refused | None:
    for name, price in (("limit_price", request.limit_price), ("trigger_price", request.trigger_price)):
        if price is not None and price % instrument.tick:
            return Refused(
                Refusal.PRICE_OFF_TICK,
                f"{units_text(price)} is not a multiple of the tick {units_text(instrument.tick)}",
                name,
            )
    if request.quantity % instrument.step:
        return Refused(
            Refusal.QUANTITY_OFF_STEP,
            f"{units_text(request.quantity)} is not a multiple of the step {units_text(instrument.step)}",
            "quantity",
        )
    return None


def _check_size(request: OrderRequest, instrument: Instrument, best_opposite: int | None) -> Refused | None:
    if request.quantity < instrument.min_quantity:
        return Refused(
            Refusal.BELOW_MIN_QUANTITY,
            f"{units_text(request.quantity)} is below the least quantity {units_text(instrument.min_quantity)}",
            "quantity",
        )
    price = request.limit_price if request.limit_price is not None else best_opposite
    if price is not None and price * request.quantity < instrument.min_notional:
        return Refused(
            Refusal.BELOW_MIN_NOTIONAL,
            f"{atoms_text(price * request.quantity)} is below the least notional {atoms_text(instrument.min_notional)}",
            "quantity",
        )
    return None
