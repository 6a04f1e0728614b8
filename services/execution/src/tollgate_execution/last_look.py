"""What this process sees when an order is about to leave, for the last checks; and what it notes when one does.

Between the look and the note nothing is awaited, so that two orders never take the same room.
"""

from collections.abc import Callable

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.runner import Runner
from tollgate_contracts.approval import Approval
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.money import ZERO
from tollgate_contracts.reasons import Reason
from tollgate_execution.calls import Purpose
from tollgate_execution.core import ExecutionCore
from tollgate_execution.kill_door import KillDoor
from tollgate_execution.last_checks import (
    Caps,
    Moment,
    Pace,
    Place,
    Turnover,
    is_reducing,
    reasons_not_to_send,
    takes_cancel,
    worth,
)
from tollgate_execution.permits import PermitHolder
from tollgate_venues.adapter import VenueOrder

# As after a start: an exit waits so long for the venue's orders to be read, and then goes by our own count.
_EXITS_WAIT_US = 10_000_000


class LastLook:
    """Looks once more; holds what execution itself has sent lately."""

    def __init__(
        self,
        core: ExecutionCore,
        runner: Runner,
        permits: PermitHolder,
        door: KillDoor,
        caps: Caps,
        orders_per_s_max: int,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.is_stopping = False
        """Set when the process is told to stop: no approval is acted upon any more."""
        self.is_safe_mode = False
        """What the process sees itself; the tape says the same a moment later."""
        self.read_us: Callable[[], int] = lambda: 0
        """When the newest round of reconciliation began, on the wall clock; 0 before the first."""
        self._core = core
        self._runner = runner
        self._permits = permits
        self._door = door
        self._caps = caps
        self._pace = Pace(orders_per_s_max)
        self._turnover = Turnover()
        self._clock = clock

    def reasons(self, approval: Approval, order: VenueOrder) -> tuple[Reason, ...]:
        """Return every reason against sending ``order`` now; none means send."""
        return reasons_not_to_send(approval, order, self._moment(approval, order))

    def purpose(self, approval: Approval, order: VenueOrder) -> Purpose:
        """Return what sending ``order`` is for: a protective stop makes a position smaller, too."""
        return Purpose.REDUCE if self._makes_smaller(approval, order) else Purpose.ENTRY

    def count(self, approval: Approval, order: VenueOrder) -> None:
        """Note that ``order`` leaves now."""
        monotonic_us = self._clock.monotonic_us()
        is_exit = self._makes_smaller(approval, order)
        self._pace.count(monotonic_us, is_exit=is_exit)
        # What can only make a position smaller is bounded by the position.
        if not is_exit:
            self._turnover.count(monotonic_us, worth(order) or ZERO)

    def may_cancel(self, symbol: str) -> bool:
        """Say whether the venue takes cancels in ``symbol``, as the tape has it."""
        return takes_cancel(self._status(symbol))

    def _makes_smaller(self, approval: Approval, order: VenueOrder) -> bool:
        return order.trigger_price is not None or is_reducing(approval, order, self._core.reducible(approval))

    def _moment(self, approval: Approval, order: VenueOrder) -> Moment:
        monotonic_us = self._clock.monotonic_us()
        wall_us = self._clock.wall_us()
        before, in_symbol = self._core.open_before(approval.client_order_id, approval.symbol)
        return Moment(
            wall_us=wall_us,
            door_is_shut=self._door.is_shut,
            kill=self._core.kill,
            permit=self._permits.fresh(wall_us, monotonic_us) if self._runner.vouches(monotonic_us) else None,
            reducible=self._core.reducible(approval),
            pace_is_used_up=self._pace.is_used_up(monotonic_us, is_exit=self._makes_smaller(approval, order)),
            caps=self._caps,
            is_stopping=self.is_stopping,
            is_safe_mode=self.is_safe_mode or self._core.safety.engaged,
            open_before=before,
            open_in_symbol=in_symbol,
            minute_notional=self._turnover.of_last_minute(monotonic_us),
            place=self._place(approval.symbol),
        )

    def _place(self, symbol: str) -> Place:
        market = self._core.market
        # What became of our orders while the venue was shut is read before any new one is sent.
        opened_us = market.opened_us(symbol)
        is_reconciled = max(self.read_us(), self._core.agreement.began_us) >= opened_us
        waits_in_vain = self._clock.wall_us() - opened_us >= _EXITS_WAIT_US
        return Place(self._status(symbol), is_reconciled, market.quoted(symbol), waits_in_vain)

    def _status(self, symbol: str) -> InstrumentStatus | None:
        instrument = self._core.market.instrument(symbol)
        return None if instrument is None else instrument.status
