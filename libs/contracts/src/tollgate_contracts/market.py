"""What lies on the MARKET stream: everything that market data was told, in the order in which it took it.

High-rate data does not belong on the tape, but what the tape says of the market follows from it. So each frame
is recorded before conflation, together with the moments at which market data looked at its clock or spoke, and
the feed's core can be run again over the recording.
"""

from typing import Annotated, Literal

from pydantic import Field

from tollgate_contracts.envelope import Currency, Desk, Identifier, Symbol, Text, TimeUs, Value
from tollgate_contracts.marketdata import InstrumentStatus, SymbolQuote
from tollgate_contracts.money import NonNegative, Price, Quantity
from tollgate_contracts.strategy import Side


class StartFrame(Value):
    """Market data has started: what it was started with, and the tape's last sequence and cycle then."""

    type: Literal["start"] = "start"
    ts_us: TimeUs
    venue: Identifier
    symbols: tuple[Symbol, ...]
    epoch: Annotated[int, Field(ge=0)]
    """The tape's last sequence: no two starts share it."""
    cycle_id: Annotated[int, Field(ge=0)]
    stale_after_us: Annotated[int, Field(gt=0)]


class InstrumentLine(Value):
    """One symbol's metadata as the venue states it."""

    type: Literal["instrument"] = "instrument"
    ts_us: TimeUs
    symbol: Symbol
    base: Currency
    quote: Currency
    tick: Price
    step: Quantity
    min_quantity: Quantity
    min_notional: NonNegative
    status: InstrumentStatus
    valid_until_us: TimeUs


class QuoteLine(Value):
    """The best bid and ask of one symbol have changed."""

    type: Literal["quote"] = "quote"
    ts_us: TimeUs
    quote: SymbolQuote


class TradeLine(Value):
    """One public trade."""

    type: Literal["trade"] = "trade"
    ts_us: TimeUs
    symbol: Symbol
    trade_id: Identifier
    price: Price
    quantity: Quantity
    aggressor: Side
    venue_ts_us: TimeUs


class BarLine(Value):
    """One bar as the venue closed it."""

    type: Literal["bar"] = "bar"
    ts_us: TimeUs
    symbol: Symbol
    open_us: TimeUs
    interval_us: Annotated[int, Field(gt=0)]
    open: Price
    high: Price
    low: Price
    close: Price
    volume: NonNegative
    trades: Annotated[int, Field(ge=0)]


class HeartbeatFrame(Value):
    """The venue is there, though nothing may have changed."""

    type: Literal["heartbeat"] = "heartbeat"
    ts_us: TimeUs


class ConnectedFrame(Value):
    """The feed is connected; snapshots follow."""

    type: Literal["connected"] = "connected"
    ts_us: TimeUs


class LostFrame(Value):
    """The feed is lost: closed, silent, or with a hole in its sequence."""

    type: Literal["lost"] = "lost"
    ts_us: TimeUs
    gap: bool
    detail: Text


class TickFrame(Value):
    """A cycle has passed on market data's own clock."""

    type: Literal["tick"] = "tick"
    ts_us: TimeUs


class SpeakFrame(Value):
    """The tape is ready for the next conflated quotes."""

    type: Literal["speak"] = "speak"
    ts_us: TimeUs


Frame = Annotated[
    StartFrame
    | InstrumentLine
    | QuoteLine
    | TradeLine
    | BarLine
    | HeartbeatFrame
    | ConnectedFrame
    | LostFrame
    | TickFrame
    | SpeakFrame,
    Field(discriminator="type"),
]


class Frames(Value):
    """One message of the MARKET stream: frames that follow each other, the first with its number in this start."""

    kind: Literal["frames"] = "frames"
    version: Literal[1] = 1
    desk: Desk
    run_id: Identifier
    epoch: Annotated[int, Field(ge=0)]
    first: Annotated[int, Field(ge=0)]
    frames: Annotated[tuple[Frame, ...], Field(min_length=1)]
