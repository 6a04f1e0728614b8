"""What the ledger says: the state of the books, and where they differ from the venue."""

from typing import Literal

from tollgate_contracts.envelope import Currency, Hash, Message, Sequence, Symbol, Value
from tollgate_contracts.money import Amount, NonNegative, Price


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
    unrealized: Amount


class Books(Message):
    """The books after the message ``as_of``: amounts in the desk's quote currency."""

    writer: Literal["ledger"] = "ledger"
    kind: Literal["books"] = "books"
    version: Literal[1] = 1
    as_of: Sequence
    cash: tuple[Cash, ...]
    positions: tuple[Position, ...]
    equity: Amount
    realized: Amount
    """Before fees."""
    unrealized: Amount
    fees: Amount
    peak_equity: Amount
    drawdown: NonNegative
    """Fall from the peak, in quote currency."""
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
