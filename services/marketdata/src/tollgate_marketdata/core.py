"""The pure heart of market data: venue frames in, tape messages out.

The feed's state follows one table of events:

    connected, first time           -> nothing yet
    connected, after a loss         -> RECOVERED
    a quote while not UP            -> UP
    lost with a hole in the sequence-> GAP
    lost otherwise                  -> STALE
    no frame for ``stale_after_us`` -> STALE

Quotes are conflated: of each symbol only the newest is kept until the tape is ready for it (a ``SpeakFrame``).
"""

from typing import Any

from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.market import (
    BarLine,
    ConnectedFrame,
    Frame,
    InstrumentLine,
    LostFrame,
    QuoteLine,
    SpeakFrame,
    StartFrame,
    TickFrame,
)
from tollgate_contracts.marketdata import (
    Bar,
    BarQuality,
    BarSource,
    Clock,
    Feed,
    FeedState,
    FeedTransport,
    Instrument,
    Quote,
    SymbolQuote,
)


class MarketDataTapeCore:
    """Market data decides nothing from the tape; it reads it only to know where it stands."""

    def step(self, sequence: int, message: Message) -> Step:  # noqa: ARG002 - the protocol of every core
        """Do nothing."""
        return NOTHING

    def snapshot(self) -> dict[str, Any]:
        """Return no state."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take back no state."""


class FeedCore:
    """What one start of market data says, given what it was told; ``take`` is called once for each frame."""

    def __init__(self, desk: str, run_id: str, start: StartFrame) -> None:
        self._desk = desk
        self._run_id = run_id
        self._start = start
        self._symbols = frozenset(start.symbols)
        self._said = 0
        self._heard_us = start.ts_us
        self._connected_before = False
        self._waiting: dict[str, SymbolQuote] = {}
        self._venue_sequence: dict[str, int] = {}
        self._instruments: dict[str, Instrument] = {}
        self.feed: FeedState | None = None
        self.cycle_id = start.cycle_id
        self.quotes = 0

    @property
    def has_waiting_quotes(self) -> bool:
        """Say whether there is something to speak of."""
        return bool(self._waiting)

    def take(self, frame: Frame) -> tuple[Message, ...]:
        """Apply one frame and return what is to be appended, in order."""
        if not isinstance(frame, TickFrame | SpeakFrame | LostFrame | StartFrame):
            self._heard_us = frame.ts_us
        match frame:
            case QuoteLine():
                return self._quote(frame)
            case SpeakFrame():
                return self._speak(frame)
            case TickFrame():
                return self._tick(frame)
            case InstrumentLine():
                return self._instrument(frame)
            case BarLine():
                return self._bar(frame)
            case ConnectedFrame():
                return self._connected(frame)
            case LostFrame():
                return self._turn(FeedState.GAP if frame.gap else FeedState.STALE, frame.ts_us, frame.detail)
            case _:
                return ()

    def _quote(self, frame: QuoteLine) -> tuple[Message, ...]:
        quote = frame.quote
        if quote.symbol not in self._symbols or quote.venue_sequence <= self._venue_sequence.get(quote.symbol, -1):
            return ()
        self._venue_sequence[quote.symbol] = quote.venue_sequence
        self._waiting[quote.symbol] = quote
        return self._turn(FeedState.UP, frame.ts_us, "first quote")

    def _speak(self, frame: SpeakFrame) -> tuple[Message, ...]:
        if not self._waiting:
            return ()
        quotes = tuple(self._waiting[symbol] for symbol in self._start.symbols if symbol in self._waiting)
        self._waiting.clear()
        self.quotes += len(quotes)
        return (self._say(Quote, frame.ts_us, quotes=quotes),)

    def _tick(self, frame: TickFrame) -> tuple[Message, ...]:
        self.cycle_id += 1
        clock = self._say(Clock, frame.ts_us)
        silent_us = frame.ts_us - self._heard_us
        if self.feed in {FeedState.UP, FeedState.RECOVERED} and silent_us > self._start.stale_after_us:
            return (clock, *self._turn(FeedState.STALE, frame.ts_us, f"nothing heard for {silent_us} us"))
        return (clock,)

    def _instrument(self, frame: InstrumentLine) -> tuple[Message, ...]:
        if frame.symbol not in self._symbols:
            return ()
        known = self._instruments.get(frame.symbol)
        if known is not None and not self._is_news(known, frame):
            return ()
        fields = frame.model_dump(exclude={"type", "ts_us"})
        # The venues that are read so far are spot.
        message = self._say(Instrument, frame.ts_us, venue=self._start.venue, margin=None, **fields)
        self._instruments[frame.symbol] = message
        return (message,)

    @staticmethod
    def _is_news(known: Instrument, frame: InstrumentLine) -> bool:
        """Say whether rules or status changed, or half of what was said has run out."""
        now = frame.model_dump(exclude={"type", "ts_us", "valid_until_us"})
        if any(getattr(known, name) != value for name, value in now.items()):
            return True
        return frame.ts_us - known.ts_us > (known.valid_until_us - known.ts_us) // 2

    def _bar(self, frame: BarLine) -> tuple[Message, ...]:
        if frame.symbol not in self._symbols:
            return ()
        fields = frame.model_dump(exclude={"type", "ts_us"})
        return (self._say(Bar, frame.ts_us, source=BarSource.VENUE, quality=BarQuality.COMPLETE, **fields),)

    def _connected(self, frame: ConnectedFrame) -> tuple[Message, ...]:
        again = self._connected_before
        self._connected_before = True
        # The venue may have begun its count anew; a snapshot is the new truth.
        self._venue_sequence.clear()
        return self._turn(FeedState.RECOVERED, frame.ts_us, "connected again") if again else ()

    def _turn(self, state: FeedState, ts_us: int, detail: str) -> tuple[Message, ...]:
        if state is self.feed:
            return ()
        self.feed = state
        if state in {FeedState.GAP, FeedState.STALE}:
            # What was not said yet belongs to a market that we no longer see.
            self._waiting.clear()
        transport = FeedTransport.WEBSOCKET
        return (self._say(Feed, ts_us, venue=self._start.venue, state=state, transport=transport, detail=detail),)

    def _say(self, kind: Any, ts_us: int, **fields: Any) -> Any:
        self._said += 1
        return kind(
            id=f"marketdata:{self._start.venue}:{self._start.epoch}.{self._said}",
            desk=self._desk,
            run_id=self._run_id,
            ts_us=ts_us,
            cause=None,
            cycle_id=self.cycle_id,
            **fields,
        )
