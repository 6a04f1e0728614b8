"""Reconciliation without end: when a round is made, that it is made again when it failed, and whether it converges.

The law of this module: there are never two rounds at once, none is skipped for another, and until the first one is
complete no approval of an entry is acted upon. An exit waits for the orders' part of it, and no longer than
``EXITS_WAIT_S``: a venue whose lists fail must not keep us in a position. What a round reads and reports is in
``rounds``; what follows from it is the core's to decide.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import execution as metrics
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Order, OrderState
from tollgate_contracts.reconciliation import Difference, Reconcile, SyncCause
from tollgate_execution.reports import RoundRead
from tollgate_execution.rounds import NotReadBack, Rounds
from tollgate_execution.sender import Sender
from tollgate_execution.settings import SyncSection
from tollgate_execution.statements import Statements
from tollgate_venues.adapter import UserStreamLost, VenueAdapter, VenueUnavailable

_US_PER_S = 1_000_000
# The first round waits so long for the user stream: begun after it, a round has missed nothing in between.
_LISTEN_S = 1.0
# A round that was asked for in doubt, or that follows one with differences, comes no sooner after the last one.
_SPACING_S = 0.25
_RETRY_S_MIN, _RETRY_S_MAX = 0.1, 5.0
# A venue may ask for a longer wait than we would take; after this it is asked all the same.
_WAIT_S_MAX = 600.0
_JITTER = 0.1
# After this long an exit is sent by our own count alone. It can take off no more than we hold by it, and the orders
# that a process before us left open are each asked about by then.
EXITS_WAIT_S = 10.0
_WEIGHT = {SyncCause.SCHEDULE: 0, SyncCause.DOUBT: 1, SyncCause.STREAM: 2, SyncCause.START: 3}


class Convergence:
    """How long it takes from the first difference to the first clean round after it; monotonic microseconds."""

    def __init__(self) -> None:
        self.since_us: int | None = None
        """When the first difference was seen that no clean round has followed yet."""
        self.agreed_us: int | None = None
        """When the newest round began at whose end nothing was left unexplained; none while there was none."""
        self.took_us: int | None = None
        """How long the last difference lasted."""

    def differed(self, now_us: int) -> None:
        """Note a difference."""
        if self.since_us is None:
            self.since_us = now_us

    def read(self, read: RoundRead, began_us: int, now_us: int) -> int | None:
        """Note a round; returns how long there were differences if it is the first clean one after them."""
        if not read.open_differences:
            self.agreed_us = began_us
        if read.open_differences or read.differences:
            self.differed(began_us)
            return None
        if self.since_us is None or self.since_us > began_us:
            return None
        self.took_us, self.since_us = now_us - self.since_us, None
        return self.took_us


class Reconciliation:
    """Keeps what we hold and what the venue holds the same."""

    def __init__(
        self,
        section: SyncSection,
        venue: VenueAdapter,
        sender: Sender,
        rounds: Rounds,
        statements: Statements,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._section = section
        self._venue = venue
        self._sender = sender
        self._rounds = rounds
        self._statements = statements
        self._clock = clock
        self._convergence = Convergence()
        for difference in Difference:
            # A series that begins at one shows no increase: the first of its kind would call nobody.
            metrics.RECONCILE_DIFFERENCES.labels(difference.value)
        self._listening = asyncio.Event()
        self._wanted: SyncCause | None = None
        self._some = asyncio.Event()
        self._round_began_us = 0
        self._last: RoundRead | None = None
        self._classes: dict[str, int] = {}
        self._failed = ""
        self._exits_from_us: int | None = None
        """From when exits wait for no round, monotonic; none before the first one was begun, and once they do not."""

    @property
    def is_listening(self) -> bool:
        """Say whether the venue's user stream is up."""
        return self._listening.is_set()

    @property
    def is_complete(self) -> bool:
        """Say whether a round was completed since this process is live."""
        return self._last is not None

    def account_us(self) -> int | None:
        """Return when the venue last stated the account, monotonic; none while it has not."""
        return self._statements.answered_us

    def agreed_us(self) -> int | None:
        """Return when the newest round began that left nothing unexplained, monotonic; none while there was none."""
        return self._convergence.agreed_us

    def read_us(self) -> int:
        """Return when the newest complete round began, on the wall clock; 0 while there was none."""
        return 0 if self._last is None else self._last.began_us

    def want(self, cause: SyncCause) -> None:
        """Have a round made soon; of several wishes the weightiest names the cause."""
        if self._wanted is None or _WEIGHT[cause] > _WEIGHT[self._wanted]:
            self._wanted = cause
        self._some.set()

    def know_orphans(self, client_order_ids: Iterable[str]) -> None:
        """Take note of orders that the journal holds as not over and the tape does not hold at all."""
        self._rounds.know_orphans(client_order_ids)

    def want_account(self) -> None:
        """Have the account stated at once."""
        self._statements.want()

    def applied(self) -> None:
        """Note that the reader has applied a record."""
        self._rounds.applied()

    def told(self, output: Message) -> None:
        """Take note of what the core says, live: a difference or a doubt asks for a round."""
        if isinstance(output, Reconcile):
            self._rounds.found += 1
            self._classes[output.difference.value] = self._classes.get(output.difference.value, 0) + 1
            metrics.RECONCILE_DIFFERENCES.labels(output.difference.value).inc()
        elif not (isinstance(output, Order) and output.to_state is OrderState.UNKNOWN):
            return
        self._convergence.differed(self._clock.monotonic_us())
        self.want(SyncCause.DOUBT)

    async def follow_account(self) -> None:
        """State the account for ever."""
        await self._statements.run()

    async def listen(self) -> None:
        """Follow the user stream; each time it is up, what was said while it was not is read in a round."""
        delay_s = _RETRY_S_MIN
        while True:
            accepted = asyncio.Event()
            awaiting = asyncio.create_task(self._note_listening(accepted))
            try:
                async for evidence in self._venue.user_stream(accepted):
                    delay_s = _RETRY_S_MIN
                    await self._sender.observe(evidence)
            except UserStreamLost as lost:
                logger().warning("venue.user_stream.lost", outcome=str(lost))
            finally:
                self._listening.clear()
                awaiting.cancel()
                await asyncio.gather(awaiting, return_exceptions=True)
            # Jitter, so that many desks do not come back to a venue in one beat.
            await self._clock.sleep(delay_s * (1 + self._clock.random()))
            delay_s = min(delay_s * 2, _RETRY_S_MAX)

    async def _note_listening(self, accepted: asyncio.Event) -> None:
        await accepted.wait()
        self._listening.set()
        if self._round_began_us:
            # A round that began before has not seen what happened until now.
            self.want(SyncCause.STREAM)

    async def run(self) -> None:
        """Make rounds for ever: at once, at the interval, and when one is wanted."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._listening.wait(), _LISTEN_S)
        cause, retry_s = SyncCause.START, _RETRY_S_MIN
        self._exits_from_us = self._clock.monotonic_us() + int(EXITS_WAIT_S * _US_PER_S)
        while True:
            asked_us = await self._make(cause)
            if asked_us is None:
                retry_s = _RETRY_S_MIN
                cause = await self._next_cause()
                continue
            self._sender.drop_expired()
            await self._wait(max(retry_s * (1 + self._clock.random()), min(asked_us / _US_PER_S, _WAIT_S_MAX)))
            retry_s = min(retry_s * 2, _RETRY_S_MAX)
            cause = self._taken(cause if self._last is None else SyncCause.DOUBT)

    async def _wait(self, wait_s: float) -> None:
        """Wait after a round that failed, and let exits go when their time to wait for one is over."""
        if self._exits_from_us is not None:
            left_s = max(self._exits_from_us - self._clock.monotonic_us(), 0) / _US_PER_S
            if left_s <= wait_s:
                await self._clock.sleep(left_s)
                wait_s -= left_s
                self._sender.release_exits()
                self._exits_from_us = None
        await self._clock.sleep(wait_s)

    async def _make(self, cause: SyncCause) -> int | None:
        """Make one round; returns none, or where it failed, for how long the venue asks us to wait, microseconds."""
        self._round_began_us = began_us = self._clock.monotonic_us()
        try:
            read = await self._rounds.make(cause)
        except (VenueUnavailable, NotReadBack) as error:
            return self._fail(cause, error)
        if read.unread is not None:
            self._convergence.read(read, began_us, self._clock.monotonic_us())
            return self._fail(cause, read.unread)
        self._failed = ""
        self._note(read, began_us)
        return None

    def _fail(self, cause: SyncCause, error: VenueUnavailable | NotReadBack) -> int:
        metrics.RECONCILE_ROUNDS.labels("failed").inc()
        if str(error) != self._failed:
            logger().warning("reconciliation.round.failed", cause=cause.value.lower(), outcome=str(error))
        self._failed = str(error)
        return (error.retry_after_us or 0) if isinstance(error, VenueUnavailable) else 0

    def _note(self, read: RoundRead, began_us: int) -> None:
        now_us = self._clock.monotonic_us()
        outcome = "differs" if read.differences or read.open_differences else "agrees"
        metrics.RECONCILE_ROUNDS.labels(outcome).inc()
        metrics.RECONCILE_SECONDS.observe(read.took_us / _US_PER_S)
        metrics.RECONCILE_LAST.set(self._clock.wall_us() / _US_PER_S)
        metrics.RECONCILE_OPEN.set(read.open_differences)
        took_us = self._convergence.read(read, began_us, now_us)
        words = {"orders": read.orders_read, "fills": read.fills_read, "differences": read.differences}
        if took_us is not None:
            metrics.RECONCILE_CONVERGENCE_SECONDS.observe(took_us / _US_PER_S)
            logger().info("reconciliation.converged", latency_ms=took_us // 1_000, **words)
        if self._last is None:
            logger().info("reconciliation.first_round", latency_ms=read.took_us // 1_000, outcome=outcome, **words)
            self._sender.release()
        self._last = read
        if read.differences:
            # Repaired or not, the next one has to show it.
            self.want(SyncCause.DOUBT)

    async def _next_cause(self) -> SyncCause:
        """Wait for the interval, or until a round is wanted."""
        await self._clock.sleep(_SPACING_S)
        interval_s = self._section.interval_ms / 1_000 * (1 + _JITTER * (2 * self._clock.random() - 1))
        with suppress(TimeoutError):
            await asyncio.wait_for(self._some.wait(), max(interval_s - _SPACING_S, 0.0))
        return self._taken(SyncCause.SCHEDULE)

    def _taken(self, otherwise: SyncCause) -> SyncCause:
        wanted, self._wanted = self._wanted, None
        self._some.clear()
        return otherwise if wanted is None or _WEIGHT[wanted] < _WEIGHT[otherwise] else wanted

    def status(self) -> dict[str, Any]:
        """Return the last round, what was found so far by class, and since when there are differences."""
        last, now_us = self._last, self._clock.monotonic_us()
        since_us, took_us = self._convergence.since_us, self._convergence.took_us
        return {
            "cause": last and last.cause.value,
            "began_us": last and last.began_us,
            "took_ms": last and last.took_us // 1_000,
            "orders": last and last.orders_read,
            "fills": last and last.fills_read,
            "open_differences": last and last.open_differences,
            "differences": dict(sorted(self._classes.items())),
            "differs_for_ms": None if since_us is None else (now_us - since_us) // 1_000,
            "converged_in_ms": None if took_us is None else took_us // 1_000,
            "failed": self._failed,
        }

    def not_ready(self) -> list[str]:
        """Return what keeps execution from working."""
        reasons = []
        if self._statements.answered_us is None:
            reasons.append("the venue has not stated the account yet")
        if not self.is_listening:
            reasons.append("not listening to the venue's user stream")
        if self._last is None:
            reasons.append(f"the first round of reconciliation is not complete: {self._failed or 'under way'}")
        return reasons
