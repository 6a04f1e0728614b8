"""What is asked of the venue for a submit: the order in the adapter's words."""

from tollgate_contracts.strategy import TimeInForce
from tollgate_execution.core import Submit
from tollgate_execution.core.placing import Leg
from tollgate_venues.adapter import VenueOrder


def order_of(submit: Submit) -> VenueOrder:
    """Return the order, or the stop that protects it, as this attempt places it."""
    approval, placing = submit.approval, submit.placing
    is_own = placing.leg is Leg.ORDER
    return VenueOrder(
        client_order_id=placing.venue_id,
        symbol=approval.symbol,
        side=placing.side,
        order_type=approval.order_type,
        quantity=placing.quantity,
        limit_price=placing.limit_price,
        # A protective order rests until it is taken back, whatever the order that it protects was.
        time_in_force=approval.time_in_force if is_own else TimeInForce.GTC,
        post_only=approval.post_only and is_own,
        reduce_only=approval.reduce_only or not is_own,
        trigger_price=placing.trigger_price,
    )
