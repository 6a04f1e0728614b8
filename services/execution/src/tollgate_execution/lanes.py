"""Calls to the venue: in order for each order, side by side for different ones, and never more than a few at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum, auto

from tollgate_chassis.exits import Restart

Job = Callable[[], Awaitable[object]]


class Track(Enum):
    """What a job does, where calls of one kind must not wait for room behind those of another."""

    SUBMIT = auto()
    """Sends an order; may wait long for the venue's limit."""
    ASK = auto()
    """Asks what became of an order; slow while the venue does not answer."""
    CANCEL = auto()
    """Takes an order back."""


class Lanes:
    """One lane for each order that has something under way; the first job that raises ends all of them."""

    def __init__(self, concurrency_max: int) -> None:
        """Half of ``concurrency_max`` is for submits, a quarter each for questions and cancels, one each at least."""
        quarter = max(1, concurrency_max // 4)
        self._gates = {
            Track.SUBMIT: asyncio.Semaphore(max(1, concurrency_max - 2 * quarter)),
            Track.ASK: asyncio.Semaphore(quarter),
            Track.CANCEL: asyncio.Semaphore(quarter),
        }
        self._waiting: dict[str, deque[tuple[Track, Job]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def run(self, lane: str, job: Job, track: Track = Track.ASK) -> None:
        """Run ``job`` after those that are in its lane already."""
        waiting = self._waiting.get(lane)
        if waiting is not None:
            waiting.append((track, job))
            return
        self._waiting[lane] = deque([(track, job)])
        task = asyncio.create_task(self._drive(lane), name=f"lane {lane}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drive(self, lane: str) -> None:
        waiting = self._waiting[lane]
        try:
            while waiting:
                track, job = waiting[0]
                async with self._gates[track]:
                    waiting.popleft()
                    await job()
        except asyncio.CancelledError:
            if not _is_cancelled():
                # Nobody has cancelled this lane: a library has cancelled what a job waited for, and the rest of the
                # lane would be gone without a word.
                self._fail(Restart(f"a call was cancelled from within, in the lane of {lane}"))
            raise
        except Exception as error:  # noqa: BLE001 - handed to failure(), which raises it where the process ends
            self._fail(error)
        finally:
            del self._waiting[lane]

    def _fail(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    async def failure(self) -> None:
        """Wait for the first job that raises, and raise it."""
        await asyncio.shield(self._failed)

    async def idle(self) -> None:
        """Wait until nothing is under way and nothing waits."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def finish(self, timeout_s: float) -> None:
        """Let what is under way end, for at most ``timeout_s``, and cancel the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        unfinished = list(self._tasks)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        # Nobody waits for a failure any more.
        if not self._failed.done():
            self._failed.cancel()
        elif not self._failed.cancelled():
            self._failed.exception()


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
