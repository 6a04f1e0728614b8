"""An event loop whose time is its own: it stands still while anything is to be done, and then jumps to the next."""

import asyncio
import heapq
import random
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tollgate_chassis.clock import Clock

T = TypeVar("T")
# Any time that is not zero: a loop may have run for long before its first timer.
_BEGAN_S = 1_000.0
WALL_US = 1_700_000_000_000_000


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits for time."""

    def __init__(self) -> None:
        super().__init__()
        self._now_s = _BEGAN_S

    def time(self) -> float:
        """Return virtual seconds."""
        return self._now_s

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            while self._scheduled and self._scheduled[0]._cancelled:  # type: ignore[attr-defined]
                heapq.heappop(self._scheduled)  # type: ignore[attr-defined]
            if self._scheduled:  # type: ignore[attr-defined]
                self._now_s = max(self._now_s, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def virtual_clock(seed: int = 1, chance: Callable[[], float] | None = None) -> Clock:
    """Return the running loop's time as a clock; ``chance`` instead of a seeded source of it."""
    loop = asyncio.get_running_loop()

    def monotonic_us() -> int:
        return round(loop.time() * 1_000_000)

    return Clock(
        wall_us=lambda: WALL_US + monotonic_us(),
        monotonic_us=monotonic_us,
        sleep=asyncio.sleep,
        random=chance or random.Random(seed).random,  # noqa: S311 - a test's own chance
    )


def run_virtually(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``main`` to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())
