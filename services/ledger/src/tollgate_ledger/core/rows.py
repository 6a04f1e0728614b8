"""What is read off the books: rows that are written once, in the transaction of the entries from which they follow.

Amounts are in quote currency where nothing else is said; the columns of the tables bear the same names. No row is
ever changed: what a bust takes back is a row of its own, with the signs turned, so that sums stay exact.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tollgate_ledger.core.fee_check import FeeFinding


class TripTrigger(StrEnum):
    """How a round trip has ended."""

    SIGNAL = "signal"
    """By an order of the strategy."""
    STOP = "stop"
    """By an order of the strategy because the position had lost as much as it may."""
    PROTECTION = "protection"
    """By the stop that rested at the venue."""
    FLATTEN = "flatten"
    """By risk, under the kill switch."""
    BUST = "bust"
    """By a trade that the venue has taken back; such a row may be the difference to a trip that has ended before."""
    MOVEMENT = "movement"
    """By what was withdrawn, or else went without an order."""
    UNKNOWN = "unknown"
    """By an order of which the tape does not say, or too long ago, why it was placed."""


@dataclass(frozen=True, slots=True)
class TradeCost:
    """An effect: what one booked fill has cost; of a bust quantity, slippage and fee are those of the fill, turned."""

    tape_sequence: int
    ts_us: int
    symbol: str
    trade_id: str
    side: str
    quantity: Decimal
    price: Decimal
    reference_price: Decimal | None
    """The mid when the order was decided, of a protective stop its trigger; null where neither is known."""
    reference_source: str | None
    """``quote:`` or ``trigger:`` and the tape sequence at which it was said."""
    slippage: Decimal
    """Against the reference price; above zero has cost us, and zero without one."""
    fee: Decimal
    fee_currency: str
    fee_value: Decimal
    """In quote currency; zero where no rate is known."""
    maker: bool
    client_order_id: str
    trip: int
    """Of a trade that ends one trip and opens the next, the next."""
    purpose: str | None
    signal: str | None
    regime: str | None
    tier: str | None
    strength: Decimal | None
    confidence: Decimal | None
    strategy: str | None
    cycle_id: int
    config_hash: str
    fee_expected: Decimal | None
    """What the model of costs says; null before the venue has stated its rates."""
    fee_finding: FeeFinding | None
    """How the fee differs from that; null where it does not, and for a bust."""
    slippage_expected: Decimal | None
    """Half the spread and the slippage that the model of costs says; null without a reference price."""


@dataclass(frozen=True, slots=True)
class TripEnded:
    """An effect: a round trip is over. Signal, regime and all that says why are those of the order that opened it."""

    number: int
    symbol: str
    venue: str
    side: str
    opened_us: int
    closed_us: int
    opened_sequence: int
    closed_sequence: int
    entry_price: Decimal | None
    exit_price: Decimal | None
    quantity: Decimal
    fills: int
    gross: Decimal
    edge: Decimal
    slippage: Decimal
    fees: Decimal
    funding: Decimal
    net: Decimal
    risked: Decimal | None
    trigger: TripTrigger
    signal: str | None
    regime: str | None
    tier: str | None
    strength: Decimal | None
    confidence: Decimal | None
    strategy: str | None
    cycle_id: int | None
    config_hash: str | None
    equity_before: Decimal
    equity_after: Decimal
    maker_share: Decimal
    entry_order: str | None
    exit_order: str | None
    found_open: bool


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """An effect: what the books are worth after ``tape_sequence``."""

    ts_us: int
    tape_sequence: int
    equity: Decimal
    cash: Decimal
    cost: Decimal
    unrealized: Decimal
    realized: Decimal
    fees: Decimal
    moved: Decimal
    funding: Decimal
    peak: Decimal
    drawdown: Decimal
    exposure: Decimal
    """Sum of the positions' values, each without its sign."""
    treasury: Decimal
    transfers: Decimal
    """What has come in or gone out, with what the account held at opening at the mark at which it was taken in."""
    charges: Decimal
    """What was charged apart from any trade, less what was paid back."""
    other: Decimal
    """Dust, and what is missing of what no evidence explains; what is there too much is among the transfers."""


@dataclass(frozen=True, slots=True)
class DayClosed:
    """An effect: where a UTC day's result came from, exactly; said when the tape has passed its end.

    The parts sum to the net, ``edge - slippage - fees + funding + other``, and the net is what equity has changed by
    over the day without what was transferred. Edge holds what open positions have gained or lost at their marks.
    """

    day: int
    """Since the epoch."""
    edge: Decimal
    slippage: Decimal
    fees: Decimal
    """With what was charged, or paid back, apart from any trade."""
    funding: Decimal
    other: Decimal
    """Dust, and what is missing of what no evidence explains; what is there too much is among the transfers."""
    net: Decimal
    transfers: Decimal
    """What came in or went out, with what the account held at opening at the mark at which it was taken in."""
    equity_first: Decimal
    """As the day before ended, or as the books were opened."""
    equity_last: Decimal


Row = TradeCost | TripEnded | EquityPoint | DayClosed
