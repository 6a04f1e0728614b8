"""Amounts by currency: a currency of which there is nothing is not among them."""

from decimal import Decimal

from tollgate_contracts.money import ZERO, plain

Amounts = dict[str, Decimal]


def add(amounts: Amounts, currency: str, amount: Decimal) -> None:
    """Add ``amount``, which may be below zero, to what there is of ``currency``."""
    after = amounts.pop(currency, ZERO) + amount
    if after:
        amounts[currency] = after


def in_order(amounts: Amounts) -> Amounts:
    """Return the amounts sorted by currency."""
    return {currency: amounts[currency] for currency in sorted(amounts)}


def to_json(amounts: Amounts) -> dict[str, str]:
    """Return the amounts as plain strings, sorted by currency."""
    return {currency: plain(amount) for currency, amount in in_order(amounts).items()}


def from_json(state: dict[str, str]) -> Amounts:
    """Take back what ``to_json`` returned."""
    return {currency: Decimal(amount) for currency, amount in state.items()}
