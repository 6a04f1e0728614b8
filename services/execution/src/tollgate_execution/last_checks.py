"""The last look before the first byte leaves: what may have changed since the approval was read from the tape.

Pure: the shell hands in what it sees at that moment, and sends if and only if nothing comes back.
"""

from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.approval import Approval, Permit
from tollgate_contracts.reasons import Reason
from tollgate_domain.instruments import notional
from tollgate_execution.core import Kill, held_back

_SECOND_US = 1_000_000


class Pace:
    """Execution's own speed limit: at most so many orders in any second of the monotonic clock."""

    def __init__(self, orders_per_s_max: int) -> None:
        self._sent_us: deque[int] = deque(maxlen=orders_per_s_max)

    def is_used_up(self, monotonic_us: int) -> bool:
        """Say whether one more order now would be one too many."""
        full = len(self._sent_us) == self._sent_us.maxlen
        return full and monotonic_us - self._sent_us[0] < _SECOND_US

    def count(self, monotonic_us: int) -> None:
        """Note that an order leaves now."""
        self._sent_us.append(monotonic_us)


@dataclass(frozen=True, slots=True)
class Moment:
    """What the shell sees when it is about to send."""

    wall_us: int
    door_is_shut: bool
    """The kill door of this process."""
    kill: Kill
    """By the tape, as far as it has been read."""
    permit: Permit | None
    """The fresh permit; none without one."""
    reducible: Decimal
    """How much such an order may take off what execution itself knows to be held, in base currency."""
    pace_is_used_up: bool
    order_notional_max: Decimal
    """Execution's own cap, in quote currency; risk's are tighter."""


def reasons_not_to_send(approval: Approval, moment: Moment) -> tuple[Reason, ...]:
    """Return every reason against sending now, in the order of the taxonomy; none means send."""
    permit, price = moment.permit, approval.limit_price
    is_of_another_epoch = permit is not None and permit.kill_epoch != approval.kill_epoch
    is_held_back = any(held_back(approval, moment.kill, moment.reducible))
    checks = (
        (Reason.GATE_KILL_SWITCH, moment.door_is_shut or is_of_another_epoch or is_held_back),
        # A permit to close positions lets no trade through, nor one to trade a closing order.
        (Reason.GATE_NO_PERMIT, permit is None or permit.scope is not approval.scope),
        (Reason.LIMIT_ORDER_NOTIONAL, price is None or notional(price, approval.quantity) > moment.order_notional_max),
        (Reason.PACE_RATE, moment.pace_is_used_up),
        (Reason.APPROVAL_EXPIRED, approval.expires_us <= moment.wall_us),
    )
    return tuple(reason for reason, applies in checks if applies)
