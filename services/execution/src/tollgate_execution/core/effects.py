"""What the core asks of the shell: three calls to the venue, and one line in the journal.

Where an effect names an order, it is by the id by which the venue knows the attempt that is meant.
"""

from dataclasses import dataclass

from tollgate_contracts.approval import Approval, SignedText
from tollgate_contracts.execution import OrderState
from tollgate_contracts.reasons import Reason
from tollgate_execution.core.placing import Placing


@dataclass(frozen=True, slots=True)
class Submit:
    """Send this order, once, after it was written to the journal."""

    decision_id: str
    approval: Approval
    signed: SignedText
    """What risk signed, as it travelled: the journal keeps the proof."""
    approval_hash: str
    """SHA-256 of the approval's text."""
    placing: Placing
    """What of it is asked of the venue now."""
    resend: int = 0
    """Above zero, the same placing is sent again under the same id, because the venue has shown it absent."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask the venue to cancel; needs no permit, because it makes risk smaller."""

    client_order_id: str
    why: Reason | None
    """Why execution asks for it of its own accord; none where risk has approved the cancel."""
    until_us: int | None
    """Nothing is sent at or after it; none for what execution asks for itself."""


@dataclass(frozen=True, slots=True)
class Query:
    """Look the order up at the venue."""

    client_order_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Write in the journal what became of a send; nothing waits for it."""

    client_order_id: str
    state: OrderState
    is_over: bool
    """Whether nothing of it can be live at the venue any more: only then may there be another attempt."""


Effect = Submit | Cancel | Query | Settle
