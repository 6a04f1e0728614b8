"""What market data says: instruments, conflated quotes, closed bars, the feed's state, and the clock."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tollgate_contracts.envelope import Currency, Identifier, Message, Symbol, Text, TimeUs, Value
from tollgate_contracts.money import Amount, NonNegative, Price, Quantity


class InstrumentStatus(StrEnum):
    """What the venue lets one do with an instrument."""

    OPEN = "OPEN"
    """Orders and cancels are taken."""
    CANCEL_ONLY = "CANCEL_ONLY"
    """Only cancels are taken."""
    AUCTION = "AUCTION"
    """Orders are collected and not matched."""
    HALTED = "HALTED"
    """Nothing is taken."""


class MarginTerms(Value):
    """What the venue asks of a position in a perpetual; rates are parts of its notional at the mark."""

    initial_rate: Annotated[NonNegative, Field(gt=0, le=1)]
    maintenance_rate: Annotated[NonNegative, Field(gt=0, le=1)]
    leverage_max: Annotated[NonNegative, Field(ge=1)]


class Instrument(Message):
    """A symbol's metadata as the venue states it; quantization uses nothing else."""

    writer: Literal["marketdata"] = "marketdata"
    kind: Literal["instrument"] = "instrument"
    version: Literal[2] = 2
    venue: Identifier
    symbol: Symbol
    base: Currency
    quote: Currency
    tick: Price
    """Smallest price step, in quote currency."""
    step: Quantity
    """Smallest quantity step, in base currency."""
    min_quantity: Quantity
    min_notional: NonNegative
    """Smallest price times quantity, in quote currency."""
    status: InstrumentStatus
    valid_until_us: TimeUs
    margin: MarginTerms | None
    """Of a perpetual; null for spot, which is paid in full."""


class Funding(Message):
    """The next funding payment of a perpetual: longs pay shorts where the rate is above zero."""

    writer: Literal["marketdata"] = "marketdata"
    kind: Literal["funding"] = "funding"
    version: Literal[1] = 1
    venue: Identifier
    symbol: Symbol
    rate: Amount
    """Part of the position's notional at the mark."""
    due_us: TimeUs


class SymbolQuote(Value):
    """Best bid and ask of one symbol; the venue's sequence rises by at least one with each change."""

    symbol: Symbol
    bid: Price
    bid_quantity: NonNegative
    ask: Price
    ask_quantity: NonNegative
    venue_ts_us: TimeUs
    venue_sequence: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _bid_is_below_ask(self) -> "SymbolQuote":
        if self.bid >= self.ask:
            raise ValueError(f"{self.symbol}: bid {self.bid} must be below ask {self.ask}")
        return self


class Quote(Message):
    """The newest quote of each symbol that changed since the message before: at most one line a symbol."""

    writer: Literal["marketdata"] = "marketdata"
    kind: Literal["quote"] = "quote"
    version: Literal[1] = 1
    quotes: Annotated[tuple[SymbolQuote, ...], Field(min_length=1, max_length=64)]


class BarSource(StrEnum):
    """Who built a bar."""

    VENUE = "VENUE"
    BUILT = "BUILT"


class BarQuality(StrEnum):
    """Whether a bar saw its whole interval."""

    COMPLETE = "COMPLETE"
    PARTIAL = "PARTIAL"


class Bar(Message):
    """One closed bar; the interval is [open_us, open_us + interval_us)."""

    writer: Literal["marketdata"] = "marketdata"
    kind: Literal["bar"] = "bar"
    version: Literal[1] = 1
    symbol: Symbol
    open_us: TimeUs
    interval_us: Annotated[int, Field(gt=0)]
    open: Price
    high: Price
    low: Price
    close: Price
    volume: NonNegative
    """Base currency traded."""
    trades: Annotated[int, Field(ge=0)]
    source: BarSource
    quality: BarQuality


class FeedState(StrEnum):
    """How far the feed can be trusted."""

    UP = "UP"
    DEGRADED = "DEGRADED"
    """Data comes, by the slower way."""
    STALE = "STALE"
    """Nothing has come for longer than the limit."""
    GAP = "GAP"
    """Updates are missing; quotes are not to be used until RECOVERED."""
    RECOVERED = "RECOVERED"
    """A fresh snapshot has closed the gap; UP follows with the first quote."""


class FeedTransport(StrEnum):
    """By which way the data comes."""

    WEBSOCKET = "WEBSOCKET"
    REST = "REST"


class Feed(Message):
    """The feed has changed its state."""

    writer: Literal["marketdata"] = "marketdata"
    kind: Literal["feed"] = "feed"
    version: Literal[1] = 1
    venue: Identifier
    state: FeedState
    transport: FeedTransport
    detail: Text


class Clock(Message):
    """A new cycle has begun; the tape's time moves even when no market does."""

    writer: Literal["marketdata"] = "marketdata"
    kind: Literal["clock"] = "clock"
    version: Literal[1] = 1
