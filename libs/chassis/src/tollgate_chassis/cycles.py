"""The cycles of the tape's clock, as one service goes through them: which it is, and how long it works in each."""

from typing import Any

from tollgate_chassis.clock import Clock
from tollgate_chassis.telemetry.metrics import tape as metrics
from tollgate_contracts.marketdata import Clock as Tick

_US_PER_S = 1_000_000


class Cycles:
    """Counts the time that is spent on what one cycle brings."""

    def __init__(self, clock: Clock) -> None:
        self.id = 0
        self._clock = clock
        self._began_us: int | None = None
        self._worked_us = 0
        self._working_s = 0.0

    def work(self, seconds: float) -> None:
        """Note that so long was worked in the cycle under way."""
        self._working_s += seconds

    def begin(self, tick: Tick, *, live: bool) -> None:
        """Begin the cycle that ``tick`` says; the one before is over."""
        # Others only repeat its number, and one of them may be wrong.
        self.id = max(self.id, tick.cycle_id)
        self._began_us, self._worked_us = tick.ts_us, round(self._working_s * _US_PER_S)
        metrics.CYCLE.set(self.id)
        metrics.CYCLE_TIME.set(tick.ts_us / _US_PER_S)
        if live:
            metrics.CYCLE_SECONDS.observe(self._working_s)
            metrics.CYCLE_LAG_SECONDS.observe(max(self._clock.wall_us() - tick.ts_us, 0) / _US_PER_S)
        self._working_s = 0.0

    def describe(self) -> dict[str, Any] | None:
        """Return the newest cycle, when it began by the tape's clock, and how long the one before kept us busy."""
        if self._began_us is None:
            return None
        return {"id": self.id, "ts_us": self._began_us, "worked_us": self._worked_us}
