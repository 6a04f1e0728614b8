"""Why a message is not booked: a fixed order of guards, idempotency first, each answering with one reason."""

from collections.abc import Callable
from decimal import Decimal
from enum import Enum

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.reconciliation import Movement
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import Portfolio
from tollgate_ledger.core.journal import AlarmReason, fits
from tollgate_ledger.core.trades import Seen, Trades


class Already(Enum):
    """The one answer that is no alarm."""

    BOOKED = "booked"


Verdict = AlarmReason | Already
Trade = Fill | Bust
Guard = Callable[[Trade, Portfolio, Trades], bool]

GUARDS: tuple[tuple[Verdict, Guard], ...] = (
    (Already.BOOKED, lambda trade, _portfolio, trades: trades.look_up(trade) is Seen.SAME),
    (AlarmReason.TRADE_CONFLICT, lambda trade, _portfolio, trades: _conflicts(trade, trades)),
    (AlarmReason.NOT_OPENED, lambda _trade, portfolio, _trades: not portfolio.opened),
    (AlarmReason.FOREIGN_QUOTE, lambda trade, portfolio, _trades: _quote_of(trade) != portfolio.quote_currency),
    (AlarmReason.FEE_CURRENCY, lambda trade, portfolio, _trades: trade.trade.fee_currency != portfolio.quote_currency),
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
    takes = (trade.side is Side.SELL) is not isinstance(trade, Bust)
    return takes and trade.trade.quantity > portfolio.holding(trade.symbol).quantity


def _is_representable(trade: Trade, portfolio: Portfolio) -> bool:
    return all(map(fits, _largest_after(trade, portfolio)))


def _largest_after(fill: Trade, portfolio: Portfolio) -> tuple[Decimal, ...]:
    """Return the trade's value, and bounds of what the books would hold after it."""
    value = notional(fill.trade.price, fill.trade.quantity)
    fee = abs(fill.trade.fee)
    holding = portfolio.holding(fill.symbol)
    return (
        value,
        abs(portfolio.cash) + value + fee,
        holding.quantity + fill.trade.quantity,
        holding.cost + value,
        abs(portfolio.realized) + value + holding.cost,
        abs(portfolio.fees) + fee,
    )
