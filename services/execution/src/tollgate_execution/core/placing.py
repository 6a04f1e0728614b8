"""One order as it is asked of the venue: what the approval allows, or less of it, or at a better price.

An approval may be placed more than once, one after the other. Each placing is an attempt with an id of its own at
the venue, derived from the order's, so that whoever reads the tape can name it too.
"""

import hashlib
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum, unique
from typing import Any, Self

from tollgate_contracts.approval import Approval
from tollgate_contracts.money import plain
from tollgate_contracts.strategy import Side

_DIGITS = 30


@unique
class Leg(StrEnum):
    """Which of an approval's orders it is; at the venue at most one of each leg is live."""

    ORDER = "ORDER"
    """The order itself."""
    PROTECTION = "PROTECTION"
    """A stop that protects what the order has filled."""


def attempt_id(client_order_id: str, attempt: int) -> str:
    """Return the id by which the venue knows an attempt of an order; the first is known by the order's own."""
    if attempt == 1:
        return client_order_id
    return f"tg{hashlib.sha256(f'{client_order_id}:{attempt}'.encode()).hexdigest()[:_DIGITS]}"


@dataclass(frozen=True, slots=True)
class Placing:
    """What is asked of the venue; quantity in base currency, prices in quote currency."""

    client_order_id: str
    """By which we know the order, whatever the attempt."""
    venue_id: str
    """By which the venue knows this attempt."""
    leg: Leg
    attempt: int
    side: Side
    quantity: Decimal
    limit_price: Decimal | None
    until_us: int
    """Nothing of it is sent at or after it: the approval's expiry, but for a protective order."""
    trigger_price: Decimal | None = None

    @classmethod
    def of(cls, approval: Approval) -> Self:
        """Return the first placing of an approval, exactly as approved."""
        own = approval.client_order_id
        quantity, limit_price = approval.quantity, approval.limit_price
        return cls(own, own, Leg.ORDER, 1, approval.side, quantity, limit_price, approval.expires_us)

    def next(self, limit_price: Decimal) -> Self:
        """Return the next attempt of the same order, at another price."""
        attempt = self.attempt + 1
        venue_id = attempt_id(self.client_order_id, attempt)
        return replace(self, venue_id=venue_id, attempt=attempt, limit_price=limit_price)

    def to_json(self) -> dict[str, Any]:
        """Return the placing as JSON-ready values."""
        return {
            "client_order_id": self.client_order_id,
            "venue_id": self.venue_id,
            "leg": self.leg.value,
            "attempt": self.attempt,
            "side": self.side.value,
            "quantity": plain(self.quantity),
            "limit_price": None if self.limit_price is None else plain(self.limit_price),
            "until_us": self.until_us,
            "trigger_price": None if self.trigger_price is None else plain(self.trigger_price),
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Self:
        """Take back what ``to_json`` returned."""
        limit_price, trigger_price = state["limit_price"], state["trigger_price"]
        return cls(
            client_order_id=state["client_order_id"],
            venue_id=state["venue_id"],
            leg=Leg(state["leg"]),
            attempt=state["attempt"],
            side=Side(state["side"]),
            quantity=Decimal(state["quantity"]),
            limit_price=None if limit_price is None else Decimal(limit_price),
            until_us=state["until_us"],
            trigger_price=None if trigger_price is None else Decimal(trigger_price),
        )
