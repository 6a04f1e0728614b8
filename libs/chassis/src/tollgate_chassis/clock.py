"""Time and chance, handed to whatever needs them, so that a simulation can hand over its own.

A shell reads the clock here and nowhere else: then a run under virtual time and a seed is the same run each time.
Delays that asyncio itself keeps (``asyncio.timeout``, ``asyncio.wait_for``) follow the event loop's time, which a
simulation replaces together with this.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


def _wall_us() -> int:
    return time.time_ns() // 1_000


def _monotonic_us() -> int:
    return time.monotonic_ns() // 1_000


@dataclass(frozen=True, slots=True)
class Clock:
    """Where time and chance come from; the machine's own unless something else is given."""

    wall_us: Callable[[], int] = _wall_us
    """Microseconds since the Unix epoch, UTC; it can be set back."""
    monotonic_us: Callable[[], int] = _monotonic_us
    """Microseconds since some moment in the past; it only rises."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Wait for so many seconds."""
    random: Callable[[], float] = random.random
    """A number from 0 up to but not including 1, for jitter; nothing secret hangs on it."""


SYSTEM_CLOCK = Clock()


def system_clock() -> Clock:
    """Return the machine's own clock and chance."""
    return SYSTEM_CLOCK
