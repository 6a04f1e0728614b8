"""Orders that were approved and are not over, and what each holds in reserve.

The law of this module: an order holds its reservation from the approval until execution has said both that it is
over and every fill that belongs to it. What is not known counts in full: an approval that execution has not
answered, an order in UNKNOWN, and a finished order whose fills are still to come.

A protective stop holds none. It sells only what its entry has bought, and execution takes it back before any other
order that sells the same: whoever counted both would count one holding twice.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from tollgate_contracts.execution import TERMINAL_STATES, Bust, Fill, Order, OrderState, Refusal
from tollgate_contracts.money import ZERO, Exact
from tollgate_contracts.strategy import Purpose, Side


@dataclass(slots=True)
class OpenOrder:
    """One order that may still trade, or whose fills are not all here; quantities in base currency."""

    client_order_id: str
    decision_id: str
    symbol: str
    side: Side
    quantity: Exact
    """At most this much trades; once the order is over, as much as did."""
    price: Exact
    """The bound: no buy pays more, no sale takes less."""
    state: OrderState | None = None
    """What execution said last; none while it has not answered."""
    filled: Exact = ZERO
    reducing: bool = False
    """Let through because it can only make the position smaller; no later order may take that from under it."""
    purpose: Purpose | None = None
    """What the intent said; none for an order that was not approved here."""
    strategy: str = ""
    """Whose intent it was; empty for none."""

    @property
    def remaining(self) -> Decimal:
        """What may still come as fills."""
        left = self.quantity - self.filled
        return max(ZERO, left)

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in TERMINAL_STATES and self.filled >= self.quantity


@dataclass(slots=True)
class OpenOrders:
    """The open orders of the account; few at any time, so sums are computed when asked for."""

    by_id: dict[str, OpenOrder] = field(default_factory=dict)
    """By client order id."""
    protective: dict[str, OpenOrder] = field(default_factory=dict)
    """Stops that rest at the venue, by their own client order id; they reserve nothing."""

    def __len__(self) -> int:
        return len(self.by_id)

    def add(self, order: OpenOrder) -> None:
        """Take an order in, with all it reserves."""
        self.by_id[order.client_order_id] = order

    def follow(self, message: Order) -> None:
        """Apply a change of state; an order that was never approved here is taken in, for its risk is as real."""
        orders = self.by_id if message.protects is None else self.protective
        order = orders.get(message.client_order_id)
        if order is None:
            if message.to_state in TERMINAL_STATES:
                return
            order = _unapproved(message)
            orders[message.client_order_id] = order
        if order.state in TERMINAL_STATES:
            return
        order.state = message.to_state
        over = message.to_state in TERMINAL_STATES
        order.quantity = message.cumulative_quantity if over else min(order.quantity, message.quantity)
        self._drop_if_over(order)

    def fill(self, message: Fill) -> None:
        """Count a fill against its order."""
        order = self._find(message.client_order_id)
        if order is not None:
            order.filled += message.trade.quantity
            self._drop_if_over(order)

    def unfill(self, message: Bust) -> None:
        """Take a fill back from its order, where that is still open."""
        order = self._find(message.client_order_id)
        if order is not None:
            order.filled = max(order.filled - message.trade.quantity, ZERO)

    def purpose_of(self, client_order_id: str) -> Purpose | None:
        """Return what an open order is for; none where that, or the order, is not known."""
        order = self._find(client_order_id)
        return None if order is None else order.purpose

    def refuse(self, message: Refusal) -> OpenOrder | None:
        """Release an approval that execution would not act upon, and return it.

        A refusal of another decision that names the same order, such as a replayed approval, releases nothing.
        """
        order = self.by_id.get(message.client_order_id)
        if order is None or order.state is not None or order.decision_id != message.decision_id:
            return None
        return self.by_id.pop(message.client_order_id)

    def _find(self, client_order_id: str) -> OpenOrder | None:
        return self.by_id.get(client_order_id) or self.protective.get(client_order_id)

    def _drop_if_over(self, order: OpenOrder) -> None:
        if order.over:
            self.by_id.pop(order.client_order_id, None)
            self.protective.pop(order.client_order_id, None)


def _unapproved(message: Order) -> OpenOrder:
    # Only a market order has no price, and none reaches a venue without a bound; what it may cost is then taken from
    # the mark.
    return OpenOrder(
        client_order_id=message.client_order_id,
        decision_id="",
        symbol=message.symbol,
        side=message.side,
        quantity=message.quantity,
        price=message.limit_price or ZERO,
        purpose=None if message.protects is None else Purpose.STOP,
    )
