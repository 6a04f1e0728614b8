"""The tape as the broker keeps it, and one process's connection to it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping

from tests.simulation.loop import SimulatedLoop
from tests.simulation.network import Link, Lost, Network
from tollgate_chassis.tape import Bounds, MemoryTape, Record, TapeUnavailable
from tollgate_chassis.tape.records import NO_HEADERS

_BATCH = 256
# As the real reader does, it asks now and then even if nobody told it of anything new.
_IDLE_US = 1_000_000


class BrokersTape(MemoryTape):
    """What the broker holds: the rules are those of the chassis's tape in memory, and every record has its time."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        super().__init__()
        self._now_us = now_us
        self.followers: dict[int, Callable[[], None]] = {}
        """By the number of its process, who is told of new records."""

    @property
    def records(self) -> list[Record]:
        """Everything on the tape, in order."""
        return self._records

    def insert(
        self, subject: str, data: bytes, message_id: str, headers: Mapping[str, str] = NO_HEADERS, stored_us: int = 0
    ) -> None:
        """Put a record at the end and tell who follows."""
        super().insert(subject, data, message_id, headers, self._now_us())
        for tell in self.followers.values():
            tell()

    def put(self, subject: str, data: bytes, message_id: str, expected_last: int) -> int:
        """Append by the broker's rules."""
        appended = super().append(subject, data, message_id, expected_last)
        try:
            appended.send(None)
        except StopIteration as done:
            return int(done.value)
        raise AssertionError("the tape in memory does not wait")


class Tape:
    """One process's connection to the broker: what ``NatsTape`` promises, and fails as it fails."""

    def __init__(self, loop: SimulatedLoop, network: Network, broker: BrokersTape, link: Link, number: int) -> None:
        self._loop = loop
        self._network = network
        self._broker = broker
        self._link = link
        self._grown: asyncio.Event = asyncio.Event()
        self.appends_under_way = 0
        broker.followers[number] = lambda: loop.after(network.delay_us(link), self._grown.set)

    @property
    def tip(self) -> int:
        """The last sequence known to be on the tape."""
        return self._broker.tip

    async def append(
        self, subject: str, data: bytes, message_id: str, expected_last: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        """Append; raises what the broker says, or ``TapeUnavailable`` when it says nothing."""
        self.appends_under_way += 1
        try:
            return await self._network.call(
                self._link, lambda: self._broker.put(subject, data, message_id, expected_last)
            )
        except Lost as error:
            raise TapeUnavailable(f"append to {subject}: no answer") from error
        finally:
            self.appends_under_way -= 1

    async def append_dead_letter(self, subject: str, data: bytes, message_id: str) -> None:
        """Keep a dead letter."""
        await self._broker.append_dead_letter(subject, data, message_id)

    async def follow(
        self,
        start: int,
        wakes: Collection[str] | None = None,
    ) -> AsyncGenerator[list[Record], None]:
        """Yield batches of records from ``start`` on, for ever; an empty one says that there is no more."""
        position = start
        while True:
            self._grown.clear()
            batch = await self.read(position, _BATCH)
            if not batch and not self._grown.is_set():
                self._loop.after(_IDLE_US, self._grown.set)
                await self._grown.wait()
                batch = await self.read(position, _BATCH)
            position += len(batch)
            yield batch

    async def read(self, start: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records from ``start`` on."""
        self._network.check_alive()
        return await self._broker.read(start, limit)

    async def bounds(self) -> Bounds:
        """Return the first and last sequence."""
        return Bounds(1, self._broker.tip)

    async def last_of(self, prefix: str) -> int:
        """Return the last sequence under a writer's prefix, 0 when there is none."""
        return await self._broker.last_of(prefix)
