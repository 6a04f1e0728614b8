"""The venue's own statement of the account: on the tape at its interval, when it has changed, and when it is wanted."""

import asyncio
from contextlib import suppress

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_execution.core import ExecutionCore
from tollgate_execution.reports import Reporter
from tollgate_venues.adapter import VenueAdapter, VenueUnavailable
from tollgate_venues.evidence import AccountEvidence

# Under the kill switch the account is asked for as each order ends, and no more often than this: the venue's limits
# hold then too.
_SPACING_S = 0.1
_RETRY_S_MIN, _RETRY_S_MAX = 0.1, 5.0
_US_PER_S = 1_000_000


class Statements:
    """States the account; what follows from it is the core's, risk's and the ledger's to say."""

    def __init__(
        self,
        core: ExecutionCore,
        runner: Runner,
        venue: VenueAdapter,
        reporter: Reporter,
        interval_ms: int,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._core = core
        self._runner = runner
        self._venue = venue
        self._reporter = reporter
        self._interval_us = interval_ms * 1_000
        self._clock = clock
        self._wanted = asyncio.Event()
        self._turn = asyncio.Lock()
        self._said: tuple[object, ...] = ()
        self._said_us = 0
        self.answered_us: int | None = None
        """When the venue last stated the account, monotonic microseconds; none while it has not."""

    def want(self) -> None:
        """Have the account stated now, and not at its time."""
        self._wanted.set()

    async def run(self) -> None:
        """State the account at once, and then at the interval or when wanted, for ever."""
        while True:
            try:
                await self.state(only_news=False)
            except VenueUnavailable as error:
                logger().warning("venue.account.failed", outcome=str(error))
                await self._clock.sleep(_RETRY_S_MIN if self.answered_us is None else _RETRY_S_MAX)
                continue
            await self._clock.sleep(_SPACING_S)
            await self._until_due()

    async def state(self, *, only_news: bool) -> None:
        """Ask, and put the answer on the tape; only where it is news or due, if so wanted. Raises as the venue does."""
        async with self._turn:
            account = await self._venue.account()
            self.answered_us = self._clock.monotonic_us()
            if only_news and not self._is_news(account):
                return
            await self._runner.observe(self._reporter.account_message(account))
            self._said, self._said_us = _content(account), self._clock.monotonic_us()

    def _is_news(self, account: AccountEvidence) -> bool:
        # Every round asks: where it comes anywhere near the time, the statement of that time is this one.
        is_due = self._clock.monotonic_us() - self._said_us >= self._interval_us // 2
        return is_due or self._core.agreement.suspects or _content(account) != self._said

    async def _until_due(self) -> None:
        """Wait until a statement is wanted, or none was made for an interval."""
        while not self._wanted.is_set():
            left_us = self._said_us + self._interval_us - self._clock.monotonic_us()
            if left_us <= 0:
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), left_us / _US_PER_S)
        self._wanted.clear()


def _content(account: AccountEvidence) -> tuple[object, ...]:
    return account.balances, account.positions, account.maker_fee_bps, account.taker_fee_bps
