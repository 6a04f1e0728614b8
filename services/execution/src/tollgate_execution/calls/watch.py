"""The breakers' moves go on the tape, into the log and the metrics; and the feed is looked at as if it were a call."""

from collections.abc import Coroutine, Sequence
from typing import Any

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import execution as metrics
from tollgate_contracts.safety import Breaker, BreakerState, EndpointGroup
from tollgate_execution.calls.guarded import GuardedVenue, Move
from tollgate_execution.core import ExecutionCore
from tollgate_execution.reports import Reporter

# The calls for market data are another service's. What came of them is on the tape, and is looked at this often: so
# five seconds without a usable feed open the breaker, and so does a feed that was away for half of the last thirty.
_LOOK_EVERY_S = 1.0
_TEXT_MAX = 2_000


class BreakerWatch:
    """Says each breaker's moves."""

    def __init__(
        self, venue: GuardedVenue, core: ExecutionCore, runner: Runner, reporter: Reporter, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """Made when live, when the breakers have taken up what the tape says of them."""
        self._venue = venue
        self._core = core
        self._runner = runner
        self._reporter = reporter
        self._clock = clock
        self._said = {group: core.circuits.breakers.get(group, BreakerState.CLOSED) for group in EndpointGroup}
        for group in EndpointGroup:
            _measure(group, self._said[group])

    def background(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Return what runs while the service is live."""
        return (self._say_changes(), self._look_at_feed())

    async def _say_changes(self) -> None:
        while True:
            await self._venue.changed.wait()
            self._venue.changed.clear()
            while self._venue.moves:
                move = self._venue.moves.popleft()
                is_longer_ban = (move.banned_until_us or 0) > self._core.circuits.banned_until_us
                if is_longer_ban or move.to_state is not self._said[move.group]:
                    await self._say(move)

    async def _say(self, move: Move) -> None:
        group, before, after, why = move.group, self._said[move.group], move.to_state, move.why[:_TEXT_MAX]
        self._said[group] = after
        logger().warning("venue.breaker", group=group.value, outcome=after.value.lower(), detail=why)
        if after is not before:
            metrics.BREAKER_CHANGES.labels(group.value, before.value, after.value).inc()
        _measure(group, after)
        reporter, ts_us = self._reporter, self._reporter.now_us()
        await self._runner.observe(
            Breaker(
                id=f"execution:{reporter.venue}:breaker-{group.value}-{after.value}-{ts_us}",
                desk=reporter.desk,
                run_id=reporter.run_id,
                ts_us=ts_us,
                cause=None,
                cycle_id=reporter.cycle_id(),
                group=group,
                from_state=before,
                to_state=after,
                detail=why,
                banned_until_us=move.banned_until_us,
            )
        )

    async def _look_at_feed(self) -> None:
        while True:
            lost_us = self._core.market.feed_lost_us
            self._venue.note_feed(is_usable=lost_us is None, why="the feed is not usable")
            await self._clock.sleep(_LOOK_EVERY_S)


def _measure(group: EndpointGroup, state: BreakerState) -> None:
    for each in BreakerState:
        metrics.BREAKER_STATE.labels(group.value, each.value).set(1 if each is state else 0)
