"""The gates, in the one order in which they stand: that of the taxonomy of reasons.

A gate is a pure function of a case and returns its refusal or nothing. Where a gate lacks what it needs, such as
a price or metadata, it is silent, and the gate whose matter that is speaks. All gates are asked, always: a
rejection carries every reason.
"""

from tollgate_contracts.reasons import Finding
from tollgate_risk.core.case import Case, Gate
from tollgate_risk.core.gates import arming, cash, instruments, intents, limits, market, pace

SUBMIT_GATES: tuple[Gate, ...] = (
    arming.dry_run,
    arming.not_armed,
    arming.kill_switch,
    arming.reduce_only,
    arming.observe_only,
    intents.expired,
    intents.duplicate,
    intents.malformed,
    instruments.not_allowed,
    instruments.excluded,
    instruments.unknown,
    instruments.halted,
    instruments.metadata_stale,
    instruments.precision,
    instruments.min_quantity,
    instruments.min_notional,
    market.stale,
    market.gap,
    market.no_mark,
    market.collar,
    market.crossed_post_only,
    limits.order_notional,
    limits.position_notional,
    limits.gross_exposure,
    limits.open_orders,
    limits.open_orders_symbol,
    limits.orders_per_cycle,
    cash.reserve,
    cash.insufficient,
    pace.global_spacing,
    pace.symbol_cooldown,
)
"""Before an order is sent."""

CANCEL_GATES: tuple[Gate, ...] = (intents.expired, intents.unknown_order)
"""Before an order is cancelled: a cancel makes risk smaller, so no switch, mode or limit stands in its way."""


def judge(case: Case) -> tuple[Finding, ...]:
    """Ask every gate that concerns the intent and return all refusals, in order."""
    gates = SUBMIT_GATES if case.intent.action == "SUBMIT" else CANCEL_GATES
    return tuple(refusal for gate in gates if (refusal := gate(case)) is not None)
