"""Whether execution's configuration can be kept at a venue: what it may not assume there is refused at the start."""

from tollgate_contracts.execution import ReportStatus
from tollgate_execution.core import Watch
from tollgate_venues.adapter import Capabilities


def misfits(watch: Watch, capabilities: Capabilities) -> list[str]:
    """Return what of ``watch`` cannot be kept at a venue with ``capabilities``, a sentence with its key for each.

    Absence is believed after the venue's own times and not before: a shorter wait would take an order that is on
    its way, or is not listed yet, for one that was never placed.
    """
    complaints: list[str] = []
    if watch.receive_window_us < capabilities.receive_window_us:
        complaints.append(
            f"execution.watch.receive_window_ms: at least {capabilities.receive_window_us // 1_000} is expected, "
            "for so long the venue takes a request after it was signed"
        )
    if watch.visibility_us < capabilities.visibility_us:
        complaints.append(
            f"execution.watch.visibility_ms: at least {capabilities.visibility_us // 1_000} is expected, "
            f"the venue may say {ReportStatus.ABSENT} of an order that it took so long ago"
        )
    if watch.resends_max and not capabilities.refuses_duplicate_ids:
        complaints.append(
            "execution.watch.resends_max: 0 is expected, this venue takes a second order of the same id as another one"
        )
    return complaints
