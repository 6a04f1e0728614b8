"""What execution says of the venue's account of things: the account, what differed from ours, and how that ended."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tollgate_contracts.approval import SignedText
from tollgate_contracts.envelope import Currency, Identifier, Message, Symbol, Text, TimeUs, Value
from tollgate_contracts.execution import OrderState
from tollgate_contracts.money import Amount, NonNegative, Price
from tollgate_contracts.strategy import ClientOrderId


class Balance(Value):
    """What the venue holds for us in one currency."""

    currency: Currency
    free: NonNegative
    locked: NonNegative


class VenuePosition(Value):
    """A perpetual's position as the venue states it; above zero is long, below zero short, in base currency."""

    symbol: Symbol
    quantity: Amount
    entry_price: Price
    liquidation_price: Price | None
    """Null where the venue names none, as for a position that cannot be liquidated."""


class Account(Message):
    """Balances, positions and fee tier as the venue states them."""

    writer: Literal["execution"] = "execution"
    kind: Literal["account"] = "account"
    version: Literal[2] = 2
    venue: Identifier
    account: Identifier
    balances: tuple[Balance, ...]
    positions: tuple[VenuePosition, ...]
    """Of perpetuals; empty at a spot venue."""
    maker_fee_bps: Amount
    taker_fee_bps: Amount
    venue_ts_us: TimeUs


class MovementType(StrEnum):
    """What a movement of money is."""

    DEPOSIT = "DEPOSIT"
    WITHDRAWAL = "WITHDRAWAL"
    TRANSFER = "TRANSFER"
    """Between accounts or wallets of ours at the venue."""
    FUNDING = "FUNDING"
    DUST = "DUST"
    """A remainder too small to trade, converted or taken by the venue."""
    FEE = "FEE"
    """Charged apart from any trade."""
    REBATE = "REBATE"
    """Paid apart from any trade."""
    UNEXPLAINED = "UNEXPLAINED"
    """What the venue states and no evidence explains, booked upon an operator's word; no venue lists it."""


class Movement(Message):
    """Money that came or went without an order, never a fill: of what is held as a position, that changes with it."""

    writer: Literal["execution"] = "execution"
    kind: Literal["movement"] = "movement"
    version: Literal[2] = 2
    venue: Identifier
    account: Identifier
    movement_id: Identifier
    """The venue's own; said once."""
    movement: MovementType
    currency: Currency
    amount: Amount
    """Above zero has come in, below zero has gone out."""
    symbol: Symbol | None
    """Of funding, the perpetual."""
    venue_ts_us: TimeUs
    """Of what is unexplained, that of the statement that showed it."""
    detail: Text = ""
    """Of what is unexplained, who says so and why; empty where the venue lists it."""
    rate: Price | None = None
    """Quote currency per unit of the currency; null where that is the quote currency, or no rate is known."""
    rate_source: Text = ""
    """Where the rate is from: ``quote:<tape sequence>`` of which it is the mid; empty without a rate."""


class Difference(StrEnum):
    """How the venue's account of things differs from ours."""

    MISSING_ORDER = "MISSING_ORDER"
    """We hold an order as accepted, and the venue does not know it."""
    FOREIGN_ORDER = "FOREIGN_ORDER"
    """The venue has an order that we do not hold."""
    MISSED_FILL = "MISSED_FILL"
    """The venue lists a trade that no answer and no frame has told us of."""
    DUPLICATE_FILL = "DUPLICATE_FILL"
    """A trade came again with other content."""
    LATE_FILL = "LATE_FILL"
    """A trade came after its order was over."""
    BUSTED_FILL = "BUSTED_FILL"
    """The venue has taken back a trade that we booked."""
    FOREIGN_FILL = "FOREIGN_FILL"
    """The venue lists a trade of an order that we do not hold."""
    QUANTITY_DRIFT = "QUANTITY_DRIFT"
    """The venue counts more or less as filled than the trades that we have."""
    PRICE_DRIFT = "PRICE_DRIFT"
    """A trade is worse than the order's limit, or larger than any amount."""
    FEE_DRIFT = "FEE_DRIFT"
    """A trade's fee is not what the fee tier says."""
    STALE_PENDING = "STALE_PENDING"
    """A submit or a cancel that nothing has been heard of for too long."""
    STATE_DRIFT = "STATE_DRIFT"
    """The venue says a state that cannot follow from ours."""
    UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"
    """The venue has not said what became of an order, however often it was asked."""
    BALANCE_DRIFT = "BALANCE_DRIFT"
    """A currency's balance is not what the fills and movements make it."""
    POSITION_DRIFT = "POSITION_DRIFT"
    """A perpetual's position is not what the fills make it."""
    UNPROTECTED = "UNPROTECTED"
    """What an order has filled should have a stop at the venue and has none."""
    CONFIGURATION = "CONFIGURATION"
    """Our own configuration on the tape cannot be used."""


class Repair(StrEnum):
    """What was done about a difference."""

    BOOKED = "BOOKED"
    """By the venue's evidence."""
    UNDONE = "UNDONE"
    """A booking was taken back, by the venue's evidence."""
    IGNORED = "IGNORED"
    """Nothing follows from it."""
    ASKED = "ASKED"
    """The venue is asked."""
    HELD = "HELD"
    """The order stays open with its exposure reserved until the venue, or an operator, has said what became of it."""
    ENDED = "ENDED"
    """The order has ended, by the venue's evidence."""
    ADOPTED = "ADOPTED"
    """It is an order of ours by its id, and is watched as such from here on."""
    FLAGGED = "FLAGGED"
    """Nothing can be done by machine: an operator must look."""


class Reconcile(Message):
    """A comparison with the venue has found a difference, and this was done about it."""

    writer: Literal["execution"] = "execution"
    kind: Literal["reconcile"] = "reconcile"
    version: Literal[2] = 2
    subject: Text
    """What differed: an order id, a trade id, a currency or a symbol."""
    difference: Difference
    differed: Text
    """In words, with both numbers."""
    evidence: Text
    """What the venue said, and how it came to us."""
    repair: Repair
    detail: Text


class SyncCause(StrEnum):
    """Why a round of reconciliation was made."""

    START = "START"
    SCHEDULE = "SCHEDULE"
    STREAM = "STREAM"
    """The user stream was lost and is up again."""
    DOUBT = "DOUBT"
    """A difference or a failed call asked for it."""


class Sync(Message):
    """A whole round of reconciliation has been read from the venue: what was compared, and whether all agreed."""

    writer: Literal["execution"] = "execution"
    kind: Literal["sync"] = "sync"
    version: Literal[1] = 1
    sync_cause: SyncCause
    began_us: TimeUs
    """When the venue was first asked in this round."""
    open_order_ids: Annotated[tuple[Text, ...], Field(max_length=1_000)]
    """Every order that the venue lists as open, by client order id."""
    fill_cursor: Text
    """Up to here the venue's fills are read, in its own words."""
    movement_cursor: Text
    orders_read: Annotated[int, Field(ge=0)]
    fills_read: Annotated[int, Field(ge=0)]
    differences: Annotated[int, Field(ge=0)]
    """Found in this round."""
    open_differences: Annotated[int, Field(ge=0)]
    """Not explained yet at its end."""
    took_us: Annotated[int, Field(ge=0)]
    """From the first to the last answer."""


class Adoption(Message):
    """An order that execution's journal shows to be its own and the tape does not hold: it is watched from here on.

    One that is over is not watched: only what the venue lists of it as traded, and is not booked yet, is booked.
    """

    writer: Literal["execution"] = "execution"
    kind: Literal["adoption"] = "adoption"
    version: Literal[2] = 2
    client_order_id: ClientOrderId
    """By which the venue knows it."""
    attempt: Annotated[int, Field(ge=1, le=100)]
    protects: ClientOrderId | None
    """Of a protective order, the order whose fills it protects."""
    ended_as: OrderState | None
    """How it is over by the journal; null while it may be live at the venue."""
    decision_id: Identifier
    approval: SignedText
    """As risk signed it, from the journal: by it the order was sent."""
