"""What the ledger says: the state of the books, where they differ from the venue, and what an operator corrects."""

from typing import Annotated, Literal

from pydantic import Field

from tollgate_contracts.envelope import Currency, Hash, Identifier, Message, Sequence, Symbol, Text, TimeUs, Value
from tollgate_contracts.money import Amount, NonNegative, Price
from tollgate_contracts.reconciliation import MovementType


class Cash(Value):
    """What the books hold in one currency."""

    currency: Currency
    amount: Amount


class Position(Value):
    """What the books hold of one symbol; long only, so the quantity is never negative."""

    symbol: Symbol
    quantity: NonNegative
    cost: Amount
    """What the quantity cost in all, in quote currency, fees not included."""
    mark: Price | None
    """Mid of the last quote; null before the first."""
    mark_us: TimeUs | None
    """The venue's time of that quote."""
    stale: bool
    """Whether the mark is older than the ledger is set to trust, by tape time, or there is none."""
    unrealized: Amount


class Books(Message):
    """The books after the message ``as_of``: amounts in the desk's quote currency."""

    writer: Literal["ledger"] = "ledger"
    kind: Literal["books"] = "books"
    version: Literal[2] = 2
    as_of: Sequence
    cash: tuple[Cash, ...]
    positions: tuple[Position, ...]
    equity: Amount
    realized: Amount
    """Before fees."""
    unrealized: Amount
    fees: Amount
    """In all, at the rates at which they were booked."""
    fees_by_currency: tuple[Cash, ...]
    """As they were charged, rebates deducted, sorted."""
    funding: Amount
    """Above zero was received."""
    treasury: Amount
    """What of the cash is set aside from trading."""
    suspense: tuple[Cash, ...]
    """What is not explained yet, by currency: above zero is gone, below zero is there without a reason."""
    peak_equity: Amount
    drawdown: NonNegative
    """Fall from the peak, in quote currency."""
    cost_model: Hash
    """Fingerprint of the model of costs in force."""
    config_hash: Hash


class Drift(Message):
    """The books and the venue differ in one currency, and it has stayed so; a difference of zero ends it."""

    writer: Literal["ledger"] = "ledger"
    kind: Literal["drift"] = "drift"
    version: Literal[1] = 1
    currency: Currency
    books: Amount
    venue: Amount
    difference: Amount
    """Venue minus books."""


class Line(Value):
    """One line of an entry in the books; above zero is a debit, below zero a credit."""

    account: Annotated[str, Field(pattern=r"^[a-z]+:[A-Za-z0-9-]{1,32}$")]
    currency: Currency
    amount: Amount


class Correction(Message):
    """An operator has the entry of a movement taken back, and the movement booked under another name."""

    writer: Literal["ledger"] = "ledger"
    kind: Literal["correction"] = "correction"
    version: Literal[1] = 1
    entry: Annotated[int, Field(ge=1)]
    """The number of the entry that is taken back."""
    lines: Annotated[tuple[Line, ...], Field(min_length=2, max_length=6)]
    """As the entry has them, what is held, what it is called and what a position has made of it: the journal is in
    nobody's memory."""
    movement_id: Identifier
    """Of the movement that the entry has booked."""
    symbol: Symbol | None
    """Of funding, the perpetual."""
    booked_as: MovementType
    """What it is booked as from here on."""
    actor: Text
    """The token's name, and who its holder says they are."""
    reason: Text
