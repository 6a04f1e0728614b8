"""An operator's word on an order that the venue owes us word of: taken only when it has nothing more to say.

The venue is asked once more first. What it says goes on the tape as always, and if it shows the order its word counts
and no other. The operator's word is a report like any other: the core ends the order when it reads it back, and a
trade that the venue lists afterwards is booked as a late one.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, unique

from tollgate_chassis.clock import SYSTEM_CLOCK, Clock
from tollgate_chassis.telemetry.logs import logger
from tollgate_contracts.execution import ReportSource, ReportStatus
from tollgate_contracts.reasons import Reason
from tollgate_execution.core import ExecutionCore
from tollgate_execution.core.record import OrderRecord
from tollgate_execution.core.safety import is_escalated
from tollgate_execution.sender import Sender
from tollgate_venues.evidence import Evidence

_SHOWS_NOTHING = frozenset({ReportStatus.ABSENT, ReportStatus.NO_ANSWER})
_ENDS = frozenset({ReportStatus.FILLED, ReportStatus.CANCELLED, ReportStatus.EXPIRED, ReportStatus.REJECTED})
# An append and its way back take milliseconds.
_READ_BACK_S, _LOOK_EVERY_S = 2.0, 0.01


@unique
class Verdict(Enum):
    """What became of an operator's word."""

    ENDED = "ended"
    """The order has ended by it."""
    SAID = "said"
    """It is on the tape, and was not read back yet."""
    NOT_ACTIVE = "not_active"
    """This instance is not the active one."""
    NO_ORDER = "no_order"
    """No such order is held."""
    NOT_UNKNOWN = "not_unknown"
    """The order's outcome is known, and the venue owes no word of it."""
    NOT_ESCALATED = "not_escalated"
    """The venue is still being asked."""
    SHOWN = "shown"
    """The venue shows the order now: its word counts."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The verdict, and why in words."""

    verdict: Verdict
    words: str


class Resolver:
    """Takes operators' words, while the process runs."""

    def __init__(
        self, core: ExecutionCore, find_active: Callable[[], Sender | None], clock: Clock = SYSTEM_CLOCK
    ) -> None:
        """``find_active`` returns the sender while this instance is the active one, and none else."""
        self._core = core
        self._find_active = find_active
        self._clock = clock

    async def resolve(self, client_order_id: str, outcome: ReportStatus, words: str) -> Resolution:
        """End an order as ``outcome``, by the ``words`` of who says so and why."""
        sender = self._find_active()
        if sender is None:
            return Resolution(Verdict.NOT_ACTIVE, "this instance is not the active one")
        found = self._find(client_order_id)
        if isinstance(found, Resolution):
            return found
        evidence = await sender.look_up(client_order_id)
        if evidence is not None and not _leaves_it_open(found, evidence):
            return Resolution(Verdict.SHOWN, f"the venue shows it as {evidence.status.value}: its word counts")
        # Asking took its time, in which the order may have been heard of by other ways.
        found = self._find(client_order_id)
        if isinstance(found, Resolution):
            return found
        said = "was not asked" if evidence is None else f"says {evidence.status.value}"
        logger().warning("order.resolved", client_order_id=client_order_id, outcome=outcome.value.lower(), detail=words)
        word = Evidence(
            client_order_id=found.placing.venue_id,
            source=ReportSource.OPERATOR,
            status=outcome,
            reason=Reason.ORDER_OPERATOR,
            detail=f"{words}; the venue {said}",
        )
        await sender.observe(word)
        return await self._read_back(client_order_id)

    def _find(self, client_order_id: str) -> OrderRecord | Resolution:
        """Return the order if it may be ended by an operator, or why it may not."""
        record = self._core.orders.get(client_order_id)
        if record is None:
            return Resolution(Verdict.NO_ORDER, f"no order {client_order_id} is held")
        if not record.is_unsettled:
            return Resolution(Verdict.NOT_UNKNOWN, f"the order is {record.state.value}: its outcome is known")
        if not is_escalated(record, self._core.watch):
            tried = f"asked {record.probes} times of {self._core.watch.probes_max}"
            return Resolution(Verdict.NOT_ESCALATED, f"the venue is still being asked: {tried}")
        return record

    async def _read_back(self, client_order_id: str) -> Resolution:
        with suppress(TimeoutError):
            async with asyncio.timeout(_READ_BACK_S):
                while (record := self._core.orders.get(client_order_id)) and record.is_unsettled:
                    await self._clock.sleep(_LOOK_EVERY_S)
                return Resolution(Verdict.ENDED, "" if record is None else f"the order is {record.state.value}")
        return Resolution(Verdict.SAID, "it is on the tape; look at the order in a moment")


def _leaves_it_open(record: OrderRecord, evidence: Evidence) -> bool:
    """Say whether the venue has no word on the order, or the one that was not enough as often as it was asked."""
    if evidence.status in _SHOWS_NOTHING and not evidence.trades:
        return True
    # Should it bring the missing trades now, the tape has them before the operator's word, and that changes nothing.
    return record.misses_trades and evidence.status in _ENDS
