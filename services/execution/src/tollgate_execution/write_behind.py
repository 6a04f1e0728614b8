"""What is written to the journal off the order's path: what became of each send, gathered into few commits."""

import asyncio
from dataclasses import replace

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_contracts.codec import encode
from tollgate_contracts.envelope import Message
from tollgate_execution.store import Journal, Settlement

# A burst of orders is one commit; a crash within this time is read back from the tape.
_GATHER_S = 0.05


class WriteBehind:
    """Settles journal rows in the background; only rows that are open are written."""

    def __init__(self, journal: Journal, clock: Clock = SYSTEM_CLOCK) -> None:
        self._journal = journal
        self._clock = clock
        self._waiting: dict[str, Settlement] = {}
        self._sent_us: dict[str, int] = {}
        self._some = asyncio.Event()
        self._turn = asyncio.Lock()

    def sent(self, client_order_id: str) -> None:
        """Note that an order leaves now; the time is written with what becomes of it."""
        self._sent_us[client_order_id] = self._clock.wall_us()

    def settle(self, client_order_id: str, state: str, evidence: Message, *, is_over: bool) -> None:
        """Have a row settled by the message that says what became of the send, and whether its order is over."""
        self._settle(client_order_id, state, encode(evidence).decode(), is_over)

    def settle_recovered(self, client_order_id: str, state: str, *, is_over: bool) -> None:
        """Have a row settled whose evidence lies further back on the tape."""
        self._settle(client_order_id, state, '{"kind":"recovered_from_the_tape"}', is_over)

    def _settle(self, client_order_id: str, state: str, answer: str, is_over: bool) -> None:
        sent_us, now_us = self._sent_us.pop(client_order_id, None), self._clock.wall_us()
        first = self._waiting.get(client_order_id)
        if first is None:
            ended_us = now_us if is_over else None
            self._waiting[client_order_id] = Settlement(client_order_id, state, sent_us, now_us, answer, ended_us)
        elif is_over and first.ended_us is None:
            # The first answer stays as the evidence of what became of the send.
            self._waiting[client_order_id] = replace(first, state=state, ended_us=now_us)
        self._some.set()

    async def run(self) -> None:
        """Write for ever; raises ``JournalLost`` when the database does not take it."""
        while True:
            await self._some.wait()
            await self._clock.sleep(_GATHER_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits; when it returns, what was being written already is written too."""
        async with self._turn:
            waiting, self._waiting = self._waiting, {}
            self._some.clear()
            if waiting:
                await self._journal.settle(list(waiting.values()))


def wall_us() -> int:
    """Return the wall clock, microseconds since the Unix epoch."""
    return SYSTEM_CLOCK.wall_us()
