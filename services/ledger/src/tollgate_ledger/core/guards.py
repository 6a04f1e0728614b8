"""Why a fill is not booked: a fixed order of guards, idempotency first, each answering with one reason."""

from collections.abc import Callable
from decimal import Decimal
from enum import Enum

from tollgate_contracts.execution import Fill
from tollgate_contracts.strategy import Side
from tollgate_domain.instruments import notional
from tollgate_domain.portfolio import Portfolio
from tollgate_ledger.core.journal import AlarmReason, fits
from tollgate_ledger.core.trades import Seen, Trades


class Already(Enum):
    """The one answer that is no alarm."""

    BOOKED = "booked"


Verdict = AlarmReason | Already
Guard = Callable[[Fill, Portfolio, Trades], bool]

GUARDS: tuple[tuple[Verdict, Guard], ...] = (
    (Already.BOOKED, lambda fill, _portfolio, trades: trades.look_up(fill) is Seen.SAME),
    (AlarmReason.TRADE_CONFLICT, lambda fill, _portfolio, trades: trades.look_up(fill) is Seen.CONFLICTING),
    (AlarmReason.NOT_OPENED, lambda _fill, portfolio, _trades: not portfolio.opened),
    (AlarmReason.FOREIGN_QUOTE, lambda fill, portfolio, _trades: _quote_of(fill) != portfolio.quote_currency),
    (AlarmReason.FEE_CURRENCY, lambda fill, portfolio, _trades: fill.trade.fee_currency != portfolio.quote_currency),
    (AlarmReason.UNREPRESENTABLE, lambda fill, portfolio, _trades: not all(map(fits, _largest_after(fill, portfolio)))),
    (AlarmReason.OVERSOLD, lambda fill, portfolio, _trades: _sells_more_than_held(fill, portfolio)),
)


def judge(fill: Fill, portfolio: Portfolio, trades: Trades) -> Verdict | None:
    """Return the first guard's reason why ``fill`` must not be booked, or none when it must be."""
    for verdict, applies in GUARDS:
        if applies(fill, portfolio, trades):
            return verdict
    return None


def _quote_of(fill: Fill) -> str:
    return fill.symbol.split("-")[1]


def _sells_more_than_held(fill: Fill, portfolio: Portfolio) -> bool:
    return fill.side is Side.SELL and fill.trade.quantity > portfolio.holding(fill.symbol).quantity


def _largest_after(fill: Fill, portfolio: Portfolio) -> tuple[Decimal, ...]:
    """Return the fill's value, and bounds of what the books would hold after it."""
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
