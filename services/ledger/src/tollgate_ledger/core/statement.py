"""What the books say of themselves: to the tape, and to an operator who asks."""

from typing import Any

from tollgate_contracts.ledger import Cash
from tollgate_contracts.money import ZERO, plain
from tollgate_domain.portfolio import Portfolio
from tollgate_ledger.core.balances import Balances
from tollgate_ledger.core.valuation import Moment, Valuation


def books_fields(portfolio: Portfolio, valuation: Valuation, balances: Balances, moment: Moment) -> dict[str, Any]:
    """Return the fields of a books message that follow from what is booked, and from the marks."""
    quote = portfolio.quote_currency
    return {
        "cash": balances.cash(portfolio),
        "positions": valuation.positions(portfolio, moment),
        "equity": valuation.equity,
        "realized": portfolio.realized,
        "unrealized": sum(valuation.unrealized(portfolio), ZERO),
        "fees": portfolio.fees,
        "fees_by_currency": balances.charged(),
        "funding": balances.funding(quote),
        "treasury": balances.treasury(quote),
        "suspense": balances.suspense(),
        "peak_equity": valuation.peak,
        "drawdown": valuation.drawdown,
    }


def books_status(portfolio: Portfolio, valuation: Valuation, balances: Balances, moment: Moment) -> dict[str, Any]:
    """Return what an operator asks of the books, decimals as plain strings."""
    positions = valuation.positions(portfolio, moment)
    return {
        "opened": portfolio.opened,
        "cash": _amounts(balances.cash(portfolio)) if portfolio.opened else {},
        "positions": [position.model_dump(mode="json") for position in positions],
        "suspense": _amounts(balances.suspense()),
        "equity": plain(valuation.equity),
        "peak_equity": plain(valuation.peak),
        "drawdown": plain(valuation.drawdown),
        "realized": plain(portfolio.realized),
        "fees": plain(portfolio.fees),
        "treasury": plain(balances.treasury(portfolio.quote_currency)),
    }


def _amounts(lines: tuple[Cash, ...]) -> dict[str, str]:
    return {line.currency: plain(line.amount) for line in lines}
