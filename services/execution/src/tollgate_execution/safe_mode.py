"""Safe mode, as the process sees it: looks at everything that execution needs, and puts on the tape what it finds.

What the process sees counts for the last checks at once; the core follows when it reads the message.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import execution as metrics
from tollgate_contracts.safety import BreakerState, Dependency, EndpointGroup, SafeMode
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.safety import Sight, Watchman
from tollgate_execution.last_look import LastLook
from tollgate_execution.permits import PermitHolder
from tollgate_execution.reports import Reporter
from tollgate_execution.settings import SafeModeSection

_US_PER_S = 1_000_000


@dataclass(frozen=True)
class Eyes:
    """How the rest of the process is asked; all times are monotonic microseconds."""

    is_listening: Callable[[], bool]
    """Whether the venue's stream of our orders is up."""
    account_us: Callable[[], int | None]
    """When the venue last stated the account; none while it has not."""
    agreed_us: Callable[[], int | None]
    """When the newest round of reconciliation began that found everything in agreement; none while there was none."""


class _Since:
    """For how long something has been so without a break."""

    def __init__(self) -> None:
        self._since_us: int | None = None

    def lasted_us(self, now_us: int, *, is_so: bool) -> int:
        if not is_so:
            self._since_us = None
            return 0
        if self._since_us is None:
            self._since_us = now_us
        return now_us - self._since_us


class Lookout:
    """Says how long each dependency has been bad."""

    def __init__(
        self, core: ExecutionCore, permits: PermitHolder, eyes: Eyes, account_interval_us: int, clock: Clock
    ) -> None:
        self._core = core
        self._permits = permits
        self._eyes = eyes
        self._account_interval_us = account_interval_us
        self._clock = clock
        self._began_us = clock.monotonic_us()
        self._orders, self._account = _Since(), _Since()
        self._deaf, self._unpermitted = _Since(), _Since()

    def sight(self, *, is_stopping: bool) -> Sight:
        """Return what is seen now."""
        now_us, wall_us = self._clock.monotonic_us(), self._clock.wall_us()
        agreed_us = self._eyes.agreed_us()
        bad_for_us = {
            Dependency.VENUE_ORDERS: self._orders.lasted_us(now_us, is_so=self._is_cut(EndpointGroup.ORDERS)),
            Dependency.VENUE_ACCOUNT: self._account_for_us(now_us),
            Dependency.USER_STREAM: self._deaf.lasted_us(now_us, is_so=not self._eyes.is_listening()),
            Dependency.MARKET_DATA: self._market_for_us(now_us, wall_us),
            Dependency.PERMIT: self._unpermitted.lasted_us(now_us, is_so=self._lacks_permit(now_us, wall_us)),
            Dependency.RECONCILIATION: now_us - (self._began_us if agreed_us is None else agreed_us),
            Dependency.STOPPING: int(is_stopping),
        }
        return Sight(now_us, bad_for_us, agreed_us)

    def _is_cut(self, group: EndpointGroup) -> bool:
        return self._core.circuits.breakers.get(group, BreakerState.CLOSED) is not BreakerState.CLOSED

    def _account_for_us(self, now_us: int) -> int:
        stated_us = self._eyes.account_us()
        age_us = now_us - (self._began_us if stated_us is None else stated_us)
        cut_us = self._account.lasted_us(now_us, is_so=self._is_cut(EndpointGroup.ACCOUNT))
        return max(age_us - self._account_interval_us, cut_us, 0)

    def _market_for_us(self, now_us: int, wall_us: int) -> int:
        market = self._core.market
        silent_us = wall_us - market.newest_us if market.newest_us else now_us - self._began_us
        lost_us = 0 if market.feed_lost_us is None else wall_us - market.feed_lost_us
        # Right after a start the tape may end where the last run did: the feed has its time to come up.
        return min(max(silent_us, lost_us, 0), now_us - self._began_us)

    def _lacks_permit(self, now_us: int, wall_us: int) -> bool:
        # Under the kill switch there are none on purpose, and what becomes of working orders is its level's to say.
        return not self._core.kill.engaged and self._permits.fresh(wall_us, now_us) is None


class SafeModeWatch:
    """Looks again and again, and says on the tape when what is degraded has changed."""

    def __init__(
        self,
        core: ExecutionCore,
        runner: Runner,
        reporter: Reporter,
        look: LastLook,
        lookout: Lookout,
        section: SafeModeSection,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        """Made when live: what the tape says then holds until this process has seen that it is over."""
        self._runner = runner
        self._reporter = reporter
        self._look = look
        self._lookout = lookout
        self._check_s = section.check_ms / 1_000
        self._clock = clock
        self._watchman = Watchman(section.to_limits(), core.safety.degraded)
        self._said = (core.safety.engaged, core.safety.degraded)
        self._turn = asyncio.Lock()
        self._is_stopping = False

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await self.check()
            await self._clock.sleep(self._check_s)

    async def stop(self) -> None:
        """Go into safe mode because the process stops; it is on the tape when this returns."""
        self._is_stopping = True
        await self.check()

    async def check(self) -> None:
        """Look once, and say what has changed."""
        async with self._turn:
            sight = self._lookout.sight(is_stopping=self._is_stopping)
            degraded = self._watchman.judge(sight)
            if self._is_stopping:
                degraded = (*degraded, Dependency.STOPPING)
            self._look.is_safe_mode = bool(degraded)
            _measure(degraded)
            if (bool(degraded), degraded) != self._said:
                await self._say(degraded, sight.bad_for_us)

    async def _say(self, degraded: tuple[Dependency, ...], bad_for_us: Mapping[Dependency, int]) -> None:
        words = "; ".join(f"{each.value} for {bad_for_us.get(each, 0) / _US_PER_S:.1f} s" for each in degraded)
        event = "safe_mode.engaged" if degraded else "safe_mode.released"
        logger().warning(event, outcome=", ".join(each.value.lower() for each in degraded) or "well", detail=words)
        await self._runner.observe(self._message(degraded, words))
        self._said = (bool(degraded), degraded)

    def _message(self, degraded: tuple[Dependency, ...], words: str) -> SafeMode:
        reporter, ts_us = self._reporter, self._reporter.now_us()
        return SafeMode(
            id=f"execution:{reporter.venue}:safe-mode-{ts_us}",
            desk=reporter.desk,
            run_id=reporter.run_id,
            ts_us=ts_us,
            cause=None,
            cycle_id=reporter.cycle_id(),
            engaged=bool(degraded),
            degraded=degraded,
            detail=words,
        )


def _measure(degraded: tuple[Dependency, ...]) -> None:
    metrics.SAFE_MODE.set(1 if degraded else 0)
    for dependency in Dependency:
        metrics.SAFE_MODE_DEGRADED.labels(dependency.value).set(1 if dependency in degraded else 0)
