"""An order in place of another, where the venue has no such thing: cancel the old one, then place what is left.

The new order waits until the old one is over and every trade of it is booked. What the old one has filled since the
strategy last saw it is taken off the new one, so that both together never fill more than was meant.
"""

import re
from dataclasses import replace

from tollgate_contracts.execution import OrderState
from tollgate_contracts.money import ZERO
from tollgate_contracts.risk import Decision
from tollgate_execution.core.record import OrderRecord

# What a strategy writes bears the sequence of what made it write: it has seen the tape up to there and no further.
_CAUSED = re.compile(r"^[a-z]+:(?P<cause>[0-9]{1,18}):[0-9]+$")


def known_since(decision: Decision) -> int:
    """Return the sequence of the tape up to which the strategy knew what the replaced order had filled."""
    intent = _CAUSED.match(decision.intent_id)
    read = decision.cause or 0
    return min(int(intent["cause"]), read) if intent is not None else read


def released(waiting: OrderRecord, old: OrderRecord, now_us: int) -> OrderRecord:
    """Return a waiting order once ``old`` is gone: ready to be placed for what is left, or over."""
    free = replace(waiting, waits_for=None)
    if now_us >= waiting.placing.until_us:
        return replace(free, state=OrderState.EXPIRED)
    # A fill that is not on the tape yet is one that no strategy has seen.
    seen = range(1, waiting.replaces_since + 1)
    left = waiting.quantity - sum((each.trade.quantity for each in old.trades if each.sequence not in seen), ZERO)
    if left <= ZERO:
        return replace(free, state=OrderState.CANCELLED)
    return replace(free, placing=replace(waiting.placing, quantity=left))
