"""What the core asks of the shell: three calls to the venue, and one line in the journal."""

from dataclasses import dataclass

from tollgate_contracts.approval import Approval, SignedText
from tollgate_contracts.execution import OrderState


@dataclass(frozen=True, slots=True)
class Submit:
    """Send this order, once, after it was written to the journal."""

    decision_id: str
    approval: Approval
    signed: SignedText
    """What risk signed, as it travelled: the journal keeps the proof."""
    approval_hash: str
    """SHA-256 of the approval's text."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask the venue to cancel; needs a signed approval and no permit, because it makes risk smaller."""

    decision_id: str
    approval: Approval


@dataclass(frozen=True, slots=True)
class Query:
    """Look the order up at the venue by its client order id."""

    client_order_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Write in the journal that it is known what became of a send; nothing waits for it."""

    client_order_id: str
    state: OrderState


Effect = Submit | Cancel | Query | Settle
