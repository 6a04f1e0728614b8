"""Double entry: how an account message and a fill become postings.

The law: **the postings of an entry sum to zero in every currency that they touch.** An amount above zero is a
debit, one below zero a credit. The accounts, each kept per currency:

=========================  =====================================================================================
``asset:<currency>``       what we hold of the currency at the venue
``equity:opening``         where the opening balances came from
``trading:<symbol>``       clearing between the symbol's two currencies. In base currency it mirrors what trading
                           has brought in (below zero) or sold out of the opening balance (above zero); in quote
                           currency its balance is exactly the cost of the position now held
``income:realized``        result of sales before fees; a profit is a credit, a loss a debit
``income:rebates``         fees below zero, which the venue pays us
``expense:fees``           fees that we pay
=========================  =====================================================================================

Buying 0.5 BTC at 100 USDT with a fee of 0.1 USDT::

    asset:BTC          BTC    +0.5        asset:USDT         USDT  -50
    trading:BTC-USDT   BTC    -0.5        trading:BTC-USDT   USDT  +50
                                          expense:fees       USDT   +0.1
                                          asset:USDT         USDT   -0.1

Selling half of it at 120 USDT, free of fees, realizes 30 - 25 = 5 USDT::

    asset:BTC          BTC    -0.25       asset:USDT         USDT  +30
    trading:BTC-USDT   BTC    +0.25       trading:BTC-USDT   USDT  -25
                                          income:realized    USDT   -5

The fee has lines of its own, so that the price paid and the fee paid can each be read off the journal. A line of
zero is left out. Nothing here rounds: an amount that the books' columns cannot hold is refused beforehand.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tollgate_contracts.execution import Account, Fill
from tollgate_contracts.money import ZERO, is_multiple
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import notional

# What a plain string on the wire and a database column of the books can hold: 20 digits before the point, 18 after.
_AMOUNT_LIMIT = Decimal(10) ** 20
_AMOUNT_STEP = Decimal(1).scaleb(-18)

OPENING = "equity:opening"
REALIZED = "income:realized"
REBATES = "income:rebates"
FEES = "expense:fees"


def asset(currency: str) -> str:
    """Return the code of the account of what we hold in ``currency``."""
    return f"asset:{currency}"


def trading(symbol: str) -> str:
    """Return the code of the clearing account of ``symbol``."""
    return f"trading:{symbol}"


def fits(amount: Decimal) -> bool:
    """Say whether books and wire can hold ``amount`` without losing a digit."""
    return abs(amount) < _AMOUNT_LIMIT and is_multiple(amount, _AMOUNT_STEP)


@dataclass(frozen=True, slots=True)
class Posting:
    """One line of an entry; above zero is a debit, below zero a credit, zero is not a posting."""

    account: str
    currency: str
    amount: Decimal


class EntryKind(StrEnum):
    """What an entry books."""

    OPENING = "opening"
    """The venue's balances in the first account message."""
    FILL = "fill"
    """One trade of ours."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An effect: book this. ``number`` counts the entries of the tape from 1, without a gap."""

    number: int
    kind: EntryKind
    tape_sequence: int
    message_id: str
    ts_us: int
    run_id: str
    cycle_id: int
    postings: tuple[Posting, ...]
    symbol: str | None = None
    trade_id: str | None = None
    client_order_id: str | None = None
    config_hash: str | None = None
    """The policy under which the order was approved; null for the opening."""


class AlarmReason(StrEnum):
    """Why a message could not be taken as it is; whoever is on duty has to look."""

    CONFIG_INVALID = "config_invalid"
    """The config message of our own does not say what the ledger needs; the one before stays in force."""
    CONFIG_OTHER_CURRENCY = "config_other_currency"
    """A new config would change the currency of books that are open; the one before stays in force."""
    TRADE_CONFLICT = "trade_conflict"
    """A trade id was booked before with other content; the first booking stands."""
    NOT_OPENED = "not_opened"
    """A fill came before any account message: the opening balances hold it already, or nothing does."""
    FOREIGN_QUOTE = "foreign_quote"
    """A fill's symbol is not quoted in the books' currency; it is not booked."""
    FEE_CURRENCY = "fee_currency"
    """A fill's fee is not in the books' currency; it is not booked."""
    OVERSOLD = "oversold"
    """A fill sells more than the books hold; it is not booked, and the drift against the venue will show."""
    UNREPRESENTABLE = "unrepresentable"
    """An amount has more digits than books and wire can hold; nothing was rounded and nothing booked."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An effect: tell the operator that this message was not taken as it is."""

    reason: AlarmReason
    tape_sequence: int
    message_id: str
    detail: str


def held(account: Account) -> dict[str, Decimal]:
    """Return what the venue holds for us by currency, free and locked together."""
    return {balance.currency: balance.free + balance.locked for balance in account.balances}


def opening_postings(account: Account) -> tuple[Posting, ...]:
    """Return the lines that open the books with ``account``'s balances; none where all are zero."""
    lines: list[Posting] = []
    for currency, amount in sorted(held(account).items()):
        if amount:
            lines += (Posting(asset(currency), currency, amount), Posting(OPENING, currency, -amount))
    return tuple(lines)


def fill_postings(fill: Fill, realized: Decimal) -> tuple[Posting, ...]:
    """Return the lines of one fill; ``realized`` is its result before fees, in quote currency, zero for a buy."""
    base, quote = fill.symbol.split("-")
    sign = 1 if fill.side is Side.BUY else -1
    quantity = sign * fill.trade.quantity
    value = sign * notional(fill.trade.price, fill.trade.quantity)
    fee = fill.trade.fee
    lines = (
        Posting(asset(base), base, quantity),
        Posting(trading(fill.symbol), base, -quantity),
        Posting(asset(quote), quote, -value),
        Posting(trading(fill.symbol), quote, value + realized),
        Posting(REALIZED, quote, -realized),
        Posting(FEES if fee > ZERO else REBATES, quote, fee),
        Posting(asset(quote), quote, -fee),
    )
    return tuple(line for line in lines if line.amount)
