"""What a venue has said of our orders and our account, before it wears the tape's envelope.

The law of this module: evidence is what the venue said, or that it said nothing. Whoever holds a piece of
evidence may put it on the tape as it is; what follows from it is the execution core's to decide.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tollgate_contracts.execution import ReportSource, ReportStatus, VenueTrade
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Balance, MovementType, VenuePosition
from tollgate_contracts.strategy import Side


class Failure(StrEnum):
    """How a call failed: decides whether, and when, another one may be made."""

    NO_ANSWER = "no_answer"
    """Timeout, broken connection or server error: whether the venue has acted is not known."""
    RATE_LIMITED = "rate_limited"
    """The venue did not act, because we send too fast."""
    BANNED = "banned"
    """The venue does not act on anything of ours for a while."""
    MAINTENANCE = "maintenance"
    """The venue serves nobody now, and says so."""
    UNAUTHORIZED = "unauthorized"
    """Key or signature: trying again changes nothing, and many tries get us banned."""
    OUT_OF_TIME = "out_of_time"
    """The venue did not act, because by its clock the request was too old or from the future: one that was late on
    its way is followed by one that is not, and clocks that differ by too much refuse every one."""
    REFUSED = "refused"
    """The venue's rules do not allow it."""
    UNREADABLE = "unreadable"
    """An answer came that is not one of this venue's."""


TRANSIENT = frozenset(
    {Failure.NO_ANSWER, Failure.RATE_LIMITED, Failure.BANNED, Failure.MAINTENANCE, Failure.OUT_OF_TIME}
)
"""After these the same question may be asked again, later."""


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
    busted: tuple[str, ...] = ()
    """Trades by their id that the venue has taken back."""
    reason: Reason | None = None
    detail: str = ""
    venue_ts_us: int | None = None
    failure: Failure | None = None
    """How the call failed, where it did; none for what the venue has said of the order itself."""
    retry_after_us: int | None = None
    """What the venue asks us to wait before the next call."""


@dataclass(frozen=True, slots=True)
class FillEvidence:
    """One trade of ours, or the taking back of one, from the venue's list of fills."""

    client_order_id: str
    symbol: str
    side: Side
    trade: VenueTrade | None
    """None where the venue has taken a trade back."""
    busts: str | None = None
    """The trade id that is taken back."""
    venue_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class FillPage:
    """A part of the venue's list of fills."""

    fills: tuple[FillEvidence, ...]
    cursor: str
    """To go on from; the one that was given where nothing came."""
    is_last: bool
    """Whether there is nothing more for now."""


@dataclass(frozen=True, slots=True)
class OrderPage:
    """Orders that changed lately."""

    orders: tuple[Evidence, ...]
    is_complete: bool
    """Whether the venue has named all of them: only then does it mean something that an order is not there."""


@dataclass(frozen=True, slots=True)
class MovementEvidence:
    """Money that came or went without an order."""

    movement_id: str
    movement: MovementType
    currency: str
    amount: Decimal
    """Above zero has come in."""
    symbol: str | None
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class MovementPage:
    """A part of the venue's list of movements."""

    movements: tuple[MovementEvidence, ...]
    cursor: str
    is_last: bool


@dataclass(frozen=True, slots=True)
class AccountEvidence:
    """Balances, positions and fee tier as the venue states them, every currency that it has ever held for us."""

    balances: tuple[Balance, ...]
    maker_fee_bps: Decimal
    taker_fee_bps: Decimal
    venue_ts_us: int
    positions: tuple[VenuePosition, ...] = ()
    """Of perpetuals."""
