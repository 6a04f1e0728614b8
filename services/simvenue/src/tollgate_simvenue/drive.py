"""What makes the market move, in real time: the generator's pace, a recording's clock, the heartbeat."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal

from tollgate_simvenue.core.market import MarketEvent
from tollgate_simvenue.floor import Floor, MarketStatus
from tollgate_simvenue.hub import QUEUE_FRAMES_MAX
from tollgate_simvenue.market.recording import Recorded

HEARTBEAT_S = 1.0
# After a pause longer than this (a suspended machine) the generator goes on from now instead of making up for it.
_BEHIND_S_MAX = 1.0
# Events in a row before others are served.
_EVENTS_AT_ONCE = 100
_BACKLOG_MAX = QUEUE_FRAMES_MAX // 2
_US = 1_000_000
_WAIT_S_MIN = 0.001


async def drive_generator(
    floor: Floor, events: Iterator[tuple[str, MarketEvent]], quotes_per_s: int, status: MarketStatus | None
) -> None:
    """Play generated events at an even pace, for ever; ``status`` counts them where the generator is the market."""
    if status is not None:
        status.started = True
    interval = 1 / quotes_per_s
    due = time.monotonic()
    for symbol, event in events:
        late = time.monotonic() - due
        if late < 0:
            await asyncio.sleep(-late)
        elif late > _BEHIND_S_MAX:
            due = time.monotonic()
        floor.move(symbol, event)
        if status is not None:
            status.events += 1
        due += interval


async def drive_recording(
    floor: Floor, symbol: str, events: Iterator[Recorded], speed: Decimal, status: MarketStatus, *, waits: bool
) -> None:
    """Play a recording once, ``speed`` times as fast as it was recorded; 0 is as fast as listeners can take it."""
    if waits:
        await floor.hub.first_subscriber.wait()
    status.started = True
    start = time.monotonic()
    first_us: int | None = None
    unserved = 0
    for ts_us, event in events:
        first_us = ts_us if first_us is None else first_us
        ahead = 0.0
        if speed:
            ahead = start + (ts_us - first_us) / (float(speed) * _US) - time.monotonic()
        unserved += 1
        if ahead > 0 or unserved >= _EVENTS_AT_ONCE:
            unserved = 0
            await asyncio.sleep(max(ahead, 0))
            while floor.hub.backlog() > _BACKLOG_MAX and not speed:  # noqa: ASYNC110 - queues empty themselves elsewhere
                await asyncio.sleep(0.001)
        floor.move(symbol, event)
        status.events += 1
    status.finished = True


async def drive_clock(floor: Floor) -> None:
    """Close candles and send heartbeats each second, for ever."""
    due = time.monotonic()
    while True:
        due += HEARTBEAT_S
        await asyncio.sleep(max(due - time.monotonic(), 0))
        floor.tick()


async def drive_timers(floor: Floor) -> None:
    """Do what the clock makes due, when it is due, for ever."""
    while True:
        floor.rescheduled.clear()
        floor.advance()
        wait_us = floor.next_wait_us()
        # The loop's clock and the venue's may differ by a little: what is due at once waits for the next millisecond.
        wait_s = None if wait_us is None else max(wait_us / _US, _WAIT_S_MIN)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await floor.rescheduled.wait()
