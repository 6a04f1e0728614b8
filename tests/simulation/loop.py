"""An event loop in which time is a number, chance is a seed, and a process can be dropped between any two steps.

Nothing sleeps: when no callback is ready, the time jumps to that of the next timer. Which of the ready callbacks runs
next is drawn from the seed, so that whatever relies on an order that asyncio does not promise comes to light.

Whose a callback is stands in its context: a process and all that it starts carry its number, and the world around it
(broker, database, venue, supervisor) carries none. A process that is killed is dropped with every callback of its
number: nothing of it runs again, neither ``finally`` nor ``except``, as after kill -9.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

PROCESS: contextvars.ContextVar[int] = contextvars.ContextVar("process", default=0)
"""The number of the process that a callback belongs to; 0 is the world."""
# A run of some hundred orders has a hundred thousand steps: more are a loop that never ends.
STEPS_MAX = 2_000_000


class Endless(AssertionError):
    """The simulation went on for ever."""


class _Task(asyncio.Task[Any]):
    """A task that hashes as its number, so that sets of tasks have the same order in each replay."""

    def __init__(
        self, number: int, coroutine: Any, loop: "SimulatedLoop", name: str | None, context: contextvars.Context | None
    ) -> None:
        self._number = number
        super().__init__(coroutine, loop=loop, name=name or "task", context=context)

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks one at a time under virtual time."""

    def __init__(self, chance: Random | None) -> None:
        """``chance`` permutes the callbacks that are ready; without it they run in the order of their coming."""
        self.now_us = 0
        self.steps = 0
        self.steps_of_processes = 0
        self.before_step: Callable[[int, int], bool] | None = None
        """Called with the number of a process's step and its process; true when the process must not take it."""
        self.failures: list[str] = []
        """What callbacks raised that nobody awaited."""
        self._chance = chance
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[int, int, asyncio.Handle]] = []
        self._numbers = 0
        self._dead: set[int] = set()
        self._paused: dict[int, list[asyncio.Handle]] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._world = contextvars.Context()
        self._closed = False

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self.now_us / 1_000_000

    def get_debug(self) -> bool:
        """Say no."""
        return False

    def is_running(self) -> bool:
        """Say yes until it is closed."""
        return not self._closed

    def is_closed(self) -> bool:
        """Say whether ``close`` was called."""
        return self._closed

    def create_future(self) -> "asyncio.Future[Any]":
        """Return a future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: contextvars.Context | None = None
    ) -> "asyncio.Task[Any]":
        """Begin a task; it is kept until the end, so that nothing of a dead process is ever collected and closed."""
        task = _Task(len(self._tasks), coro, self, name, context)
        self._tasks.append(task)
        return task

    def call_soon(self, callback: Any, *args: Any, context: contextvars.Context | None = None) -> asyncio.Handle:
        """Have ``callback`` run among the next."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self._closed:
            self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Have ``callback`` run after ``delay`` seconds."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Any, *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Have ``callback`` run at ``when`` seconds."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._push(round(when * 1_000_000), handle)
        return handle

    def after(self, delay_us: int, callback: Callable[..., Any], *args: Any) -> None:
        """Have the world do something after ``delay_us``, whatever becomes of the process that asked for it."""
        self._push(self.now_us + delay_us, asyncio.Handle(callback, args, self, self._world))

    def _push(self, when_us: int, handle: asyncio.Handle) -> None:
        if self._closed:
            return
        self._numbers += 1
        heapq.heappush(self._timers, (max(when_us, self.now_us), self._numbers, handle))

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it in the heap: it is passed over when its time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what asyncio has to complain of."""
        if not self._closed:
            self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    def start_process(self, number: int, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Begin a process as a task; whatever it begins is of the same number."""
        context = contextvars.Context()
        context.run(PROCESS.set, number)
        return self.create_task(coroutine, context=context)

    def kill(self, number: int) -> None:
        """Drop a process: none of its callbacks runs again."""
        self._dead.add(number)

    def pause(self, number: int) -> None:
        """Let a process stand still, as its machine may: what it would have run waits."""
        self._paused.setdefault(number, [])

    def resume(self, number: int) -> None:
        """Let a process go on where it stood."""
        self._ready.extend(self._paused.pop(number, ()))

    def run_until(self, until_us: int) -> None:
        """Run everything that happens before the virtual time ``until_us``, and be there."""
        asyncio._set_running_loop(self)
        try:
            while self._ready or self._advance(until_us):
                self._step()
        finally:
            asyncio._set_running_loop(None)

    def _advance(self, until_us: int) -> bool:
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers or timers[0][0] > until_us:
            self.now_us = max(self.now_us, until_us)
            return False
        self.now_us = now_us = timers[0][0]
        while timers and timers[0][0] == now_us:
            self._ready.append(heapq.heappop(timers)[2])
        return True

    def _step(self) -> None:
        ready = self._ready
        if self._chance is not None and len(ready) > 1:
            ready.rotate(-int(self._chance.random() * len(ready)))
        handle = ready.popleft()
        if handle._cancelled:
            return
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Endless(f"{STEPS_MAX} steps, and it goes on at {self.now_us} us")
        number = handle._context.get(PROCESS, 0)
        if number:
            if number in self._dead:
                return
            if self._waits(number, handle):
                return
            self.steps_of_processes += 1
            if self.before_step is not None and self.before_step(self.steps_of_processes, number):
                return
            if self._waits(number, handle):
                return
        handle._run()

    def _waits(self, number: int, handle: asyncio.Handle) -> bool:
        if number in self._paused:
            self._paused[number].append(handle)
            return True
        return False

    def close(self) -> None:
        """Close what is left of every task, without letting it run anything outside."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        for task in self._tasks:
            task._log_destroy_pending = False
            _bury(task.get_coro())
        self._tasks.clear()


def _bury(coroutine: Any) -> None:
    # A finally that awaits answers a close by RuntimeError and is closed again; each close ends one of its awaits.
    for _ in range(100):
        try:
            coroutine.close()
        except BaseException:  # noqa: BLE001, S112 - whatever a dead process still raises, nobody hears
            continue
        return
