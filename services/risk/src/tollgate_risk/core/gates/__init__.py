"""The gates, in the one order in which they stand: that of the taxonomy of reasons.

A gate is a pure function of a case that measures one rule. Where it lacks what it needs, such as a price or metadata,
or where its rule does not concern the case, it says nothing, and the gate whose matter that is speaks. All gates are
asked, always: a rejection carries every reason.
"""

from tollgate_contracts.reasons import Finding
from tollgate_contracts.strategy import Action
from tollgate_risk.core.case import Case, Gate, Measure
from tollgate_risk.core.gates import arming, cash, instruments, intents, limits, loss, margin, market, pace

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
    market.clock_skew,
    market.gap,
    market.no_mark,
    market.collar,
    market.crossed_post_only,
    market.self_cross,
    limits.order_notional,
    limits.cycle_notional,
    limits.position_notional,
    limits.position_units,
    limits.gross_exposure,
    limits.net_exposure,
    limits.group_exposure,
    limits.concentration,
    limits.open_orders,
    limits.open_orders_symbol,
    limits.orders_per_cycle,
    cash.reserve,
    cash.insufficient,
    pace.global_spacing,
    pace.symbol_cooldown,
    pace.outcome_cooldown,
    pace.hourly_cap,
    pace.daily_cap,
    pace.rate,
    loss.daily,
    loss.drawdown,
    loss.consecutive,
    loss.symbol_lockout,
    margin.insufficient,
    margin.maintenance,
    margin.leverage,
    margin.funding,
    margin.liquidation_distance,
)
"""Before an order is sent."""

CANCEL_GATES: tuple[Gate, ...] = (intents.expired, intents.unknown_order)
"""Before an order is cancelled: a cancel makes risk smaller, so no switch, mode or limit stands in its way."""


def look(case: Case) -> tuple[Measure, ...]:
    """Ask every gate that concerns the intent and return all that they see, in order."""
    return tuple(measure for gate in _gates_for(case) if (measure := gate(case)) is not None)


def judge(case: Case) -> tuple[Finding, ...]:
    """Ask every gate that concerns the intent and return all refusals, in order."""
    refusals = []
    for gate in _gates_for(case):
        measure = gate(case)
        if measure is not None and not measure.is_kept:
            refusals.append(measure.finding())
    return tuple(refusals)


def _gates_for(case: Case) -> tuple[Gate, ...]:
    return SUBMIT_GATES if case.intent.action is Action.SUBMIT else CANCEL_GATES
