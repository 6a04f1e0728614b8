"""What the ledger answers to whoever reads its books: the rows as the database has them, exact amounts as text.

The database writes the rows; these models say what stands in them. Amounts are in the desk's quote currency, before
anything is rounded, where nothing else is said.
"""

from datetime import date
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from tollgate_contracts.envelope import Currency
from tollgate_contracts.execution import Order
from tollgate_contracts.ledger import Position

Plain = Annotated[str, Field(pattern=r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$")]
"""An exact decimal as plain text: no exponent, no zeros at its end."""


class Row(BaseModel):
    """One row of an answer; what is not known, or does not apply, is null."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class BooksNow(Row):
    """What the books say at this moment; it may be a moment before it is committed."""

    as_of: int
    """The tape sequence after which it is so."""
    cash: dict[Currency, Plain]
    """Of each currency that is no position, what is held; empty before the books are opened."""
    positions: tuple[Position, ...]
    suspense: dict[Currency, Plain]
    """What is not explained yet; above zero where something is gone."""
    equity: Plain
    peak_equity: Plain
    drawdown: Plain
    realized: Plain
    """Before fees."""
    fees: Plain
    treasury: Plain


class PositionRow(Row):
    """What was held of one symbol when the books were last said."""

    as_of: int
    """The tape sequence after which it is so."""
    ts_us: int
    position: Position


class EquityPoint(Row):
    """What the desk was worth, when the books were said or at the end of a UTC day."""

    tape_sequence: int
    ts_us: int
    equity: Plain
    cash: Plain
    cost: Plain
    """Of the positions held, fees not included."""
    unrealized: Plain
    realized: Plain
    fees: Plain
    moved: Plain
    """What came (above zero) and went without an order."""
    funding: Plain
    peak: Plain
    drawdown: Plain
    """Fall from the peak; never below zero."""
    exposure: Plain
    """Sum of the positions' values, each without its sign."""
    treasury: Plain
    transfers: Plain
    """Since the opening: what came in or went out, with what was held at opening."""
    charges: Plain
    """Since the opening: what was charged apart from any trade."""
    other: Plain
    """Since the opening: dust, and what is missing of what no evidence explains."""


class Trip(Row):
    """One round trip that has ended: `gross` = `edge` - `slippage`, `net` = `gross` - `fees` + `funding`, exactly."""

    number: int
    symbol: str
    venue: str
    side: str
    opened_us: int
    closed_us: int
    opened_sequence: int
    closed_sequence: int
    entry_price: Plain | None
    """An average, rounded to 18 places; so is the exit price."""
    exit_price: Plain | None
    quantity: Plain
    fills: int
    gross: Plain
    edge: Plain
    slippage: Plain
    """Above zero costs us."""
    fees: Plain
    funding: Plain
    net: Plain
    risked: Plain | None
    """What its stop would have lost; the result in R is `net` / `risked`."""
    trigger: str
    """How it ended: `signal`, `stop`, `protection`, `flatten`, `bust` or `unknown`."""
    signal: str | None
    regime: str | None
    tier: str | None
    strength: Plain | None
    confidence: Plain | None
    strategy: str | None
    cycle_id: int | None
    config_hash: str | None
    equity_before: Plain
    equity_after: Plain
    maker_share: Plain
    entry_order: str | None
    exit_order: str | None
    found_open: bool
    """It was open when the books began."""


class TradeCost(Row):
    """One booked fill, and what it cost."""

    tape_sequence: int
    ts_us: int
    symbol: str
    trade_id: str
    """The venue's; a bust has that of the trade which it takes back."""
    side: str
    quantity: Plain
    price: Plain
    reference_price: Plain | None
    """The mid at the decision; of a protective stop, its trigger."""
    reference_source: str | None
    slippage: Plain
    """Above zero costs us."""
    fee: Plain
    """In the currency in which it was charged."""
    fee_currency: str
    fee_value: Plain
    maker: bool
    client_order_id: str
    trip: int | None
    """The number of its round trip."""
    purpose: str | None
    signal: str | None
    regime: str | None
    tier: str | None
    strength: Plain | None
    confidence: Plain | None
    strategy: str | None
    cycle_id: int
    config_hash: str | None
    fee_expected: Plain | None
    """What the model of costs says of the fee."""
    fee_finding: str | None
    """How the fee differs from that: `dearer`, `cheaper`, or `unpriced`."""
    slippage_expected: Plain | None
    """What the model of costs says of the slippage; null without a reference price."""


class OrderRow(Row):
    """The last that execution said of one order; an order that changes moves to the end of the pages."""

    tape_sequence: int
    stored_us: int
    """When the tape took it."""
    order: Order | None
    """Null where what lies there cannot be read."""


class Line(Row):
    """One posting; above zero is a debit, below zero a credit."""

    account: str
    currency: str
    amount: Plain


class EntryRow(Row):
    """One entry of the journal; its postings sum to zero in every currency."""

    id: int
    desk: str
    venue: str
    tape_sequence: int
    message_id: str
    kind: str
    ts_us: int
    run_id: str
    cycle_id: int
    symbol: str | None
    trade_id: str | None
    client_order_id: str | None
    config_hash: str | None
    protects: str | None
    movement_id: str | None
    fee_rate: Plain | None
    fee_rate_source: str | None
    reverses: int | None
    """The entry whose lines a correction takes back."""
    chain_hash: str
    """SHA-256 over the entry before, this one and its postings."""
    postings: tuple[Line, ...]


class Group(Row):
    """The results of the round trips that have something in common; the groups sum to the whole."""

    key: str
    """What they have in common; empty where the trips have none."""
    trips: int
    edge: Plain
    slippage: Plain
    gross: Plain
    fees: Plain
    funding: Plain
    net: Plain


class Day(Row):
    """Where the result of one UTC day came from, positions that are still open included.

    `net` = `edge` - `slippage` - `fees` + `funding` + `other` = `equity_last` - `equity_first` - `transfers`, exactly.
    """

    day: date
    edge: Plain
    slippage: Plain
    fees: Plain
    """With what was charged apart from any trade."""
    funding: Plain
    other: Plain
    """Dust, and what is missing of what no evidence explains."""
    net: Plain
    transfers: Plain
    equity_first: Plain
    equity_last: Plain


R = TypeVar("R", bound=Row)


class Page(Row, Generic[R]):
    """Some rows, and how to get those after them."""

    rows: tuple[R, ...]
    next: str | None
    """What to pass as `after` for the next page; null when there has not been any row yet."""
    more: bool
    """Whether there is one already; without, ask again later."""
