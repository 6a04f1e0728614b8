"""The one order that a symbol may have outstanding, from intent to the last fill."""

from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.execution import TERMINAL_STATES, Order, OrderState
from tollgate_contracts.money import ZERO, Exact
from tollgate_contracts.strategy import Side

# Nothing traded and nothing will: asking again at once would only be told the same.
_FRUITLESS = frozenset({OrderState.REJECTED, OrderState.EXPIRED})


@dataclass(slots=True)
class Working:
    """An intent that is not answered, or an order that is not over; quantities in base currency."""

    client_order_id: str
    intent_id: str
    side: Side
    quantity: Exact
    """At most this much trades; once the order is over, as much as did."""
    price: Exact
    decision_id: str | None = None
    """Risk's approval, once given."""
    state: OrderState | None = None
    filled: Exact = ZERO

    def follow(self, message: Order) -> None:
        """Apply a change of the order's state."""
        if self.state in TERMINAL_STATES:
            return
        self.state = message.to_state
        if message.to_state in TERMINAL_STATES:
            self.quantity = message.cumulative_quantity

    def unfill(self, quantity: Decimal) -> None:
        """Take back what the venue has taken back."""
        self.filled = max(self.filled - quantity, ZERO)

    @property
    def over(self) -> bool:
        """Whether the order is over and every fill of it is here."""
        return self.state in TERMINAL_STATES and self.filled >= self.quantity

    @property
    def fruitless(self) -> bool:
        """Whether the order came to nothing."""
        return self.state in _FRUITLESS and not self.filled

    @property
    def promised_cash(self) -> Decimal:
        """What a buy may still cost, in quote currency before fees."""
        if self.side is Side.SELL:
            return ZERO
        return max(self.quantity - self.filled, ZERO) * self.price
