"""Why a message is not booked: a fixed order of guards, idempotency first, each answering with one reason."""

from collections.abc import Callable
from decimal import Decimal
from enum import Enum

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.money import ZERO
from tollgate_contracts.reconciliation import Movement
from tollgate_contracts.strategy import Side
from tollgate_domain.fees import charge_of
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import Portfolio
from tollgate_ledger.core.journal import AlarmReason, fits
from tollgate_ledger.core.trades import Seen, Trades


class Already(Enum):
    """The answers that are no alarm."""

    BOOKED = "booked"
    """The books have it."""
    OUT = "out"
    """What is taken back was refused when it came, and is not in the books."""


Verdict = AlarmReason | Already
Trade = Fill | Bust
Guard = Callable[[Trade, Portfolio, Trades], bool]

GUARDS: tuple[tuple[Verdict, Guard], ...] = (
    (Already.BOOKED, lambda trade, _portfolio, trades: trades.look_up(trade) is Seen.SAME),
    (AlarmReason.TRADE_CONFLICT, lambda trade, _portfolio, trades: _conflicts(trade, trades)),
    (Already.OUT, lambda trade, _portfolio, trades: isinstance(trade, Bust) and trades.was_refused(trade)),
    (AlarmReason.NOT_OPENED, lambda _trade, portfolio, _trades: not portfolio.opened),
    (AlarmReason.FOREIGN_QUOTE, lambda trade, portfolio, _trades: _quote_of(trade) != portfolio.quote_currency),
    (AlarmReason.UNREPRESENTABLE, lambda trade, portfolio, _trades: not _is_representable(trade, portfolio)),
    (AlarmReason.OVERSOLD, lambda trade, portfolio, _trades: _takes_more_than_held(trade, portfolio)),
)


def judge(trade: Trade, portfolio: Portfolio, trades: Trades) -> Verdict | None:
    """Return the first guard's reason why a fill or a bust must not be booked, or none when it must be."""
    for verdict, applies in GUARDS:
        if applies(trade, portfolio, trades):
            return verdict
    return None


def judge_movement(movement: Movement, portfolio: Portfolio, trades: Trades) -> Verdict | None:
    """Return why a movement must not be booked, or none when it must be.

    What moved before the opening statement is in it, so it is booked already.
    """
    seen = trades.look_up(movement)
    if seen is Seen.SAME or not portfolio.opened or movement.venue_ts_us <= portfolio.opened_us:
        return Already.BOOKED
    if seen is Seen.CONFLICTING:
        return AlarmReason.MOVEMENT_CONFLICT
    sums = (movement.amount, abs(portfolio.cash) + abs(movement.amount), abs(portfolio.moved) + abs(movement.amount))
    return None if all(map(fits, sums)) else AlarmReason.UNREPRESENTABLE


def _conflicts(trade: Trade, trades: Trades) -> bool:
    return trades.look_up(trade) is Seen.CONFLICTING or (isinstance(trade, Bust) and trades.booked_otherwise(trade))


def _quote_of(trade: Trade) -> str:
    return trade.symbol.split("-")[1]


def _takes_more_than_held(trade: Trade, portfolio: Portfolio) -> bool:
    if isinstance(trade, Bust):
        return trade.side is Side.BUY and trade.trade.quantity > portfolio.left_of(trade)
    return trade.side is Side.SELL and trade.trade.quantity > portfolio.holding(trade.symbol).quantity


def _is_representable(trade: Trade, portfolio: Portfolio) -> bool:
    return all(map(fits, _largest_after(trade, portfolio)))


def _largest_after(fill: Trade, portfolio: Portfolio) -> tuple[Decimal, ...]:
    """Return the trade's value, and bounds of what the books would hold after it."""
    value = notional(fill.trade.price, fill.trade.quantity)
    charge, fee = charge_of(fill), abs(fill.trade.fee)
    bears = ZERO if charge is None else portfolio.holding(charge.symbol).cost
    beside = ZERO if charge is None else abs(portfolio.beside(charge.currency)) + fee
    paid = fee if charge is None else abs(charge.value or ZERO)
    holding = portfolio.holding(fill.symbol)
    return (
        value,
        abs(portfolio.cash) + value + paid,
        holding.quantity + fill.trade.quantity,
        holding.cost + value + paid,
        abs(portfolio.realized) + value + holding.cost + paid + bears,
        abs(portfolio.fees) + paid,
        beside,
    )
