"""Reports on their way to the tape: what changes nothing once those before it are read is not said at all."""

from dataclasses import dataclass

from tollgate_chassis.runner import Runner
from tollgate_contracts.execution import Report
from tollgate_execution.core import ExecutionCore


@dataclass(slots=True)
class _Appending:
    """A report on its way to the tape; the core has it once it has read up to its sequence."""

    report: Report
    sequence: int | None = None


class Saying:
    """Says what is news; remembers a report only until the core has read it."""

    def __init__(self, core: ExecutionCore, runner: Runner) -> None:
        self._core = core
        self._runner = runner
        self._under_way: dict[str, list[_Appending]] = {}

    async def say(self, report: Report) -> None:
        """Put ``report`` on the tape, unless it would change nothing."""
        self._forget_read_back()
        # A stream frame and the answer to a call often say the same within a millisecond: the tape needs one of them.
        under_way = self._under_way.pop(report.client_order_id, [])
        under_way = [each for each in under_way if each.sequence is None or each.sequence > self._runner.position]
        changes = self._core.would_change(report, [each.report for each in under_way])
        appending = _Appending(report)
        if changes:
            under_way.append(appending)
        if under_way:
            self._under_way[report.client_order_id] = under_way
        if changes:
            appending.sequence = await self._runner.observe(report)

    def _forget_read_back(self) -> None:
        """Forget what the core has read: the order that was reported longest ago stands first."""
        while self._under_way:
            oldest = next(iter(self._under_way))
            if any(each.sequence is None or each.sequence > self._runner.position for each in self._under_way[oldest]):
                return
            del self._under_way[oldest]
