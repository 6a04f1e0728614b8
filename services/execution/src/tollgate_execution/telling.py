"""What execution tells in its log and its metrics of what it says on the tape, and of what it holds."""

from collections.abc import Sequence

from tollgate_chassis.telemetry.logs import logger
from tollgate_chassis.telemetry.metrics import execution as metrics
from tollgate_contracts.envelope import Message
from tollgate_contracts.execution import Fill, Order, OrderState, Refusal
from tollgate_contracts.reconciliation import Reconcile
from tollgate_execution.core import Watch
from tollgate_execution.core.record import OrderRecord
from tollgate_execution.core.safety import is_escalated

_US_PER_S = 1_000_000


def tell(output: Message) -> None:
    """Tell of an output that was not told of before."""
    match output:
        case Order():
            logger().info(
                "order.state",
                client_order_id=output.client_order_id,
                symbol=output.symbol,
                cycle_id=output.cycle_id,
                outcome=output.to_state.value.lower(),
                reason=output.reason and output.reason.value,
            )
        case Fill():
            metrics.FILLS.labels(output.symbol, output.side.value).inc()
            logger().info(
                "order.fill",
                client_order_id=output.client_order_id,
                symbol=output.symbol,
                cycle_id=output.cycle_id,
                outcome=output.side.value.lower(),
            )
        case Refusal():
            for code in output.codes:
                metrics.REFUSALS.labels(code.value).inc()
            logger().warning(
                "approval.refused",
                client_order_id=output.client_order_id,
                cycle_id=output.cycle_id,
                outcome=output.codes[0].value,
                detail=output.detail,
            )
        case Reconcile():
            logger().warning(
                "reconcile.mismatch",
                outcome=output.repair.value.lower(),
                difference=output.difference.value.lower(),
                subject=output.subject,
                detail=output.differed,
            )
        case _:
            pass


def measure_orders(active: Sequence[OrderRecord], watch: Watch, now_us: int) -> None:
    """Show how many orders nobody knows the outcome of, for how long, and how many want an operator."""
    unknown = [record.since_us for record in active if record.state is OrderState.UNKNOWN]
    metrics.OPEN_ORDERS.set(len(active))
    metrics.UNKNOWN_ORDERS.set(len(unknown))
    metrics.UNKNOWN_AGE_SECONDS.set(max(now_us - min(unknown, default=now_us), 0) / _US_PER_S)
    metrics.ESCALATED_ORDERS.set(sum(is_escalated(record, watch) for record in active))
