"""The trial balance: by account code and currency the sum of all postings, and what the books say of it.

A balance above zero is a debit, so what is earned, set aside or received is below zero here and above in what is said.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tollgate_contracts.execution import Bust, Fill
from tollgate_contracts.ledger import Cash
from tollgate_contracts.money import ZERO, plain
from tollgate_domain.portfolio import Portfolio
from tollgate_ledger.core.journal import FUNDING, SUSPENSE_DRIFT, SUSPENSE_FEES, TREASURY, Posting, asset


class Balances:
    """Sums of postings; as many as there are accounts with their currencies."""

    def __init__(self) -> None:
        self._amounts: dict[tuple[str, str], Decimal] = {}
        self._charged: dict[str, Decimal] = {}

    def post(self, postings: Iterable[Posting]) -> None:
        """Add the lines of an entry."""
        for posting in postings:
            key = (posting.account, posting.currency)
            self._amounts[key] = self._amounts.get(key, ZERO) + posting.amount

    def all(self) -> dict[tuple[str, str], Decimal]:
        """Return every balance by account and currency, sorted; zeros left out."""
        return {key: amount for key, amount in sorted(self._amounts.items()) if amount}

    def of(self, account: str, currency: str) -> Decimal:
        """Return one balance; above zero is a debit."""
        return self._amounts.get((account, currency), ZERO)

    def assets(self) -> dict[str, Decimal]:
        """Return what the books hold by currency."""
        return {currency: amount for (account, currency), amount in self._amounts.items() if account == asset(currency)}

    def cash(self, portfolio: Portfolio) -> tuple[Cash, ...]:
        """Return what is held in the quote currency, and in currencies that are no position, sorted."""
        quote = portfolio.quote_currency
        amounts = {quote: ZERO, **self.assets()}
        for symbol, holding in portfolio.holdings().items():
            base = symbol.split("-")[0]
            amounts[base] = amounts.get(base, ZERO) - holding.quantity
        return tuple(
            Cash(currency=currency, amount=amounts[currency])
            for currency in sorted(amounts)
            if currency == quote or amounts[currency]
        )

    def funding(self, currency: str) -> Decimal:
        """Return the funding received, less what was paid."""
        return -self._amounts.get((FUNDING, currency), ZERO)

    def treasury(self, currency: str) -> Decimal:
        """Return what is set aside from trading."""
        return -self._amounts.get((TREASURY, currency), ZERO)

    def suspense(self) -> tuple[Cash, ...]:
        """Return what is not explained yet, sorted by currency."""
        return self._by_currency(SUSPENSE_FEES, SUSPENSE_DRIFT)

    def charge(self, trade: Fill | Bust) -> None:
        """Count a trade's fee as the venue has charged it, or, with a bust, has given it back."""
        made = trade.trade
        fee = -made.fee if isinstance(trade, Bust) else made.fee
        self._charged[made.fee_currency] = self._charged.get(made.fee_currency, ZERO) + fee

    def charged_in(self, currency: str) -> Decimal:
        """Return the fees of trades that were charged in a currency, rebates deducted."""
        return self._charged.get(currency, ZERO)

    def charged(self) -> tuple[Cash, ...]:
        """Return the fees of trades as they were charged, rebates deducted, sorted by currency.

        In the accounts they stand in the quote currency, at the rate of their entry.
        """
        return _cash_lines(self._charged)

    def _by_currency(self, *accounts: str) -> tuple[Cash, ...]:
        sums: dict[str, Decimal] = {}
        for (account, currency), amount in sorted(self._amounts.items()):
            if account in accounts:
                sums[currency] = sums.get(currency, ZERO) + amount
        return _cash_lines(sums)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "amounts": [[account, currency, plain(amount)] for (account, currency), amount in self.all().items()],
            "charged": {line.currency: plain(line.amount) for line in self.charged()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take back what ``snapshot`` returned."""
        self._amounts = {(account, currency): Decimal(amount) for account, currency, amount in state["amounts"]}
        self._charged = {currency: Decimal(amount) for currency, amount in state["charged"].items()}


def _cash_lines(amounts: dict[str, Decimal]) -> tuple[Cash, ...]:
    return tuple(Cash(currency=currency, amount=amounts[currency]) for currency in sorted(amounts) if amounts[currency])
