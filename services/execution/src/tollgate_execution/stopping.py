"""The end of a process that is told to stop: nothing new, what is under way comes to its end, and all is written down.

Every wait here is ended from outside when the time for it is over; what is not done by then is done by the process
that comes next, as after a crash.
"""

from collections.abc import Callable

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.runner import Runner
from tollgate_chassis.telemetry.logs import logger
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.safety import is_unprotected
from tollgate_execution.lanes import Lanes
from tollgate_execution.last_look import LastLook
from tollgate_execution.safe_mode import SafeModeWatch
from tollgate_execution.settings import OnStop
from tollgate_execution.write_behind import WriteBehind

_LOOK_EVERY_S = 0.01


class Stopping:
    """What execution does between the signal and its end."""

    def __init__(
        self,
        core: ExecutionCore,
        runner: Runner,
        look: LastLook,
        safe_mode: SafeModeWatch,
        lanes: Lanes,
        write_behind: WriteBehind,
        on_stop: OnStop,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._core = core
        self._runner = runner
        self._look = look
        self._safe_mode = safe_mode
        self._lanes = lanes
        self._write_behind = write_behind
        self._on_stop = on_stop
        self._clock = clock

    async def drain(self) -> None:
        """Act upon no approval any more, cancel entries if so configured, and let every call end and be written."""
        self._look.is_stopping = True
        if self._on_stop is OnStop.CANCEL:
            await self._safe_mode.stop()
            await self._until(lambda: not self._entries_at_venue())
        await self._lanes.idle()
        # What the last calls brought is on the tape now: it is read back, so that its journal rows are settled.
        said = self._runner.tip
        await self._until(lambda: self._runner.position >= said)
        await self._write_behind.flush()
        logger().info("orders.drained", outcome=self._on_stop.value, open=len(self._core.orders.active()))

    def _entries_at_venue(self) -> bool:
        return any(is_unprotected(record) for record in self._core.orders.active())

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await self._clock.sleep(_LOOK_EVERY_S)
