"""Double entry: how an account message, a fill, a bust and a movement become postings.

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
``income:funding``         funding of perpetuals; what we receive is a credit, what we pay a debit
``expense:fees``           fees that we pay
``expense:charges``        fees that the venue charges apart from any trade; a rebate of such is a credit
``expense:dust``           remainders that the venue took or converted; what came in for them is a credit
``equity:transfers``       deposits, withdrawals and transfers: money that is neither won nor lost; and what fees are
                           paid with that lies beside the positions
``equity:trading``         the treasury's counterpart: what has been set aside from trading is a debit
``equity:treasury``        what has been set aside and is never traded with again, a credit; it lies in the same
                           ``asset`` account as all other money
``suspense:fees``          fees in a currency of which no rate was known: nobody can say yet what they cost
``suspense:drift``         what the venue holds more (a credit) or less (a debit) than any evidence explains
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

A fee in another currency of which the fill bears a rate is a sale of it, and the proceeds are paid: so what fees were
worth is in quote currency whatever they were charged in. A fee of 0.001 BTC at a rate of 110, of BTC that cost 100::

    asset:BTC          BTC    -0.001      trading:BTC-USDT   USDT   -0.1
    trading:BTC-USDT   BTC    +0.001      income:realized    USDT   -0.01
                                          expense:fees       USDT   +0.11

What moves of a spot symbol's base without an order is bought or sold at its rate, with money that has come in, or goes,
for that. 1 BTC that has cost 100 withdrawn at 110::

    asset:BTC          BTC    -1          trading:BTC-USDT   USDT -100
    trading:BTC-USDT   BTC    +1          income:realized    USDT  -10
                                          equity:transfers   USDT +110

What of a fee lies beside every position has been brought in for it, as a deposit is: nothing is realized by it, and the
clearing account of its currency against the quote currency has lines in the former alone. A fee of 0.01 BNB at a rate
of 500, where no BNB is a position::

    asset:BNB          BNB    -0.01       equity:transfers   USDT   -5
    trading:BNB-USDT   BNB    +0.01       expense:fees       USDT   +5

A fee without a rate goes to suspense in its own currency.

The fee has lines of its own, so that the price paid and the fee paid can each be read off the journal. A line of
zero is left out. A bust has the lines of its fill with every sign changed, but for what is realized without it: that
is what keeps the clearing account at the cost of the position. Nothing here rounds: an amount that the books' columns
cannot hold is refused beforehand.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, is_multiple
from tollgate_contracts.reconciliation import Account, Movement, MovementType
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import notional
from tollgate_domain.movements import Carried
from tollgate_domain.portfolio import Booking

# What a plain string on the wire and a database column of the books can hold: 20 digits before the point, 18 after.
_AMOUNT_LIMIT = Decimal(10) ** 20
_AMOUNT_STEP = Decimal(1).scaleb(-18)

OPENING = "equity:opening"
REALIZED = "income:realized"
REBATES = "income:rebates"
FUNDING = "income:funding"
FEES = "expense:fees"
TREASURY_SOURCE = "equity:trading"
TREASURY = "equity:treasury"
SUSPENSE_FEES = "suspense:fees"
SUSPENSE_DRIFT = "suspense:drift"
CHARGES = "expense:charges"
DUST = "expense:dust"
TRANSFERS = "equity:transfers"

_MOVED_TO = {
    MovementType.DEPOSIT: TRANSFERS,
    MovementType.WITHDRAWAL: TRANSFERS,
    MovementType.TRANSFER: TRANSFERS,
    MovementType.FUNDING: FUNDING,
    MovementType.DUST: DUST,
    MovementType.FEE: CHARGES,
    MovementType.REBATE: CHARGES,
    MovementType.UNEXPLAINED: SUSPENSE_DRIFT,
}

MOVED_TO_ACCOUNTS = frozenset(_MOVED_TO.values())
"""The accounts that say what a movement was."""


def asset(currency: str) -> str:
    """Return the code of the account of what we hold in ``currency``."""
    return f"asset:{currency}"


def trading(symbol: str) -> str:
    """Return the code of the clearing account of ``symbol``."""
    return f"trading:{symbol}"


def is_of_a_position(account: str) -> bool:
    """Say whether an account shows what a position has made of what came or went."""
    return account == REALIZED or account.startswith("trading:")


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
    """The venue's balances in the statement by which risk opens the account as well."""
    FILL = "fill"
    """One trade of ours."""
    BUST = "bust"
    """One trade of ours that the venue has taken back."""
    MOVEMENT = "movement"
    """Money that came or went without an order."""
    SPLIT = "split"
    """What of a result goes to the treasury."""
    CORRECTION = "correction"
    """Another entry's lines taken back, upon an operator's word."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An effect: book this. ``number`` counts the entries of the tape from 1, without a gap."""

    number: int
    kind: EntryKind
    desk: str
    venue: str
    """Of which venue's accounts the lines are: that of the opening."""
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
    """The policy under which the order was approved; null for the opening and for movements."""
    protects: str | None = None
    """Of a trade of a protective stop, the order whose position it ends."""
    movement_id: str | None = None
    fee_rate: Decimal | None = None
    """Quote currency per unit of the fee's currency; null where the fee needs none or none was known."""
    fee_rate_source: str | None = None
    reverses: int | None = None
    """The number of the entry whose lines a correction takes back."""


class AlarmReason(StrEnum):
    """Why a message could not be taken as it is; whoever is on duty has to look."""

    CONFIG_INVALID = "config_invalid"
    """The config message of our own does not say what the ledger needs; the one before stays in force."""
    CONFIG_OTHER_CURRENCY = "config_other_currency"
    """A new config would change the currency of books that are open; the one before stays in force."""
    TRADE_CONFLICT = "trade_conflict"
    """A trade id was booked or taken back before with other content; the first booking stands."""
    MOVEMENT_CONFLICT = "movement_conflict"
    """A movement id was booked before with other content; the first booking stands."""
    TRADE_TOO_OLD = "trade_too_old"
    """A fill or a bust is not remembered, and not newer than what is forgotten: it may be booked; nothing is done."""
    MOVEMENT_TOO_OLD = "movement_too_old"
    """A movement is not remembered, and not newer than what is forgotten: it may be booked; nothing is done."""
    PERPETUAL = "perpetual"
    """The opening statement has a position in a perpetual; the books, which are of spot, stay closed."""
    MOVEMENT_RATE = "movement_rate"
    """Of what came in of a symbol's base no rate is known; it is booked beside the position, and in no equity."""
    NOT_OPENED = "not_opened"
    """A fill or a bust came before the books were open: the opening balances hold it already, or nothing does."""
    FOREIGN_QUOTE = "foreign_quote"
    """A fill's symbol, or a bust's, is not quoted in the books' currency; it is not booked."""
    FEE_CURRENCY = "fee_currency"
    """Of the currency of a fill's fee, or a bust's, no rate is known; the fill is booked, and its fee in suspense."""
    OVERSOLD = "oversold"
    """A fill sells, or a bust takes back, more than the books hold; it is not booked, and the drift will show."""
    CORRECTION_REFUSED = "correction_refused"
    """A correction is not of a movement that the books hold; nothing is booked."""
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


def trade_postings(message: Fill | Bust, booking: Booking) -> tuple[Posting, ...]:
    """Return the lines of one fill or bust that the portfolio has booked so."""
    symbol, trade = message.symbol, message.trade
    base, quote = symbol.split("-")
    brings = (message.side is Side.BUY) is not isinstance(message, Bust)
    quantity, value = trade.quantity, notional(trade.price, trade.quantity)
    quantity, value = (quantity, value) if brings else (-quantity, -value)
    lines = (
        Posting(asset(base), base, quantity),
        Posting(trading(symbol), base, -quantity),
        Posting(asset(quote), quote, -value),
        Posting(trading(symbol), quote, value + booking.realized),
        Posting(REALIZED, quote, -booking.realized),
        *_fee_postings(message, booking),
    )
    return tuple(line for line in lines if line.amount)


def _fee_postings(message: Fill | Bust, booking: Booking) -> tuple[Posting, ...]:
    quote, currency = message.symbol.split("-")[1], message.trade.fee_currency
    fee = -message.trade.fee if isinstance(message, Bust) else message.trade.fee
    # By the fee as it was charged, so that a bust takes it back from where it was booked.
    paid = Posting(FEES if message.trade.fee > ZERO else REBATES, quote, booking.fee)
    if currency == quote:
        return (paid, Posting(asset(quote), quote, -fee))
    if message.fee_rate is None:
        return (Posting(asset(currency), currency, -fee), Posting(SUSPENSE_FEES, currency, fee))
    clearing = trading(f"{currency}-{quote}")
    return (
        Posting(asset(currency), currency, -fee),
        Posting(clearing, currency, fee),
        Posting(clearing, quote, -booking.share.cost),
        Posting(REALIZED, quote, -booking.share.realized),
        Posting(TRANSFERS, quote, -booking.brought_in),
        paid,
    )


def split_postings(currency: str, share: Decimal) -> tuple[Posting, ...]:
    """Return the lines that set ``share``, above zero, aside for the treasury."""
    return (Posting(TREASURY_SOURCE, currency, share), Posting(TREASURY, currency, -share))


def movement_postings(movement: Movement, carried: Carried) -> tuple[Posting, ...]:
    """Return the lines of one movement of which the portfolio has made this; none where nothing moved."""
    currency, amount, named = movement.currency, movement.amount, _MOVED_TO[movement.movement]
    lines = [Posting(asset(currency), currency, amount)]
    if carried.symbol:
        clearing, quote = trading(carried.symbol), carried.symbol.split("-")[1]
        lines += [
            Posting(clearing, currency, -carried.quantity),
            Posting(clearing, quote, carried.cost),
            Posting(REALIZED, quote, -carried.realized),
            Posting(named, quote, -carried.value),
        ]
    lines.append(Posting(named, currency, carried.quantity - amount))
    return tuple(line for line in lines if line.amount)


def moved_to(movement: MovementType) -> str:
    """Return the code of the account that says what such a movement is."""
    return _MOVED_TO[movement]
