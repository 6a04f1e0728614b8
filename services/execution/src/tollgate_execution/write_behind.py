"""What is written to the journal off the order's path: what became of each send, gathered into few commits."""

import asyncio
import time

from tollgate_contracts.codec import encode
from tollgate_contracts.envelope import Message
from tollgate_execution.store import Journal, Settlement

# A burst of orders is one commit; a crash within this time is read back from the tape.
_GATHER_S = 0.05


class WriteBehind:
    """Settles journal rows in the background; only rows that are open are written."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._waiting: dict[str, Settlement] = {}
        self._sent_us: dict[str, int] = {}
        self._some = asyncio.Event()

    def sent(self, client_order_id: str) -> None:
        """Note that an order leaves now; the time is written with what becomes of it."""
        self._sent_us[client_order_id] = wall_us()

    def settle(self, client_order_id: str, state: str, evidence: Message) -> None:
        """Have a row settled by the message that says what became of the send."""
        self._settle(client_order_id, state, encode(evidence).decode())

    def settle_recovered(self, client_order_id: str, state: str) -> None:
        """Have a row settled whose evidence lies further back on the tape."""
        self._settle(client_order_id, state, '{"kind":"recovered_from_the_tape"}')

    def _settle(self, client_order_id: str, state: str, answer: str) -> None:
        settlement = Settlement(client_order_id, state, self._sent_us.pop(client_order_id, None), wall_us(), answer)
        self._waiting.setdefault(client_order_id, settlement)
        self._some.set()

    async def run(self) -> None:
        """Write for ever; raises ``JournalLost`` when the database does not take it."""
        while True:
            await self._some.wait()
            await asyncio.sleep(_GATHER_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what waits."""
        waiting, self._waiting = self._waiting, {}
        self._some.clear()
        if waiting:
            await self._journal.settle(list(waiting.values()))


def wall_us() -> int:
    """Return the wall clock, microseconds since the Unix epoch."""
    return time.time_ns() // 1_000
