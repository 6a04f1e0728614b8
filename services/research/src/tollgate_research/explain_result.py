"""What an order made or lost: its trades, what they cost against the mark, and its round trip so far."""

from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.money import ZERO, Exact, divide
from tollgate_contracts.strategy import Side
from tollgate_domain.holdings import Holding
from tollgate_domain.instruments import notional
from tollgate_domain.trip_log import Trip
from tollgate_research.explain_story import Story

_BPS = Decimal(10_000)
_BPS_PLACES = 4
_PRICE_PLACES = 12


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill."""

    sequence: int
    after_us: int
    """Since risk was asked, by the broker's clock."""
    trade_id: str
    price: Exact
    quantity: Exact
    fee: Exact
    fee_currency: str
    liquidity: str
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A round trip of which the order is a part; amounts in quote currency."""

    opened_us: int
    closed_us: int | None
    """Null while something is held."""
    found_open: bool
    """Whether the position was there before the tape's first fill: it counts from the mark at which it was taken in."""
    orders: tuple[str, ...]
    fills: int
    bought: Exact
    sold: Exact
    realized: Exact
    """Before fees."""
    fees: Exact
    foreign_fees: int
    """Fills whose fee was taken in another currency at no known rate, and is not in ``fees``."""
    net: Exact
    """Realized less fees."""
    held: Exact
    mark: Exact | None
    """Of the tape's last quote; null for a trip that is over."""
    unrealized: Exact | None
    """At that mark, before fees."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of the order; amounts in quote currency."""

    currency: str
    filled: Exact
    average_price: Exact | None
    slippage_bps: Exact | None
    """Average price against the mark when risk was asked; above zero is what it has cost."""
    slippage_quote: Exact | None
    fees: tuple[tuple[str, Exact], ...]
    """By currency."""
    trips: tuple[RoundTrip, ...]


def trades_of(story: Story) -> tuple[Trade, ...]:
    """Return the order's fills that stand, in order."""
    asked_us = story.judged.moment.at_us
    return tuple(
        Trade(
            sequence=event.sequence,
            after_us=event.at_us - asked_us,
            trade_id=fill.trade.trade_id,
            price=fill.trade.price,
            quantity=fill.trade.quantity,
            fee=fill.trade.fee,
            fee_currency=fill.trade.fee_currency,
            liquidity=fill.trade.liquidity.value,
            venue_ts_us=fill.trade.venue_ts_us,
        )
        for event, fill in story.trades
    )


def result_of(story: Story, side: Side | None, currency: str, holding: Holding, mark: Decimal | None) -> Result:
    """Return what came of the order; ``holding`` and ``mark`` are the symbol's where the tape ends."""
    trades = trades_of(story)
    filled = sum((trade.quantity for trade in trades), ZERO)
    value = sum((notional(trade.price, trade.quantity) for trade in trades), ZERO)
    fees: dict[str, Decimal] = {}
    for trade in trades:
        fees[trade.fee_currency] = fees.get(trade.fee_currency, ZERO) + trade.fee
    quote = story.judged.moment.quote
    slipped, slipped_bps = None, None
    if filled and quote is not None and side is not None:
        at_mark = quote.mark * filled
        slipped = value - at_mark if side is Side.BUY else at_mark - value
        slipped_bps = divide(slipped * _BPS, at_mark, _BPS_PLACES)
    return Result(
        currency=currency,
        filled=filled,
        average_price=divide(value, filled, _PRICE_PLACES) if filled else None,
        slippage_bps=slipped_bps,
        slippage_quote=slipped,
        fees=tuple(fees.items()),
        trips=tuple(_round_trip(trip, holding, mark) for trip in story.trips),
    )


def _round_trip(trip: Trip, holding: Holding, mark: Decimal | None) -> RoundTrip:
    is_open = trip.closed_us is None
    return RoundTrip(
        opened_us=trip.opened_us,
        closed_us=trip.closed_us,
        found_open=trip.found_open,
        orders=tuple(trip.orders),
        fills=trip.fills,
        bought=trip.bought,
        sold=trip.sold,
        realized=trip.gross,
        fees=trip.fees,
        foreign_fees=trip.foreign_fees,
        net=trip.gross - trip.fees,
        held=holding.quantity if is_open else ZERO,
        mark=mark if is_open else None,
        unrealized=mark * holding.quantity - holding.cost if is_open and mark is not None else None,
    )
