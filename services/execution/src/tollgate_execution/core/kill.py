"""What the kill switch lets through: while it is engaged no trade, and at its last level what closes positions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.approval import Approval, Scope
from tollgate_contracts.money import ZERO, plain
from tollgate_contracts.risk import KillLevel
from tollgate_contracts.strategy import Side
from tollgate_domain.portfolio import Portfolio
from tollgate_execution.core.record import OrderRecord


@dataclass(frozen=True, slots=True)
class Kill:
    """The kill switch as the tape has it."""

    engaged: bool = False
    level: KillLevel = KillLevel.HALT
    epoch: int = 0


def held_back(approval: Approval, kill: Kill, reducible: Decimal) -> Iterator[str]:
    """Say why the switch holds back an order; ``reducible`` is what may be taken off by our own count."""
    if approval.kill_epoch != kill.epoch:
        yield f"kill epoch {approval.kill_epoch}, expected {kill.epoch}"
    if approval.scope is Scope.TRADE:
        if kill.engaged:
            yield f"the kill switch is engaged, epoch {kill.epoch}"
        return
    if not kill.engaged or kill.level is not KillLevel.FLATTEN:
        yield "it would close a position, and the kill switch does not say so"
    if not approval.reduce_only:
        yield "it would close a position, and is not reduce-only"
    if approval.quantity > reducible:
        yield f"it would take off {plain(approval.quantity)}, at most {plain(reducible)} may be"


def reducible_by(
    portfolio: Portfolio | None, orders: Iterable[OrderRecord], symbol: str, side: Side, *, but: str
) -> Decimal:
    """Return how much an order of ``side`` may take off what is held: less what open orders may still take off.

    In base currency; the order ``but`` does not count, and no protective stop, which is taken back first. Zero where
    we do not know of anything to be taken off.
    """
    held = ZERO if portfolio is None else portfolio.holding(symbol).quantity
    if side is not (Side.SELL if held > ZERO else Side.BUY):
        return ZERO
    promised = ZERO
    for order in orders:
        is_other = order.client_order_id != but and order.protects is None
        if is_other and (order.approval.symbol, order.placing.side) == (symbol, side):
            promised += outstanding(order)
    return max(abs(held) - promised, ZERO)


def outstanding(order: OrderRecord) -> Decimal:
    """Return how much an order may still fill, as far as we know; base currency."""
    traded = order.said if order.is_over else max(order.quantity, order.said)
    return max(traded - order.booked, ZERO)
