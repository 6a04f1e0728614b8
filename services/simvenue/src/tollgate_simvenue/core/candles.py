"""Candles from trades, closed by the clock."""

from collections import deque

from tollgate_simvenue.core.model import Candle

# What one symbol keeps for who asks by REST; at a minute each, more than eight hours.
CANDLES_KEPT = 500


class Candles:
    """The candles of one symbol; an interval without trades repeats the close before it, with no volume."""

    def __init__(self, symbol: str, interval_us: int) -> None:
        self.closed: deque[Candle] = deque(maxlen=CANDLES_KEPT)
        self._symbol = symbol
        self._interval_us = interval_us
        self._open: Candle | None = None

    def add(self, price: int, quantity: int, now_us: int) -> list[Candle]:
        """Count a trade in and return the candles that its time closes, oldest first."""
        closed = self.close_until(now_us)
        before = self._open
        if before is None or not before.trades:
            self._open = self._new(self._floor(now_us), price, quantity, 1)
        else:
            self._open = Candle(
                self._symbol, before.open_us, self._interval_us, before.open, max(before.high, price),
                min(before.low, price), price, before.volume + quantity, before.trades + 1,
            )  # fmt: skip
        return closed

    def close_until(self, now_us: int) -> list[Candle]:
        """Return the candles whose interval is over at ``now_us``, oldest first."""
        closed: list[Candle] = []
        oldest_us = self._floor(now_us) - CANDLES_KEPT * self._interval_us
        while self._open is not None and self._open.open_us + self._interval_us <= now_us:
            closed.append(self._open)
            # A machine that has slept for long has nothing to say about each interval of its sleep.
            next_us = max(self._open.open_us + self._interval_us, oldest_us)
            self._open = self._new(next_us, self._open.close, 0, 0)
        self.closed.extend(closed)
        return closed

    def _floor(self, now_us: int) -> int:
        return now_us - now_us % self._interval_us

    def _new(self, open_us: int, price: int, volume: int, trades: int) -> Candle:
        return Candle(self._symbol, open_us, self._interval_us, price, price, price, price, volume, trades)
