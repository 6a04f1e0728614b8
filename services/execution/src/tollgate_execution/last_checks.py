"""The last look before the first byte leaves: what may have changed since the approval was read from the tape.

Pure: the shell hands in what it sees at that moment, and sends if and only if nothing comes back.
"""

from collections import deque
from dataclasses import dataclass
from decimal import Decimal

from tollgate_contracts.approval import Approval
from tollgate_contracts.reasons import Reason
from tollgate_domain.instruments import notional

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
    kill_engaged: bool
    """By the tape, as far as it has been read."""
    kill_epoch: int
    permit_epoch: int | None
    """The kill epoch of the fresh permit; none without one."""
    pace_is_used_up: bool
    order_notional_max: Decimal
    """Execution's own cap, in quote currency; risk's are tighter."""


def reasons_not_to_send(approval: Approval, moment: Moment) -> tuple[Reason, ...]:
    """Return every reason against sending now, in the order of the taxonomy; none means send."""
    epochs = {moment.kill_epoch, approval.kill_epoch}
    if moment.permit_epoch is not None:
        epochs.add(moment.permit_epoch)
    price = approval.limit_price
    checks = (
        (Reason.GATE_KILL_SWITCH, moment.door_is_shut or moment.kill_engaged or len(epochs) > 1),
        (Reason.GATE_NO_PERMIT, moment.permit_epoch is None),
        (Reason.LIMIT_ORDER_NOTIONAL, price is None or notional(price, approval.quantity) > moment.order_notional_max),
        (Reason.PACE_RATE, moment.pace_is_used_up),
        (Reason.APPROVAL_EXPIRED, approval.expires_us <= moment.wall_us),
    )
    return tuple(reason for reason, applies in checks if applies)
