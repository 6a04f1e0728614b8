"""The broker's line on which instances ask who is active, and one process's client of it, as far as that needs one."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import nats.errors
from nats.aio.msg import Msg

from tests.simulation.network import Link

if TYPE_CHECKING:
    from tests.simulation.world import World

_LINK = Link(delay_us_max=1_000)
Handler = Callable[[Msg], Awaitable[None]]


class Subscription:
    """One process's ear on one subject."""

    def __init__(self, line: "Line", number: int, subject: str, handler: Handler) -> None:
        self.number = number
        self.subject = subject
        self._line = line
        self._handler = handler
        self._context = contextvars.copy_context()

    async def unsubscribe(self) -> None:
        """Hear no more."""
        self._line.ears = [ear for ear in self._line.ears if ear is not self]

    def hear(self, data: bytes) -> None:
        """Hand a message over, as its process."""
        loop = self._line.world.loop
        message: Any = Msg(None, self.subject, data=data)  # type: ignore[arg-type]
        loop.call_soon(lambda: loop.create_task(self._handler(message)), context=self._context)


class Line:
    """Who listens to what; a process that stands still is connected all the same."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.ears: list[Subscription] = []

    def drop(self, number: int) -> None:
        """Forget a process that is gone."""
        self.ears = [ear for ear in self.ears if ear.number != number]

    def send(self, subject: str, data: bytes) -> bool:
        """Deliver a message; says whether anybody listens."""
        heard = [ear for ear in self.ears if ear.subject == subject]
        for ear in heard:
            self.world.loop.after(self.world.network.delay_us(_LINK), ear.hear, data)
        return bool(heard)


class Client:
    """What an instance needs of its connection; raises what the real one does."""

    def __init__(self, line: Line, number: int) -> None:
        self._line = line
        self._number = number

    async def subscribe(self, subject: str, cb: Handler) -> Subscription:
        """Listen."""
        ear = Subscription(self._line, self._number, subject, cb)
        self._line.ears.append(ear)
        return ear

    async def publish(self, subject: str, data: bytes) -> None:
        """Say something."""
        self._line.send(subject, data)

    async def request(self, subject: str, timeout: float) -> None:  # noqa: ASYNC109 - as the real one has it
        """Ask, where nobody answers into an inbox: raises ``NoRespondersError`` or ``TimeoutError``."""
        network = self._line.world.network
        if not await network.call(_LINK, lambda: self._line.send(subject, b"")):
            raise nats.errors.NoRespondersError
        await asyncio.sleep(timeout)
        raise TimeoutError

    async def flush(self, timeout: float) -> None:  # noqa: ASYNC109 - as the real one has it
        """Wait until everything that was said before has arrived."""
        await self._line.world.network.call(_LINK, lambda: None)
