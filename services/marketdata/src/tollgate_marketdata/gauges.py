"""The feed as metrics: its state, and how old the quotes are that the desk acts upon."""

from collections.abc import Iterable

from tollgate_chassis.telemetry.metrics import marketdata as metrics
from tollgate_contracts.marketdata import FeedState, Quote

_US_PER_S = 1_000_000


class FeedGauges:
    """Follows what goes to the tape."""

    def __init__(self, symbols: Iterable[str], stale_after_us: int) -> None:
        """Quotes older than ``stale_after_us`` count as stale."""
        self._quoted_us: dict[str, int | None] = dict.fromkeys(symbols)
        self._stale_after_us = stale_after_us

    def quoted(self, message: Quote) -> None:
        """Note the quotes of ``message``, which is on the tape."""
        for quote in message.quotes:
            self._quoted_us[quote.symbol] = message.ts_us
            metrics.LAST_QUOTE_TIME.labels(quote.symbol).set(message.ts_us / _US_PER_S)
            metrics.QUOTE_AGE_SECONDS.observe((message.ts_us - quote.venue_ts_us) / _US_PER_S)

    def ticked(self, now_us: int, feed: FeedState | None) -> None:
        """Count one cycle of the clock for each symbol, by how old its newest quote is."""
        for state in FeedState:
            metrics.FEED_STATE.labels(state.value).set(feed is state)
        for symbol, quoted_us in self._quoted_us.items():
            metrics.DATA_CYCLES.labels(symbol, self._judge(quoted_us, now_us)).inc()

    def ages_ms(self, now_us: int) -> dict[str, int | None]:
        """Return how old each symbol's newest quote is, null before the first."""
        return {
            symbol: None if quoted_us is None else max(now_us - quoted_us, 0) // 1_000
            for symbol, quoted_us in self._quoted_us.items()
        }

    def _judge(self, quoted_us: int | None, now_us: int) -> str:
        if quoted_us is None:
            return "none"
        return "stale" if now_us - quoted_us > self._stale_after_us else "fresh"
