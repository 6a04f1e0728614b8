"""Appending for one service: one message in flight, each naming the one before it."""

import asyncio
from collections.abc import Mapping

from tollgate_chassis.tape import Tape
from tollgate_chassis.tape.records import NO_HEADERS, LostRace, Record, TooLarge
from tollgate_contracts.codec import MESSAGE_BYTES_MAX, encode
from tollgate_contracts.envelope import Message, Service
from tollgate_contracts.subjects import tape_subject, writer_prefix


class Writer:
    """The one writer of a service's own subjects.

    An append whose outcome is not known is not tried again here: the process ends, and on starting again the
    tape itself shows whether it landed.
    """

    def __init__(self, tape: Tape, desk: str, service: Service) -> None:
        self._tape = tape
        self._prefix = writer_prefix(desk, service)
        self._last = 0
        self._turn = asyncio.Lock()

    @property
    def last(self) -> int:
        """The last sequence under this service's name, as far as is known here."""
        return self._last

    async def open(self) -> None:
        """Find where this service wrote last."""
        self._last = await self._tape.last_of(self._prefix)

    def note(self, record: Record) -> None:
        """Take note of a record that was read, which may be what another instance of this service has written."""
        if record.sequence > self._last and record.subject.startswith(f"{self._prefix}."):
            self._last = record.sequence

    async def check(self) -> None:
        """Ask the tape whether our last word is the service's last; raises ``LostRace`` when another's is."""
        async with self._turn:
            last = await self._tape.last_of(self._prefix)
            if last != self._last:
                raise LostRace(f"{self._prefix}: the tape's last is {last}, ours is {self._last}: another has written")

    async def append(self, message: Message, headers: Mapping[str, str] = NO_HEADERS) -> int:
        """Append and return the sequence; raises ``LostRace``, ``TapeFull``, ``TooLarge`` or ``TapeUnavailable``."""
        data = encode(message)
        if len(data) > MESSAGE_BYTES_MAX:
            raise TooLarge(
                f"{message.id} is a {message.kind} of {len(data)} bytes, at most {MESSAGE_BYTES_MAX} are read; this "
                "is a defect of this service, and it stays down until it is mended"
            )
        async with self._turn:
            sequence = await self._tape.append(tape_subject(message), data, message.id, self._last, headers)
            self._last = max(self._last, sequence)
            return sequence
