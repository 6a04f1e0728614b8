"""What a venue has said of our orders and our account, before it wears the tape's envelope.

The law of this module: evidence is what the venue said, or that it said nothing. Whoever holds a piece of
evidence may put it on the tape as it is; what follows from it is the execution core's to decide.
"""

from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.execution import Balance, ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Side


@dataclass(frozen=True, slots=True)
class Evidence:
    """The fields of ``Report`` without its envelope: what the venue said of one order."""

    client_order_id: str
    source: ReportSource
    status: ReportStatus
    venue_order_id: str | None = None
    cumulative_quantity: Decimal | None = None
    """Filled so far by the venue's own count; null where the venue did not say."""
    trades: tuple[VenueTrade, ...] = ()
    reason: Reason | None = None
    detail: str = ""
    venue_ts_us: int | None = None


@dataclass(frozen=True, slots=True)
class FillEvidence:
    """One trade of ours from the venue's list of fills."""

    fill_sequence: int
    """Rises by one with each fill of the account; the cursor of the list."""
    client_order_id: str
    symbol: str
    side: Side
    trade: VenueTrade


@dataclass(frozen=True, slots=True)
class AccountEvidence:
    """Balances and fee tier as the venue states them, every currency that it has ever held for us."""

    balances: tuple[Balance, ...]
    maker_fee_bps: Decimal
    taker_fee_bps: Decimal
    venue_ts_us: int
