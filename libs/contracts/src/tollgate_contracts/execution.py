"""What execution says: what the venue reported, and what became of each order because of it."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tollgate_contracts.envelope import Currency, Hash, Identifier, Message, Symbol, Text, TimeUs, Value
from tollgate_contracts.money import Amount, NonNegative, Price, Quantity
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import ClientOrderId, OrderType, Side, TimeInForce


class OrderState(StrEnum):
    """Where an order stands; the last four never change again."""

    PLANNED = "PLANNED"
    """An approval was verified; nothing was sent."""
    SUBMITTING = "SUBMITTING"
    """About to be sent, or sent and not answered yet."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """The venue has it and nothing has traded."""
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    CANCELLING = "CANCELLING"
    """A cancel was asked for and the venue has not said what came of it."""
    UNKNOWN = "UNKNOWN"
    """We asked and were not told; only the venue's evidence or an operator's word leaves this state."""
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


TERMINAL_STATES = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED, OrderState.EXPIRED})


class Liquidity(StrEnum):
    """Whether a trade made or took liquidity."""

    MAKER = "MAKER"
    TAKER = "TAKER"


class VenueTrade(Value):
    """One trade as the venue reports it; ``trade_id`` is unique at the venue within a symbol."""

    trade_id: Identifier
    price: Price
    quantity: Quantity
    fee: Amount
    """Above zero is paid by us, below zero is a rebate."""
    fee_currency: Currency
    liquidity: Liquidity
    venue_ts_us: TimeUs


class ReportSource(StrEnum):
    """How a report came to be."""

    SUBMIT = "SUBMIT"
    """The answer to a submit, or that there was none."""
    CANCEL = "CANCEL"
    """The answer to a cancel, or that there was none."""
    QUERY = "QUERY"
    """The answer to a look-up, by id or in the venue's lists of orders."""
    FILLS = "FILLS"
    """The venue's list of fills since the last one that was read."""
    STREAM = "STREAM"
    """A frame of the user stream."""
    JOURNAL = "JOURNAL"
    """Execution's own journal shows that nothing was sent."""
    OPERATOR = "OPERATOR"
    """An operator's word on an order of unknown outcome; ``detail`` says whose, and why."""


class ReportStatus(StrEnum):
    """What the venue says of an order, or that it says nothing."""

    OPEN = "OPEN"
    TRADED = "TRADED"
    """It has traded; nothing is said of its state, as in a list of fills."""
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    ABSENT = "ABSENT"
    """The venue knows no such order, asked after its own visibility window."""
    NO_ANSWER = "NO_ANSWER"
    """Timeout, broken connection or server error: the outcome is not known."""
    NOT_SENT = "NOT_SENT"
    """Not one byte left: a last check before sending said no."""


class Report(Message):
    """The evidence: what the venue said of one order. Order states and fills follow from it and nothing else."""

    writer: Literal["execution"] = "execution"
    kind: Literal["report"] = "report"
    version: Literal[3] = 3
    client_order_id: ClientOrderId
    """By which the venue knows it; a later attempt, and a protective order, have ids of their own."""
    source: ReportSource
    status: ReportStatus
    venue_order_id: Identifier | None
    cumulative_quantity: NonNegative | None
    """Filled so far by the venue's own count; null where the venue did not say."""
    trades: Annotated[tuple[VenueTrade, ...], Field(max_length=1_000)]
    busted: Annotated[tuple[Identifier, ...], Field(max_length=1_000)]
    """Trades by their id that the venue has taken back."""
    reason: Reason | None
    detail: Text
    venue_ts_us: TimeUs | None


class Order(Message):
    """An order has changed its state."""

    writer: Literal["execution"] = "execution"
    kind: Literal["order"] = "order"
    version: Literal[3] = 3
    client_order_id: ClientOrderId
    attempt: Annotated[int, Field(ge=1, le=100)]
    """Which placing at the venue this is about; 1 is the first, and each has an id of its own there."""
    protects: ClientOrderId | None
    """Of a protective order, the order whose fills it protects; execution places it under that order's approval."""
    venue_order_id: Identifier | None
    intent_id: Identifier
    symbol: Symbol
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    quantity: Quantity
    limit_price: Price | None
    """At which it works: the approval's bound, or better."""
    trigger_price: Price | None
    """Of a protective order, the price at which the venue lets it work."""
    from_state: OrderState
    to_state: OrderState
    cumulative_quantity: NonNegative
    cumulative_quote: NonNegative
    """Sum of price times quantity over the fills."""
    reason: Reason | None
    detail: Text
    config_hash: Hash


class Fill(Message):
    """One trade of ours, said once."""

    writer: Literal["execution"] = "execution"
    kind: Literal["fill"] = "fill"
    version: Literal[2] = 2
    client_order_id: ClientOrderId
    symbol: Symbol
    side: Side
    trade: VenueTrade
    fee_rate: Price | None
    """Quote currency per unit of the fee's currency; null where that is the quote currency, or no rate is known."""
    fee_rate_source: Text
    """Where the rate is from: ``quote:<tape sequence>`` of which it is the mid, or ``trade``, where nothing was quoted
    and the trade's own price is taken for its base currency; empty without a rate."""
    config_hash: Hash


class Bust(Message):
    """The venue has taken a trade back: its fill is undone at its own price and fee, said once."""

    writer: Literal["execution"] = "execution"
    kind: Literal["bust"] = "bust"
    version: Literal[2] = 2
    client_order_id: ClientOrderId
    symbol: Symbol
    side: Side
    """Of the fill that is undone."""
    trade: VenueTrade
    """As it was booked."""
    fee_rate: Price | None
    """As the fill had it: what the fee was worth then, it is worth when it comes back."""
    fee_rate_source: Text
    config_hash: Hash


class Refusal(Message):
    """An approval that execution would not act upon, and why; nothing was sent for it."""

    writer: Literal["execution"] = "execution"
    kind: Literal["refusal"] = "refusal"
    version: Literal[3] = 3
    decision_id: Identifier
    client_order_id: ClientOrderId
    codes: Annotated[tuple[Reason, ...], Field(min_length=1)]
    detail: Text
