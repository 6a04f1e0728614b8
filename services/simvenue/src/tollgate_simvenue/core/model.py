"""The exchange's words: instruments, orders, fills, busts, movements, refusals, and the events it gives out.

Prices and quantities are in units, balances and fees in atoms (see ``units``), times in microseconds.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from tollgate_contracts.execution import Liquidity
from tollgate_contracts.marketdata import InstrumentStatus
from tollgate_contracts.reconciliation import MovementType
from tollgate_contracts.strategy import OrderType, Side, TimeInForce


@dataclass(frozen=True, slots=True)
class Instrument:
    """One line of the instruments table."""

    symbol: str
    base: str
    quote: str
    tick: int
    step: int
    min_quantity: int
    min_notional: int
    """In atoms."""
    status: InstrumentStatus


@dataclass(frozen=True, slots=True)
class Fees:
    """What a trade costs, in millionths of a basis point of its notional, in quote currency."""

    maker_rate: int
    taker_rate: int


class Refusal(StrEnum):
    """Why a request was turned away; nothing was registered, and a client order id is still free."""

    # The request as such.
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    INVALID_JSON = "INVALID_JSON"
    NOT_AN_OBJECT = "NOT_AN_OBJECT"
    MISSING_FIELD = "MISSING_FIELD"
    UNKNOWN_FIELD = "UNKNOWN_FIELD"
    INVALID_FIELD = "INVALID_FIELD"
    NUMBER_NOT_STRING = "NUMBER_NOT_STRING"
    INVALID_NUMBER = "INVALID_NUMBER"
    NOT_POSITIVE = "NOT_POSITIVE"
    TOO_PRECISE = "TOO_PRECISE"
    # Who asks, and when.
    MISSING_HEADER = "MISSING_HEADER"
    UNKNOWN_API_KEY = "UNKNOWN_API_KEY"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    INVALID_TIMESTAMP = "INVALID_TIMESTAMP"
    TIMESTAMP_TOO_OLD = "TIMESTAMP_TOO_OLD"
    TIMESTAMP_IN_FUTURE = "TIMESTAMP_IN_FUTURE"
    RATE_LIMITED = "RATE_LIMITED"
    BANNED = "BANNED"
    MAINTENANCE = "MAINTENANCE"
    SERVER_ERROR = "SERVER_ERROR"
    # What is asked for.
    UNKNOWN_ORDER = "UNKNOWN_ORDER"
    UNKNOWN_TRADE = "UNKNOWN_TRADE"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    DUPLICATE_CLIENT_ORDER_ID = "DUPLICATE_CLIENT_ORDER_ID"
    BINGX_DUPLICATE = "101481"
    """The same in BingX's own words."""
    UNKNOWN_SYMBOL = "UNKNOWN_SYMBOL"
    INSTRUMENT_NOT_OPEN = "INSTRUMENT_NOT_OPEN"
    CONTRADICTION = "CONTRADICTION"
    PRICE_OFF_TICK = "PRICE_OFF_TICK"
    QUANTITY_OFF_STEP = "QUANTITY_OFF_STEP"
    BELOW_MIN_QUANTITY = "BELOW_MIN_QUANTITY"
    BELOW_MIN_NOTIONAL = "BELOW_MIN_NOTIONAL"
    GOOD_UNTIL_PASSED = "GOOD_UNTIL_PASSED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"


@dataclass(frozen=True, slots=True)
class Refused:
    """A request turned away: the rule, a sentence for people, and the field at fault where there is one."""

    code: Refusal
    message: str
    field: str | None = None


class OrderStatus(StrEnum):
    """Where an order stands at the exchange; all but ``OPEN`` are final."""

    OPEN = "OPEN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class OrderReason(StrEnum):
    """Why an order is cancelled or rejected; the first four are the matching engine's own."""

    POST_ONLY_WOULD_TAKE = "POST_ONLY_WOULD_TAKE"
    FOK_NOT_FILLABLE = "FOK_NOT_FILLABLE"
    IOC_REST = "IOC_REST"
    SELF_TRADE = "SELF_TRADE"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    USER = "USER"
    GOOD_UNTIL = "GOOD_UNTIL"
    BUST = "BUST"
    VENUE_RESTARTED = "VENUE_RESTARTED"


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a participant asks for; ``limit_price`` is null for a market order and for nothing else."""

    client_order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    quantity: int
    limit_price: int | None
    time_in_force: TimeInForce
    post_only: bool
    received_us: int
    """When the request arrived."""
    trigger_price: int | None = None
    """Of a stop: it works once a trade has printed at or through this; null for an order that works at once."""
    good_until_us: int | None = None
    """When the exchange ends it; null for never."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One trade of an order of the account."""

    fill_sequence: int
    """1 for the account's first fill ever; rises by one."""
    trade_id: str
    client_order_id: str
    symbol: str
    side: Side
    price: int
    quantity: int
    fee: int
    """In atoms; below zero is a rebate."""
    fee_currency: str
    liquidity: Liquidity
    cumulative_quantity: int
    """Of the order, this fill included."""
    venue_ts_us: int
    venue_order_id: str


@dataclass(frozen=True, slots=True)
class Bust:
    """One trade of the account, taken back: a row in the list of fills."""

    fill_sequence: int
    """Of the same count as the fills'."""
    trade_id: str
    """Of the fill that is undone."""
    client_order_id: str
    symbol: str
    side: Side
    venue_ts_us: int
    venue_order_id: str


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that came or went without an order."""

    movement_sequence: int
    """1 for the account's first movement ever; rises by one."""
    movement_id: str
    type: MovementType
    currency: str
    amount: int
    """In atoms; above zero has come in."""
    symbol: str | None
    venue_ts_us: int


@dataclass(slots=True)
class Order:
    """An order that the exchange has registered."""

    request: OrderRequest
    venue_order_id: str
    status: OrderStatus
    updated_us: int
    cumulative_quantity: int = 0
    """Traded so far, without what was taken back."""
    cumulative_quote: int = 0
    """Sum of price times quantity, in atoms."""
    locked: int = 0
    """Atoms of the currency that it would spend."""
    reason: OrderReason | None = None
    fills: list[Fill] = field(default_factory=list)
    """Without those that were taken back."""
    busted_quantity: int = 0
    triggered: bool = False
    """Whether a stop has been set to work."""

    @property
    def rest(self) -> int:
        """Return what can still trade: a trade that was taken back does not come again."""
        return self.request.quantity - self.cumulative_quantity - self.busted_quantity


@dataclass(frozen=True, slots=True)
class QuoteChanged:
    """Best bid or ask has changed, in price or quantity."""

    symbol: str
    bid: int
    bid_quantity: int
    ask: int
    ask_quantity: int
    sequence: int
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade, as everyone sees it."""

    symbol: str
    trade_id: str
    price: int
    quantity: int
    aggressor: Side
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class Candle:
    """A closed candle over [open_us, open_us + interval_us)."""

    symbol: str
    open_us: int
    interval_us: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    trades: int


@dataclass(frozen=True, slots=True)
class CandleClosed:
    """A candle is complete and will not change."""

    candle: Candle
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class InstrumentChanged:
    """What may be done with an instrument has changed."""

    instrument: Instrument
    venue_ts_us: int


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """An order is new or stands differently: how it stood at this moment, while ``order`` itself may move on."""

    order: Order
    status: OrderStatus
    cumulative_quantity: int
    cumulative_quote: int
    reason: OrderReason | None
    venue_ts_us: int

    @classmethod
    def now(cls, order: Order) -> "OrderChanged":
        """Take down how ``order`` stands."""
        return cls(
            order, order.status, order.cumulative_quantity, order.cumulative_quote, order.reason, order.updated_us
        )


@dataclass(frozen=True, slots=True)
class OrderFilled:
    """An order of the account has traded; comes before the ``OrderChanged`` that it brings about."""

    order: Order
    fill: Fill


@dataclass(frozen=True, slots=True)
class OrderBusted:
    """A trade of an order was taken back; comes before the ``OrderChanged`` that it brings about."""

    order: Order
    bust: Bust


@dataclass(frozen=True, slots=True)
class MoneyMoved:
    """Money came or went without an order."""

    movement: Movement


MarketNews = QuoteChanged | PublicTrade | CandleClosed | InstrumentChanged
"""What everyone may know."""
AccountNews = OrderChanged | OrderFilled | OrderBusted | MoneyMoved
"""What only the account's owner may know."""
Event = MarketNews | AccountNews
