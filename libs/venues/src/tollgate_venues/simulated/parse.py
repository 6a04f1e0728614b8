"""The simulated exchange's JSON to our values; what cannot be read is refused, with the field at fault.

The law of this module: pure, and nothing is guessed. A missing field, a number that is not a plain decimal string,
a status that we do not know: each is ``UnreadableVenueData``, and the caller decides what not knowing means.
"""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import ValidationError

from tollgate_contracts.execution import Liquidity, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import PLAIN_PATTERN
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Balance, MovementType
from tollgate_contracts.strategy import Side
from tollgate_venues.adapter import VenueOrder
from tollgate_venues.evidence import (
    AccountEvidence,
    Evidence,
    FillEvidence,
    FillPage,
    MovementEvidence,
    MovementPage,
    OrderPage,
)
from tollgate_venues.frames import (
    BarFrame,
    HeartbeatFrame,
    InstrumentFrame,
    MarketFrame,
    QuoteFrame,
    TradeFrame,
)

_PLAIN = re.compile(PLAIN_PATTERN)
_DETAIL_MAX = 500
# The lists of fills and of movements come in pages of this many rows.
PAGE_ROWS = 1_000

# The venue's codes and reasons that have a word of their own with us; the rest is ``VENUE_REJECTED``.
_REASONS: dict[str | None, Reason] = {
    "POST_ONLY_WOULD_TAKE": Reason.PRICE_CROSSED_POST_ONLY,
    "INSUFFICIENT_BALANCE": Reason.CASH_INSUFFICIENT,
    "INSUFFICIENT_FUNDS": Reason.CASH_INSUFFICIENT,
    "INSTRUMENT_NOT_OPEN": Reason.VENUE_NOT_OPEN,
    "RATE_LIMITED": Reason.VENUE_RATE_LIMITED,
    "BANNED": Reason.VENUE_RATE_LIMITED,
}

E = TypeVar("E", bound=StrEnum)
Json = dict[str, Any]


class UnreadableVenueData(ValueError):
    """What the venue sent is not what it promised; the text names the field."""


def parse_object(data: str | bytes) -> Json:
    """Return the JSON object in ``data``."""
    value = _load(data)
    if not isinstance(value, dict):
        raise UnreadableVenueData("an object is expected")
    return value


def parse_frames(data: str | bytes) -> list[tuple[int, Json]]:
    """Return (sequence, frame) of each frame in one stream message, in order."""
    value = _load(data)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise UnreadableVenueData("an array of frames is expected")
    return [(_whole(each, "sequence"), each) for each in value]


def market_frames(frame: Json) -> tuple[MarketFrame, ...]:
    """Return what one frame of the market stream says; a frame of a type that we do not know says nothing."""
    reader = _MARKET_READERS.get(_text(frame, "type"))
    return reader(frame) if reader is not None else ()


def instruments(body: Json) -> tuple[InstrumentFrame, ...]:
    """Return the instruments of a REST answer or of an instruments frame."""
    return tuple(
        InstrumentFrame(
            symbol=_text(each, "symbol"),
            base=_text(each, "base"),
            quote=_text(each, "quote"),
            tick=_above_zero(each, "tick"),
            step=_above_zero(each, "step"),
            min_quantity=_above_zero(each, "min_quantity"),
            min_notional=_decimal(each, "min_notional"),
            status=_member(InstrumentStatus, each, "status"),
            valid_until_us=_whole(each, "valid_until_us"),
            venue_ts_us=_whole(each, "venue_ts_us"),
        )
        for each in _objects(body, "instruments")
    )


def book_top(body: Json) -> QuoteFrame | None:
    """Return the best bid and ask of a book, or null while a side is empty."""
    bids, asks = _field(body, "bids"), _field(body, "asks")
    if not bids or not asks:
        return None
    try:
        (bid, bid_quantity), (ask, ask_quantity) = bids[0], asks[0]
    except (TypeError, ValueError, KeyError) as error:
        raise UnreadableVenueData(f"bids and asks: pairs of strings are expected: {error}") from error
    top = {"bid": bid, "bid_quantity": bid_quantity, "ask": ask, "ask_quantity": ask_quantity}
    return _quote({**body, **top})


def _quote(frame: Json) -> QuoteFrame:
    quote = QuoteFrame(
        symbol=_text(frame, "symbol"),
        bid=_above_zero(frame, "bid"),
        bid_quantity=_decimal(frame, "bid_quantity"),
        ask=_above_zero(frame, "ask"),
        ask_quantity=_decimal(frame, "ask_quantity"),
        venue_ts_us=_whole(frame, "venue_ts_us"),
        venue_sequence=_whole(frame, "venue_sequence"),
    )
    if quote.bid >= quote.ask:
        raise UnreadableVenueData(f"bid: {quote.bid} is not below the ask {quote.ask} of {quote.symbol}")
    return quote


def _book(frame: Json) -> tuple[MarketFrame, ...]:
    top = book_top(frame)
    return () if top is None else (top,)


def _trade(frame: Json) -> tuple[MarketFrame, ...]:
    return (
        TradeFrame(
            symbol=_text(frame, "symbol"),
            trade_id=_text(frame, "trade_id"),
            price=_above_zero(frame, "price"),
            quantity=_above_zero(frame, "quantity"),
            aggressor=_member(Side, frame, "aggressor"),
            venue_ts_us=_whole(frame, "venue_ts_us"),
        ),
    )


def _bar(frame: Json) -> tuple[MarketFrame, ...]:
    return (
        BarFrame(
            symbol=_text(frame, "symbol"),
            open_us=_whole(frame, "open_us"),
            interval_us=_whole(frame, "interval_us"),
            open=_above_zero(frame, "open"),
            high=_above_zero(frame, "high"),
            low=_above_zero(frame, "low"),
            close=_above_zero(frame, "close"),
            volume=_decimal(frame, "volume"),
            trades=_whole(frame, "trades"),
            venue_ts_us=_whole(frame, "venue_ts_us"),
        ),
    )


_MARKET_READERS: dict[str, Callable[[Json], tuple[MarketFrame, ...]]] = {
    "quote": lambda frame: (_quote(frame),),
    "trade": _trade,
    "candle": _bar,
    "heartbeat": lambda frame: (HeartbeatFrame(_whole(frame, "venue_ts_us")),),
    "instruments": instruments,
    "book": _book,
}


def order_evidence(body: Json, source: ReportSource) -> Evidence:
    """Return what an order in an answer or an order frame says; trades where they are listed."""
    status = _member(ReportStatus, body, "status")
    venue_reason = _optional_text(body, "reason")
    rejected = status is ReportStatus.REJECTED
    return Evidence(
        client_order_id=_text(body, "client_order_id"),
        source=source,
        status=status,
        venue_order_id=_text(body, "venue_order_id"),
        cumulative_quantity=_decimal(body, "cumulative_quantity"),
        trades=tuple(_venue_trade(each) for each in _objects(body, "trades")) if "trades" in body else (),
        reason=_REASONS.get(venue_reason, Reason.VENUE_REJECTED if rejected else None),
        detail=(venue_reason or "")[:_DETAIL_MAX],
        venue_ts_us=_whole(body, "venue_ts_us"),
    )


def is_order(body: Json, order: VenueOrder) -> bool:
    """Say whether the order in an answer is the one that was asked for, by everything that money follows from."""
    limit_price = None if _field(body, "limit_price") is None else _above_zero(body, "limit_price")
    return (
        _text(body, "symbol") == order.symbol
        and _member(Side, body, "side") is order.side
        and _above_zero(body, "quantity") == order.quantity
        and limit_price == order.limit_price
    )


def user_evidence(frame: Json) -> Evidence | None:
    """Return what one frame of the user stream says of an order; heartbeats and the like say nothing."""
    kind = _text(frame, "type")
    if kind == "order":
        return order_evidence(frame, ReportSource.STREAM)
    if kind == "trade":
        return order_evidence({**frame, "trades": [frame]}, ReportSource.STREAM)
    if kind == "bust":
        return _bust(frame)
    return None


def _bust(frame: Json) -> Evidence:
    return Evidence(
        client_order_id=_text(frame, "client_order_id"),
        source=ReportSource.STREAM,
        status=ReportStatus.TRADED,
        venue_order_id=_optional_text(frame, "venue_order_id"),
        busted=(_text(frame, "trade_id"),),
        venue_ts_us=_whole(frame, "venue_ts_us"),
    )


def fill_page(body: Json, cursor: str) -> FillPage:
    """Return the fills of an answer to the question after ``cursor``."""
    rows = _objects(body, "fills")
    last = str(_whole(rows[-1], "fill_sequence")) if rows else cursor
    return FillPage(tuple(_fill(each) for each in rows), last, len(rows) < PAGE_ROWS)


def _fill(row: Json) -> FillEvidence:
    busts = _optional_text(row, "busts")
    return FillEvidence(
        client_order_id=_text(row, "client_order_id"),
        symbol=_text(row, "symbol"),
        side=_member(Side, row, "side"),
        trade=None if busts is not None else _venue_trade(row),
        busts=busts,
        venue_order_id=_optional_text(row, "venue_order_id"),
    )


def orders(body: Json) -> tuple[Evidence, ...]:
    """Return the orders of an answer."""
    return tuple(order_evidence(each, ReportSource.QUERY) for each in _objects(body, "orders"))


def order_page(body: Json) -> OrderPage:
    """Return the orders of an answer that may not be all of them."""
    return OrderPage(orders(body), _field(body, "complete") is True)


def movement_page(body: Json, cursor: str) -> MovementPage:
    """Return the movements of an answer to the question after ``cursor``."""
    rows = _objects(body, "movements")
    movements = tuple(
        MovementEvidence(
            movement_id=_text(each, "movement_id"),
            movement=_member(MovementType, each, "type"),
            currency=_text(each, "currency"),
            amount=_signed(each, "amount"),
            symbol=_optional_text(each, "symbol"),
            venue_ts_us=_whole(each, "venue_ts_us"),
        )
        for each in rows
    )
    last = str(_whole(rows[-1], "movement_sequence")) if rows else cursor
    return MovementPage(movements, last, len(rows) < PAGE_ROWS)


def account(body: Json) -> AccountEvidence:
    """Return balances and fees of an answer."""
    try:
        balances = tuple(
            Balance(currency=_text(each, "currency"), free=_decimal(each, "free"), locked=_decimal(each, "locked"))
            for each in _objects(body, "balances")
        )
    except ValidationError as error:
        raise UnreadableVenueData(f"balances: {error.errors(include_url=False)[0]['msg']}") from error
    return AccountEvidence(
        balances=balances,
        maker_fee_bps=_signed(body, "maker_fee_bps"),
        taker_fee_bps=_signed(body, "taker_fee_bps"),
        venue_ts_us=_whole(body, "venue_ts_us"),
    )


def refusal(data: bytes) -> tuple[str, str]:
    """Return (code, message) of an error answer; raises when it is not the venue's own."""
    body = parse_object(data)
    return _text(body, "code"), _text(body, "message")


def refusal_reason(code: str) -> Reason:
    """Return our word for the venue's code, or for its reason, of an order that it has not taken."""
    return _REASONS.get(code, Reason.VENUE_REJECTED)


def _venue_trade(value: Json) -> VenueTrade:
    try:
        return VenueTrade(
            trade_id=_text(value, "trade_id"),
            price=_above_zero(value, "price"),
            quantity=_above_zero(value, "quantity"),
            fee=_signed(value, "fee"),
            fee_currency=_text(value, "fee_currency"),
            liquidity=_member(Liquidity, value, "liquidity"),
            venue_ts_us=_whole(value, "venue_ts_us"),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise UnreadableVenueData(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _load(data: str | bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableVenueData(f"not JSON: {error}") from error


def _field(value: Json, name: str) -> Any:
    try:
        return value[name]
    except KeyError as error:
        raise UnreadableVenueData(f"{name}: missing") from error


def _objects(value: Json, name: str) -> list[Json]:
    found = _field(value, name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UnreadableVenueData(f"{name}: an array of objects is expected")
    return found


def _text(value: Json, name: str) -> str:
    found = _field(value, name)
    if not isinstance(found, str):
        raise UnreadableVenueData(f"{name}: a string is expected, got {str(found)[:40]!r}")
    return found


def _optional_text(value: Json, name: str) -> str | None:
    return None if value.get(name) is None else _text(value, name)


def _whole(value: Json, name: str) -> int:
    found = _field(value, name)
    if type(found) is not int or found < 0:
        raise UnreadableVenueData(f"{name}: a whole number is expected, got {str(found)[:40]!r}")
    return found


def _signed(value: Json, name: str) -> Decimal:
    found = _text(value, name)
    if not _PLAIN.fullmatch(found):
        raise UnreadableVenueData(f"{name}: a plain decimal is expected, got {found[:40]!r}")
    return Decimal(found)


def _decimal(value: Json, name: str) -> Decimal:
    number = _signed(value, name)
    if number < 0:
        raise UnreadableVenueData(f"{name}: {number} is below zero")
    return number


def _above_zero(value: Json, name: str) -> Decimal:
    number = _signed(value, name)
    if number <= 0:
        raise UnreadableVenueData(f"{name}: {number} is not above zero")
    return number


def _member(enum: type[E], value: Json, name: str) -> E:
    found = _text(value, name)
    try:
        return enum(found)
    except ValueError as error:
        raise UnreadableVenueData(f"{name}: {found[:40]!r} is not one of {', '.join(enum)}") from error
