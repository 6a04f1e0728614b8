"""What the tape says of the market: the newest quote and the instrument of each symbol, and whether the feed is well.

Execution decides nothing by it that risk has not approved: because of it, it sends less, or later, or at a better
price.
"""

from dataclasses import dataclass
from typing import Any

from tollgate_contracts.marketdata import Feed, FeedState, Instrument, InstrumentStatus, Quote, SymbolQuote

# As many as a configuration may name; whoever was quoted longest ago makes room.
SYMBOLS_MAX = 64
_USABLE = frozenset({FeedState.UP, FeedState.DEGRADED, FeedState.RECOVERED})


@dataclass(frozen=True, slots=True)
class Quoted:
    """The newest quote of a symbol, and when and where it was said, on the tape's clock and on the tape."""

    quote: SymbolQuote
    ts_us: int
    sequence: int


class Market:
    """The newest of everything; state is a function of the tape."""

    def __init__(self) -> None:
        self.newest_us = 0
        """When anything was last quoted; 0 before."""
        self.feed_lost_us: int | None = None
        """Since when the feed says of itself that it cannot be used; none while it can."""
        self._quotes: dict[str, Quoted] = {}
        self._instruments: dict[str, Instrument] = {}
        self._opened_us: dict[str, int] = {}

    def on_quote(self, sequence: int, message: Quote) -> None:
        """Take the newest quotes, which stand at ``sequence``."""
        self.newest_us = max(self.newest_us, message.ts_us)
        for quote in message.quotes:
            self._quotes.pop(quote.symbol, None)
            self._quotes[quote.symbol] = Quoted(quote, message.ts_us, sequence)
        while len(self._quotes) > SYMBOLS_MAX:
            del self._quotes[next(iter(self._quotes))]

    def on_instrument(self, message: Instrument) -> None:
        """Take an instrument as the venue states it, and note when it is open again after it was not."""
        before = self._instruments.pop(message.symbol, None)
        if before is not None and before.status is not message.status and message.status is InstrumentStatus.OPEN:
            self._opened_us[message.symbol] = message.ts_us
        self._instruments[message.symbol] = message
        while len(self._instruments) > SYMBOLS_MAX:
            oldest = next(iter(self._instruments))
            del self._instruments[oldest]
            self._opened_us.pop(oldest, None)

    def on_feed(self, message: Feed) -> None:
        """Note since when the feed has not been usable."""
        if message.state in _USABLE:
            self.feed_lost_us = None
        elif self.feed_lost_us is None:
            self.feed_lost_us = message.ts_us

    def quoted(self, symbol: str) -> Quoted | None:
        """Return the newest quote of a symbol; none when there was none."""
        return self._quotes.get(symbol)

    def instrument(self, symbol: str) -> Instrument | None:
        """Return an instrument as it was last stated; none when it never was."""
        return self._instruments.get(symbol)

    def opened_us(self, symbol: str) -> int:
        """Return when the venue opened a symbol again after it had not been open; 0 when it never had to."""
        return self._opened_us.get(symbol, 0)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "newest_us": self.newest_us,
            "feed_lost_us": self.feed_lost_us,
            "quotes": [
                [quoted.quote.model_dump_json(), quoted.ts_us, quoted.sequence] for quoted in self._quotes.values()
            ],
            "instruments": [instrument.model_dump_json() for instrument in self._instruments.values()],
            "opened_us": dict(self._opened_us),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self.newest_us, self.feed_lost_us = state["newest_us"], state["feed_lost_us"]
        quotes = ((SymbolQuote.model_validate_json(text), *where) for text, *where in state["quotes"])
        self._quotes = {quote.symbol: Quoted(quote, *where) for quote, *where in quotes}
        instruments = map(Instrument.model_validate_json, state["instruments"])
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._opened_us = dict(state["opened_us"])
