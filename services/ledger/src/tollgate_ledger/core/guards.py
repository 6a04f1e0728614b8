"""Why a message is not booked: a fixed order of guards, idempotency first, each answering with one reason."""

from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import NamedTuple

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO, round_to_places
from tollgate_contracts.reconciliation import Movement
from tollgate_contracts.strategy import Side
from tollgate_domain.fees import AMOUNT_PLACES, charge_of
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import Portfolio
from tollgate_ledger.core.balances import Balances
from tollgate_ledger.core.journal import SUSPENSE_FEES, AlarmReason, asset, fits, moved_to
from tollgate_ledger.core.trades import Seen, Trades


class Already(Enum):
    """The answers that are no alarm."""

    BOOKED = "booked"
    """The books have it."""
    OUT = "out"
    """What is taken back was refused when it came, and is not in the books."""


class Known(NamedTuple):
    """The books as they are before a message is booked."""

    portfolio: Portfolio
    trades: Trades
    balances: Balances


Verdict = AlarmReason | Already
Trade = Fill | Bust
Guard = Callable[[Trade, Known], bool]

GUARDS: tuple[tuple[Verdict, Guard], ...] = (
    (Already.BOOKED, lambda trade, known: known.trades.look_up(trade) is Seen.SAME),
    (AlarmReason.TRADE_CONFLICT, lambda trade, known: _conflicts(trade, known.trades)),
    (Already.OUT, lambda trade, known: isinstance(trade, Bust) and known.trades.was_refused(trade)),
    (AlarmReason.TRADE_TOO_OLD, lambda trade, known: known.trades.look_up(trade) is Seen.TOO_OLD),
    (AlarmReason.NOT_OPENED, lambda _trade, known: not known.portfolio.opened),
    (AlarmReason.FOREIGN_QUOTE, lambda trade, known: _quote_of(trade) != known.portfolio.quote_currency),
    (AlarmReason.UNREPRESENTABLE, lambda trade, known: not all(map(fits, _largest_after(trade, known)))),
    (AlarmReason.OVERSOLD, lambda trade, known: _takes_more_than_held(trade, known.portfolio)),
)


def judge(trade: Trade, known: Known) -> Verdict | None:
    """Return the first guard's reason why a fill or a bust must not be booked, or none when it must be."""
    for verdict, applies in GUARDS:
        if applies(trade, known):
            return verdict
    return None


def judge_movement(movement: Movement, known: Known) -> Verdict | None:
    """Return why a movement must not be booked, or none when it must be.

    What moved before the opening statement is in it, so it is booked already.
    """
    portfolio, seen = known.portfolio, known.trades.look_up(movement)
    if seen is Seen.SAME or not portfolio.opened or movement.venue_ts_us <= portfolio.opened_us:
        return Already.BOOKED
    if seen is Seen.CONFLICTING:
        return AlarmReason.MOVEMENT_CONFLICT
    if seen is Seen.TOO_OLD:
        return AlarmReason.MOVEMENT_TOO_OLD
    return None if all(map(fits, _largest_moved(movement, known))) else AlarmReason.UNREPRESENTABLE


def _conflicts(trade: Trade, trades: Trades) -> bool:
    return trades.look_up(trade) is Seen.CONFLICTING or (isinstance(trade, Bust) and trades.booked_otherwise(trade))


def _quote_of(trade: Trade) -> str:
    return trade.symbol.split("-")[1]


def _takes_more_than_held(trade: Trade, portfolio: Portfolio) -> bool:
    if isinstance(trade, Bust):
        return trade.side is Side.BUY and trade.trade.quantity > portfolio.left_of(trade)
    return trade.side is Side.SELL and trade.trade.quantity > portfolio.holding(trade.symbol).quantity


def _largest_after(fill: Trade, known: Known) -> tuple[Decimal, ...]:
    """Return the trade's value, and bounds of what the books would hold after it."""
    portfolio, balances = known.portfolio, known.balances
    value = notional(fill.trade.price, fill.trade.quantity)
    charge, fee, currency = charge_of(fill), abs(fill.trade.fee), fill.trade.fee_currency
    bears = ZERO if charge is None else portfolio.holding(charge.symbol).cost
    paid = fee if charge is None else abs(charge.value or ZERO)
    holding, base = portfolio.holding(fill.symbol), fill.symbol.split("-")[0]
    return (
        value,
        abs(portfolio.cash) + value + paid,
        holding.quantity + fill.trade.quantity,
        holding.cost + value + paid,
        abs(portfolio.realized) + value + holding.cost + paid + bears,
        abs(portfolio.fees) + paid,
        abs(balances.of(asset(base), base)) + fill.trade.quantity + fee,
        abs(balances.of(asset(currency), currency)) + fee,
        abs(balances.of(SUSPENSE_FEES, currency)) + fee,
        abs(balances.charged_in(currency)) + fee,
    )


def _largest_moved(movement: Movement, known: Known) -> tuple[Decimal, ...]:
    """Return the amount, and what the books would hold after it, or bounds of that."""
    portfolio, balances, currency = known.portfolio, known.balances, movement.currency
    amount, counter, quote = movement.amount, moved_to(movement.movement), portfolio.quote_currency
    # A value is rounded when it is booked, and here too, so that its places are no reason.
    value = ZERO if movement.rate is None else round_to_places(notional(movement.rate, amount), AMOUNT_PLACES)
    value = amount if currency == quote else value
    cost = abs(portfolio.holding(f"{currency}-{quote}").cost)
    return (
        amount,
        balances.of(asset(currency), currency) + amount,
        balances.of(counter, currency) - amount,
        balances.of(counter, quote) - value,
        abs(portfolio.moved + value) + cost,
        abs(portfolio.realized) + cost + (ZERO if currency == quote else abs(value)),
    )
