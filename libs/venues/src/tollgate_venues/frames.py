"""What a public market feed says, in our words: one frozen value for each frame, whatever the venue.

The law of this module: a frame carries what the venue said and nothing that we concluded from it. All prices
and quantities are exact decimals, all times are the venue's own, in microseconds.
"""

from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.strategy import Side


@dataclass(frozen=True, slots=True)
class InstrumentFrame:
    """A symbol's metadata as the venue states it."""

    symbol: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    status: InstrumentStatus
    valid_until_us: int
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class QuoteFrame:
    """Best bid and ask of one symbol; ``venue_sequence`` rises with each change, across restarts of the venue."""

    symbol: str
    bid: Decimal
    bid_quantity: Decimal
    ask: Decimal
    ask_quantity: Decimal
    venue_ts_us: int
    venue_sequence: int


@dataclass(frozen=True, slots=True)
class TradeFrame:
    """One public trade; ``aggressor`` is the side that took liquidity."""

    symbol: str
    trade_id: str
    price: Decimal
    quantity: Decimal
    aggressor: Side
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class BarFrame:
    """One closed bar over [open_us, open_us + interval_us), as the venue built it."""

    symbol: str
    open_us: int
    interval_us: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class HeartbeatFrame:
    """The venue is there, though nothing may have changed."""

    venue_ts_us: int


MarketFrame = InstrumentFrame | QuoteFrame | TradeFrame | BarFrame | HeartbeatFrame
