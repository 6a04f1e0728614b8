"""The tape in memory, with the broker's rules: order, derived ids, and the writer's race."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import suppress

from tollgate_chassis.tape.records import NO_HEADERS, Bounds, LostRace, Record

_BATCH = 256
_IDLE_S = 0.05


class MemoryTape:
    """An append-only list of records; what ``NatsTape`` promises, without a broker."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._sequence_of: dict[str, int] = {}
        self._last_of: dict[str, int] = {}
        self._grown = asyncio.Event()
        self.dead_letters: list[tuple[str, str, bytes]] = []
        """Subject, message id and bytes of each."""

    @property
    def tip(self) -> int:
        """The last sequence known to be on the tape."""
        return len(self._records)

    async def append(
        self, subject: str, data: bytes, message_id: str, expected_last: int, headers: Mapping[str, str] = NO_HEADERS
    ) -> int:
        """Append under the writer's prefix and return the sequence; a known id returns where it lies already.

        Raises ``LostRace`` when the writer's last message is not the one at ``expected_last``; the broker, too,
        looks at the race before it looks at the id.
        """
        writer = _writer_of(subject)
        last = self._last_of.get(writer, 0)
        if last != expected_last:
            raise LostRace(f"{writer}: wrong last sequence: {last}, expected {expected_last}")
        if message_id in self._sequence_of:
            taken = self._records[self._sequence_of[message_id] - 1]
            taken.check_is(subject, data)
            return taken.sequence
        self.insert(subject, data, message_id, headers)
        return len(self._records)

    def insert(
        self, subject: str, data: bytes, message_id: str, headers: Mapping[str, str] = NO_HEADERS, stored_us: int = 0
    ) -> None:
        """Put a record at the end without any check, as a recording is loaded."""
        sequence = len(self._records) + 1
        self._records.append(Record(sequence, subject, message_id, data, headers, stored_us))
        self._sequence_of[message_id] = sequence
        self._last_of[_writer_of(subject)] = sequence
        self._grown.set()
        self._grown = asyncio.Event()

    async def append_dead_letter(self, subject: str, data: bytes, message_id: str) -> None:
        """Keep a dead letter; the same id is kept once."""
        if all(kept != message_id for _, kept, _ in self.dead_letters):
            self.dead_letters.append((subject, message_id, data))

    async def follow(
        self,
        start: int,
        wakes: Collection[str] | None = None,  # noqa: ARG002 - in memory all come at once
    ) -> AsyncGenerator[list[Record], None]:
        """Yield batches of records from ``start`` on, gap-free, for ever; an empty one says that there is no more."""
        position = start
        while True:
            grown = self._grown
            batch = await self.read(position, _BATCH)
            position += len(batch)
            yield batch
            if not batch:
                with suppress(TimeoutError):
                    await asyncio.wait_for(grown.wait(), _IDLE_S)

    async def read(self, start: int, limit: int) -> list[Record]:
        """Return at most ``limit`` records from ``start`` on."""
        return self._records[start - 1 : start - 1 + limit]

    async def bounds(self) -> Bounds:
        """Return the first and last sequence."""
        return Bounds(1, len(self._records))

    async def last_of(self, prefix: str) -> int:
        """Return the last sequence under a writer's prefix, 0 when there is none."""
        return self._last_of.get(prefix, 0)


def _writer_of(subject: str) -> str:
    return ".".join(subject.split(".", 3)[:3])
