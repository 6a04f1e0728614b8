"""What goes out: events and answers as JSON. Every number of money is a string, every time in microseconds."""

import json
from typing import Any

from tollgate_simvenue.core.account import Account
from tollgate_simvenue.core.model import (
    Bust,
    Candle,
    CandleClosed,
    Event,
    Fees,
    Fill,
    Instrument,
    InstrumentChanged,
    MoneyMoved,
    Movement,
    Order,
    OrderBusted,
    OrderChanged,
    OrderFilled,
    OrderStatus,
    PublicTrade,
    QuoteChanged,
    Refused,
)
from tollgate_simvenue.core.units import FEE_RATE_PER_BPS, UNITS, atoms_text, units_text

# How long instrument metadata may be relied upon.
INSTRUMENT_VALIDITY_US = 86_400_000_000
to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


def refusal(refused: Refused) -> dict[str, Any]:
    """Return the body of an error answer."""
    return {"code": refused.code, "message": refused.message, "field": refused.field}


def instrument(value: Instrument, now_us: int) -> dict[str, Any]:
    """Return an instrument's metadata."""
    return {
        "symbol": value.symbol,
        "base": value.base,
        "quote": value.quote,
        "tick": units_text(value.tick),
        "step": units_text(value.step),
        "min_quantity": units_text(value.min_quantity),
        "min_notional": atoms_text(value.min_notional),
        "status": value.status,
        "valid_until_us": now_us + INSTRUMENT_VALIDITY_US,
        "venue_ts_us": now_us,
    }


def trade(value: PublicTrade) -> dict[str, Any]:
    """Return a public trade."""
    return {
        "symbol": value.symbol,
        "trade_id": value.trade_id,
        "price": units_text(value.price),
        "quantity": units_text(value.quantity),
        "aggressor": value.aggressor,
        "venue_ts_us": value.venue_ts_us,
    }


def candle(value: Candle, venue_ts_us: int) -> dict[str, Any]:
    """Return a closed candle."""
    return {
        "symbol": value.symbol,
        "open_us": value.open_us,
        "interval_us": value.interval_us,
        "open": units_text(value.open),
        "high": units_text(value.high),
        "low": units_text(value.low),
        "close": units_text(value.close),
        "volume": units_text(value.volume),
        "trades": value.trades,
        "venue_ts_us": venue_ts_us,
    }


def levels(pairs: list[tuple[int, int]]) -> list[list[str]]:
    """Return book levels as pairs of strings."""
    return [[units_text(price), units_text(quantity)] for price, quantity in pairs]


def fill(value: Fill) -> dict[str, Any]:
    """Return a trade of ours."""
    return {
        "fill_sequence": value.fill_sequence,
        "trade_id": value.trade_id,
        "client_order_id": value.client_order_id,
        "symbol": value.symbol,
        "side": value.side,
        "price": units_text(value.price),
        "quantity": units_text(value.quantity),
        "fee": atoms_text(value.fee),
        "fee_currency": value.fee_currency,
        "liquidity": value.liquidity,
        "cumulative_quantity": units_text(value.cumulative_quantity),
        "venue_ts_us": value.venue_ts_us,
        "venue_order_id": value.venue_order_id,
    }


def fill_or_bust(value: Fill | Bust) -> dict[str, Any]:
    """Return a row of the list of fills."""
    return fill(value) if isinstance(value, Fill) else bust(value)


def bust(value: Bust) -> dict[str, Any]:
    """Return a trade of ours that was taken back."""
    return {
        "fill_sequence": value.fill_sequence,
        "busts": value.trade_id,
        "client_order_id": value.client_order_id,
        "symbol": value.symbol,
        "side": value.side,
        "venue_ts_us": value.venue_ts_us,
        "venue_order_id": value.venue_order_id,
    }


def movement(value: Movement) -> dict[str, Any]:
    """Return money that came or went without an order."""
    return {
        "movement_sequence": value.movement_sequence,
        "movement_id": value.movement_id,
        "type": value.type,
        "currency": value.currency,
        "amount": atoms_text(value.amount),
        "symbol": value.symbol,
        "venue_ts_us": value.venue_ts_us,
    }


def order(value: Order, *, with_fills: bool = True) -> dict[str, Any]:
    """Return an order as it stands."""
    return _order(OrderChanged.now(value), with_fills=with_fills)


def _order(change: OrderChanged, *, with_fills: bool) -> dict[str, Any]:
    request = change.order.request
    body: dict[str, Any] = {
        "client_order_id": request.client_order_id,
        "venue_order_id": change.order.venue_order_id,
        "symbol": request.symbol,
        "side": request.side,
        "order_type": request.order_type,
        "quantity": units_text(request.quantity),
        "limit_price": None if request.limit_price is None else units_text(request.limit_price),
        "time_in_force": request.time_in_force,
        "post_only": request.post_only,
        "trigger_price": None if request.trigger_price is None else units_text(request.trigger_price),
        "triggered": change.order.triggered,
        "good_until_us": request.good_until_us,
        "status": change.status,
        "reason": change.reason,
        "cumulative_quantity": units_text(change.cumulative_quantity),
        "cumulative_quote": atoms_text(change.cumulative_quote),
        "received_us": request.received_us,
        "venue_ts_us": change.venue_ts_us,
    }
    if with_fills:
        body["trades"] = [fill(each) for each in change.order.fills]
    return body


def account(value: Account, fees: Fees, now_us: int, offsets: dict[str, int]) -> dict[str, Any]:
    """Return balances and fees; ``offsets`` misstate what is free, by currency."""
    return {
        "balances": [
            {
                "currency": currency,
                "free": atoms_text(max(value.free.get(currency, 0) + offsets.get(currency, 0), 0)),
                "locked": atoms_text(value.locked.get(currency, 0)),
            }
            for currency in (sorted({*value.currencies(), *offsets}) if offsets else value.currencies())
        ],
        "maker_fee_bps": _bps(fees.maker_rate),
        "taker_fee_bps": _bps(fees.taker_rate),
        "venue_ts_us": now_us,
    }


def _bps(rate: int) -> str:
    return units_text(rate * (UNITS // FEE_RATE_PER_BPS))


def frame(kind: str, body: dict[str, Any]) -> str:
    """Return a stream frame without its opening brace and sequence, which each connection puts before it."""
    return to_json({"type": kind, **body})[1:]


def quote_frame(value: QuoteChanged) -> str:
    """Return a quote as ``frame`` does; written out, because there are a thousand a second."""
    return (
        f'"type":"quote","symbol":"{value.symbol}","bid":"{units_text(value.bid)}",'
        f'"bid_quantity":"{units_text(value.bid_quantity)}","ask":"{units_text(value.ask)}",'
        f'"ask_quantity":"{units_text(value.ask_quantity)}","venue_sequence":{value.sequence},'
        f'"venue_ts_us":{value.venue_ts_us}}}'
    )


def heartbeat_frame(now_us: int) -> str:
    """Return the frame that only says that we are here."""
    return frame("heartbeat", {"venue_ts_us": now_us})


def event_frame(event: Event) -> tuple[str | None, str]:
    """Return (symbol, frame) of a market event, or (null, frame) of what only the account's owner may see."""
    match event:
        case QuoteChanged():
            return event.symbol, quote_frame(event)
        case PublicTrade():
            return event.symbol, frame("trade", trade(event))
        case CandleClosed(closed, venue_ts_us):
            return closed.symbol, frame("candle", candle(closed, venue_ts_us))
        case OrderChanged():
            return None, frame("order", _order(event, with_fills=False))
        case InstrumentChanged(changed_instrument, venue_ts_us):
            body = {"instruments": [instrument(changed_instrument, venue_ts_us)], "venue_ts_us": venue_ts_us}
            return changed_instrument.symbol, frame("instruments", body)
        case OrderBusted(_, busted):
            body = {
                "trade_id": busted.trade_id,
                "client_order_id": busted.client_order_id,
                "venue_order_id": busted.venue_order_id,
                "symbol": busted.symbol,
                "venue_ts_us": busted.venue_ts_us,
            }
            return None, frame("bust", body)
        case MoneyMoved(moved):
            return None, frame("movement", movement(moved))
        case OrderFilled(changed, filled):
            complete = filled.cumulative_quantity + changed.busted_quantity == changed.request.quantity
            status = OrderStatus.FILLED if complete else OrderStatus.OPEN
            return None, frame("trade", {**fill(filled), "status": status})
