"""Wiring of market data: the venue's public feed, the clock, the recorder, and the tape."""

import asyncio
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from pydantic import ValidationError

from tollgate_chassis.broker import fast_stream_broker
from tollgate_chassis.exits import Restart
from tollgate_chassis.runner import Runner
from tollgate_chassis.service import Parts, run_service
from tollgate_chassis.shell import Shell
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import marketdata as metrics
from tollgate_contracts.envelope import Message
from tollgate_contracts.market import ConnectedFrame, Frame, LostFrame, SpeakFrame, StartFrame, TickFrame
from tollgate_contracts.marketdata import FeedState, Quote
from tollgate_marketdata.core import FeedCore, MarketDataTapeCore
from tollgate_marketdata.gauges import FeedGauges
from tollgate_marketdata.lines import line_of
from tollgate_marketdata.recorder import Recorder
from tollgate_marketdata.settings import MarketDataSettings
from tollgate_venues.frames import MarketFrame
from tollgate_venues.simulated.public import FeedLoss, FeedLost, SimulatedMarket

# Messages that wait for the tape; at a clock every quarter second and quotes conflated, more means a dead broker.
_OUTBOX_MAX = 10_000
_HELD_S = 10.0
_RECONNECT_S = (0.1, 0.2, 0.5, 1.0, 2.0)


class MarketDataShell(Shell):
    """Feeds the core and appends what it says, one message in flight."""

    wakes_on = frozenset[str]()

    def __init__(self, settings: MarketDataSettings) -> None:
        self._settings = settings
        self._section = settings.marketdata
        self._broker = fast_stream_broker(settings, "marketdata")
        self._outbox: deque[Message] = deque()
        self._something_to_do = asyncio.Event()
        self._started = asyncio.Event()
        self._core: FeedCore
        self._recorder: Recorder
        self._runner: Runner
        self._spoke_at = 0.0
        self._gauges = FeedGauges(settings.symbols, self._section.stale_after_ms * 1_000)

    async def start(self, runner: Runner) -> None:
        """Connect FastStream's side of the broker."""
        self._runner = runner
        await self._broker.connect()

    async def went_live(self) -> None:
        """Begin a new epoch of the feed, numbered by the tape's end."""
        settings, runner = self._settings, self._runner
        start = StartFrame(
            ts_us=now_us(),
            venue=settings.venue,
            symbols=settings.symbols,
            epoch=runner.tip,
            cycle_id=runner.cycle_id,
            stale_after_us=self._section.stale_after_ms * 1_000,
        )
        self._core = FeedCore(settings.desk, settings.run_id, start)
        self._recorder = Recorder(self._broker, settings.desk, settings.run_id, start.epoch)
        self._take(start)
        self._started.set()

    async def stop(self) -> None:
        """Record what waits, and let go of the broker."""
        if self._started.is_set():
            try:
                await self._recorder.flush()
            except Restart as lost:
                # Why the process ends is known already, and must not be covered by this.
                logger().warning("data_feed.unrecorded", outcome="lost", detail=lost.why)
        await self._broker.stop()

    def background(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return the feed, the clock, the voice and the recorder."""
        return self._follow_feed(), self._follow_metadata(), self._tick(), self._speak(), self._record()

    def _take(self, frame: Frame) -> None:
        self._recorder.note(frame)
        self._outbox.extend(self._core.take(frame))
        if len(self._outbox) > _OUTBOX_MAX:
            raise Restart(f"{len(self._outbox)} messages wait for the tape; the broker does not keep up")
        if self._outbox or self._core.has_waiting_quotes:
            self._something_to_do.set()

    def _take_from_venue(self, frame: MarketFrame) -> None:
        metrics.FEED_FRAMES.labels(type(frame).__name__).inc()
        try:
            line = line_of(frame, now_us())
        except ValidationError as error:
            # A venue's nonsense is not a message of ours; it is counted and told, and the old quote grows stale.
            metrics.FEED_REFUSED.inc()
            logger().error("data_feed.refused", outcome="invalid", detail=str(error)[:500])
            return
        self._take(line)

    async def _follow_feed(self) -> None:
        await self._started.wait()
        attempt = 0
        while True:
            connected_at = time.monotonic()
            lost = await self._follow_connection()
            metrics.FEED_LOST.labels(lost.reason.value).inc()
            logger().warning("data_feed.lost", outcome=lost.reason.lower(), detail=lost.detail)
            self._take(LostFrame(ts_us=now_us(), gap=lost.reason is FeedLoss.GAP, detail=str(lost)[:2_000]))
            # A connection that held for a while was a good one; the next attempt starts over.
            attempt = 0 if time.monotonic() - connected_at > _HELD_S else min(attempt + 1, len(_RECONNECT_S) - 1)
            await asyncio.sleep(_RECONNECT_S[attempt])

    async def _follow_connection(self) -> FeedLost:
        connected = False
        async with SimulatedMarket(self._settings.venue_url) as market:
            try:
                async for frame in market.frames(self._settings.symbols):
                    if not connected:
                        connected = True
                        self._take(ConnectedFrame(ts_us=now_us()))
                    self._take_from_venue(frame)
            except FeedLost as lost:
                return lost
        return FeedLost(FeedLoss.CLOSED, "the stream ended")

    async def _follow_metadata(self) -> None:
        await self._started.wait()
        async with SimulatedMarket(self._settings.venue_url) as market:
            while True:
                await asyncio.sleep(self._section.metadata_interval_s)
                try:
                    for frame in await market.instruments():
                        self._take_from_venue(frame)
                except FeedLost as lost:
                    logger().warning("data_feed.metadata_unavailable", outcome=lost.reason.lower(), detail=lost.detail)

    async def _tick(self) -> None:
        await self._started.wait()
        cycle_us = self._section.cycle_ms * 1_000
        while True:
            began_us = now_us()
            self._take(TickFrame(ts_us=began_us))
            self._gauges.ticked(began_us, self._core.feed)
            await asyncio.sleep(max(next_boundary_us(began_us, cycle_us) - now_us(), 0) / 1_000_000)

    async def _speak(self) -> None:
        """Append what waits in order; speak of quotes whenever nothing else waits and the tape has taken the last."""
        await self._started.wait()
        while True:
            if self._outbox:
                await self._append(self._outbox.popleft())
            elif not self._core.has_waiting_quotes:
                self._something_to_do.clear()
                await self._something_to_do.wait()
            elif (pause_s := self._spoke_at + self._section.conflation_ms / 1_000 - time.monotonic()) > 0:
                await asyncio.sleep(pause_s)
            else:
                self._spoke_at = time.monotonic()
                self._take(SpeakFrame(ts_us=now_us()))

    async def _append(self, message: Message) -> None:
        if not isinstance(message, Quote):
            await self._runner.observe(message)
            return
        with self._runner.tracing.begin("data_feed.update", often=True, quotes=len(message.quotes)):
            await self._runner.observe(message)
        self._gauges.quoted(message)

    async def _record(self) -> None:
        await self._started.wait()
        await self._recorder.run()

    def status(self) -> dict[str, Any]:
        """Return the feed's state, how much was said, and how old each symbol's newest quote is."""
        ages = {"data_age_ms": self._gauges.ages_ms(now_us())}
        if not self._started.is_set():
            cycle_id = self._runner.cycle_id if hasattr(self, "_runner") else 0
            return {"feed": None, "quotes": 0, "cycle_id": cycle_id, **ages}
        return {"feed": self._core.feed, "quotes": self._core.quotes, "cycle_id": self._core.cycle_id, **ages}

    def not_ready(self) -> list[str]:
        """Return why quotes are not to be had."""
        feed = self._core.feed if self._started.is_set() else None
        return [] if feed in {FeedState.UP, FeedState.RECOVERED} else [f"the feed is {feed or 'not connected'}"]


def next_boundary_us(began_us: int, cycle_us: int) -> int:
    """Return where the cycle after the one that began at ``began_us`` begins.

    A timer may end a little early: the boundary that is nearest was meant, and it does not come a second time.
    """
    return (began_us + cycle_us // 2) // cycle_us * cycle_us + cycle_us


def now_us() -> int:
    """Return the host's time; the one clock that market data reads."""
    return time.time_ns() // 1_000


def build(settings: MarketDataSettings) -> Parts:
    """Build the service from its settings."""
    return Parts(core=MarketDataTapeCore(), shell=MarketDataShell(settings))


def main() -> None:
    """Run market data."""
    run_service("marketdata", MarketDataSettings, build)
