"""A journal out of a backup: until the venue has been asked, a row that it lacks proves nothing.

Orders may have been sent after the backup was made, and their rows are gone. Whoever takes them for never sent would
say so of an order that works at the venue, or send it again.
"""

from collections.abc import Callable, Iterable

from tollgate_chassis.clock import Clock
from tollgate_chassis.telemetry.logs import logger
from tollgate_execution.core import ExecutionCore
from tollgate_execution.store import Journal

_LOOK_EVERY_S = 0.5


class JournalDoubt:
    """Holds the doubt for as long as it lasts, over restarts too: the mark is in the database."""

    def __init__(
        self, core: ExecutionCore, journal: Journal, agreed_us: Callable[[], int | None], clock: Clock
    ) -> None:
        """``agreed_us`` says when the newest round of reconciliation began that left nothing unexplained."""
        self._core = core
        self._journal = journal
        self._agreed_us = agreed_us
        self._clock = clock
        self._doubted: frozenset[str] | None = None

    def hold(self, client_order_ids: Iterable[str]) -> None:
        """Doubt the journal until each of these orders is known to the venue, or is over."""
        self._doubted = frozenset(client_order_ids)
        logger().warning("journal.restored", orders=len(self._doubted), outcome="the venue is asked")

    async def run(self) -> None:
        """Look for ever whether the journal can be trusted again, and say so in it."""
        while True:
            if self._doubted is not None and self._agreed_us() is not None and not self._is_any_open(self._doubted):
                await self._journal.trust_again()
                self._doubted = None
                logger().info("journal.restored", outcome="trusted again")
            await self._clock.sleep(_LOOK_EVERY_S)

    def _is_any_open(self, doubted: frozenset[str]) -> bool:
        # Also one that is asked for again under the same id: by the tape it stands where it stood.
        active = self._core.orders.active()
        return any(not record.acknowledged and record.placing.venue_id in doubted for record in active)
