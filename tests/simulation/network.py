"""What lies between a process and what it talks to: delays, lost requests and lost answers, by the seed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

from tests.simulation.loop import PROCESS, SimulatedLoop

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Link:
    """How bad a connection is; chances in a thousand, delays in microseconds."""

    delay_us_max: int = 2_000
    lost_request: int = 0
    """The request never arrives, and nobody says so."""
    lost_answer: int = 0
    """The request is carried out, and its answer never arrives."""
    slow: int = 0
    """A request or an answer takes up to ``slow_us_max``, longer than its sender waits."""
    slow_us_max: int = 0
    timeout_us: int = 1_000_000


class Lost(Exception):
    """No answer came in time: whether the request was carried out is not known."""


class DeadProcessCalls(AssertionError):
    """A process that was killed has done something outside: the simulation itself is broken."""


class Network:
    """Carries calls; what a dead process has sent still arrives, and what is answered to it is lost."""

    def __init__(self, loop: SimulatedLoop, chance: Random) -> None:
        self._loop = loop
        self._chance = chance
        self.alive: dict[int, None] = {}
        """The numbers of the processes that run now, or stand still and may run again."""
        self.is_calm = False
        """Whether faults have stopped: delays go on."""

    def check_alive(self) -> None:
        """Raise when the caller is no process that runs."""
        if PROCESS.get() not in self.alive:
            raise DeadProcessCalls(f"process {PROCESS.get()} calls while {[*self.alive]} run")

    def happens(self, in_a_thousand: int) -> bool:
        """Draw."""
        return bool(in_a_thousand) and not self.is_calm and self._chance.random() * 1_000 < in_a_thousand

    def delay_us(self, link: Link) -> int:
        """Draw how long one way takes."""
        if link.slow and self.happens(link.slow):
            return 1 + int(self._chance.random() * link.slow_us_max)
        return 1 + int(self._chance.random() * link.delay_us_max)

    async def call(self, link: Link, act: Callable[[], T]) -> T:
        """Have ``act`` happen at the other end and return its answer or raise its exception; raises ``Lost``."""
        self.check_alive()
        answer: asyncio.Future[T] = self._loop.create_future()

        def arrive() -> None:
            try:
                result = act()
            except Exception as error:  # noqa: BLE001 - whatever the other end says goes back to the caller
                reply(_raise, error)
            else:
                reply(_return, result)

        def reply(how: Callable[[Any, Any], None], what: Any) -> None:
            if not self.happens(link.lost_answer):
                self._loop.after(self.delay_us(link), how, answer, what)

        if not self.happens(link.lost_request):
            self._loop.after(self.delay_us(link), arrive)
        self._loop.after(link.timeout_us, _raise, answer, Lost())
        return await answer


def _return(answer: "asyncio.Future[Any]", result: Any) -> None:
    if not answer.done():
        answer.set_result(result)


def _raise(answer: "asyncio.Future[Any]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
