"""How one step writes: outputs numbered as they come, effects beside them."""

from decimal import Decimal
from typing import Any, TypeVar

from tollgate_contracts.core import NOTHING, Step
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Bust, Fill, Order, OrderState, VenueTrade
from tollgate_contracts.money import round_to_places
from tollgate_contracts.reasons import Reason
from tollgate_contracts.reconciliation import Reconcile
from tollgate_contracts.strategy import TimeInForce
from tollgate_execution.core.effects import Effect
from tollgate_execution.core.fee_rates import FeeRate
from tollgate_execution.core.placing import Leg
from tollgate_execution.core.record import OrderRecord
from tollgate_execution.core.trades import Note

# What a message can hold after the point; a sum of products may have more.
QUOTE_PLACES = 18
TEXT_MAX = 2_000

M = TypeVar("M", bound=Message)


class Writing:
    """The outputs and effects of one step."""

    def __init__(self, sequence: int, message: Message) -> None:
        self.sequence = sequence
        self.message = message
        self.outputs: list[Message] = []
        self._effects: list[Effect] = []

    def say(self, kind: type[M], **fields: Any) -> M:
        """Add the next output and return it."""
        output = kind.caused_by(self.message, self.sequence, len(self.outputs), **fields)
        self.outputs.append(output)
        return output

    def ask(self, effect: Effect) -> None:
        """Add an effect."""
        self._effects.append(effect)

    def note(self, note: Note) -> None:
        """Say that something differed."""
        self.say(
            Reconcile,
            subject=note.subject[:TEXT_MAX],
            difference=note.difference,
            differed=note.differed[:TEXT_MAX],
            evidence=(note.evidence or self.message.id)[:TEXT_MAX],
            repair=note.repair,
            detail=note.detail[:TEXT_MAX],
        )

    def fill(self, record: OrderRecord, trade: VenueTrade, fee_rate: FeeRate | None) -> Fill:
        """Say one trade of an order."""
        return self._trade(Fill, record, trade, fee_rate)

    def bust(self, record: OrderRecord, trade: VenueTrade) -> Bust:
        """Say that the fill of one trade of ``record`` is undone."""
        return self._trade(Bust, record, trade, record.fee_rate_of(trade.trade_id))

    def _trade(self, kind: type[M], record: OrderRecord, trade: VenueTrade, fee_rate: FeeRate | None) -> M:
        return self.say(
            kind,
            client_order_id=record.client_order_id,
            symbol=record.approval.symbol,
            side=record.placing.side,
            trade=trade,
            fee_rate=None if fee_rate is None else fee_rate.rate,
            fee_rate_source="" if fee_rate is None else fee_rate.source,
            config_hash=record.approval.policy_hash,
        )

    def order(self, before: OrderState, record: OrderRecord, reason: Reason | None, detail: str) -> None:
        """Say that an order has left the state ``before``."""
        approval, placing = record.approval, record.placing
        is_own = placing.leg is Leg.ORDER
        self.say(
            Order,
            client_order_id=record.client_order_id,
            attempt=placing.attempt,
            protects=record.protects,
            venue_order_id=record.venue_order_id,
            intent_id=approval.intent_id,
            symbol=approval.symbol,
            side=placing.side,
            order_type=approval.order_type,
            # A protective order rests until it is taken back, whatever the order that it protects was.
            time_in_force=approval.time_in_force if is_own else TimeInForce.GTC,
            post_only=approval.post_only and is_own,
            reduce_only=approval.reduce_only or not is_own,
            quantity=placing.quantity,
            limit_price=placing.limit_price,
            trigger_price=placing.trigger_price,
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
        return Step(tuple(self.outputs), tuple(self._effects)) if self.outputs or self._effects else NOTHING


def _to_wire(amount: Decimal) -> Decimal:
    exponent = amount.as_tuple().exponent
    fits = isinstance(exponent, int) and exponent >= -QUOTE_PLACES
    return amount if fits else round_to_places(amount, QUOTE_PLACES)
