"""How one step writes: outputs numbered as they come, effects beside them."""

from decimal import Decimal
from typing import Any, TypeVar

from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Fill, Order, OrderState, Reconcile, VenueTrade
from tollgate_contracts.money import round_to_places
from tollgate_contracts.reasons import Reason
from tollgate_execution.core.effects import Effect
from tollgate_execution.core.evidence import Note
from tollgate_execution.core.record import OrderRecord

# What a message can hold after the point; a sum of products may have more.
QUOTE_PLACES = 18
TEXT_MAX = 2_000

M = TypeVar("M", bound=Message)


class Writing:
    """The outputs and effects of one step."""

    def __init__(self, sequence: int, message: Message) -> None:
        self._sequence = sequence
        self._message = message
        self._outputs: list[Message] = []
        self._effects: list[Effect] = []

    def say(self, kind: type[M], **fields: Any) -> M:
        """Add the next output and return it."""
        output = kind.caused_by(self._message, self._sequence, len(self._outputs), **fields)
        self._outputs.append(output)
        return output

    def ask(self, effect: Effect) -> None:
        """Add an effect."""
        self._effects.append(effect)

    def note(self, note: Note) -> None:
        """Say that something differed."""
        self.say(Reconcile, subject=note.subject[:TEXT_MAX], differed=note.differed[:TEXT_MAX], done=note.done)

    def fill(self, record: OrderRecord, trade: VenueTrade) -> Fill:
        """Say one trade of an order."""
        return self.say(
            Fill,
            client_order_id=record.client_order_id,
            symbol=record.approval.symbol,
            side=record.approval.side,
            trade=trade,
            config_hash=record.approval.policy_hash,
        )

    def order(self, before: OrderState, record: OrderRecord, reason: Reason | None, detail: str) -> None:
        """Say that an order has left the state ``before``."""
        approval = record.approval
        self.say(
            Order,
            client_order_id=record.client_order_id,
            venue_order_id=record.venue_order_id,
            intent_id=approval.intent_id,
            symbol=approval.symbol,
            side=approval.side,
            order_type=approval.order_type,
            time_in_force=approval.time_in_force,
            post_only=approval.post_only,
            reduce_only=approval.reduce_only,
            quantity=approval.quantity,
            limit_price=approval.limit_price,
            from_state=before,
            to_state=record.state,
            cumulative_quantity=record.booked,
            cumulative_quote=_to_wire(record.booked_quote),
            reason=reason,
            detail=detail[:TEXT_MAX],
            config_hash=approval.policy_hash,
        )

    def step(self) -> Step:
        """Return what was written."""
        return Step(tuple(self._outputs), tuple(self._effects)) if self._outputs or self._effects else NOTHING


def _to_wire(amount: Decimal) -> Decimal:
    exponent = amount.as_tuple().exponent
    fits = isinstance(exponent, int) and exponent >= -QUOTE_PLACES
    return amount if fits else round_to_places(amount, QUOTE_PLACES)
