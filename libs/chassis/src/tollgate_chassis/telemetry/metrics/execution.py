"""What execution tells of orders, of the venue, and of their agreement."""

from prometheus_client import Counter, Gauge, Histogram

from tollgate_chassis.telemetry.metrics import LATENCY_BUCKETS

KILL_DOOR = Gauge("tollgate_kill_door_shut", "1 while execution's own kill door is shut.")
PERMIT_AGE_SECONDS = Gauge("tollgate_permit_age_seconds", "Age of execution's permit; infinite without any.")
PERMITS_REFUSED = Counter("tollgate_permits_refused_total", "Permits that execution would not take.", ["reason"])
REFUSALS = Counter("tollgate_refusals_total", "Approvals that execution would not act upon.", ["reason"])
SUBMITS = Counter("tollgate_submits_total", "Orders sent, by what the venue answered.", ["status"])
TICK_TO_ORDER_SECONDS = Histogram(
    "tollgate_tick_to_order_seconds", "Time from the tape's quote that an order follows from to its being sent.",
    buckets=LATENCY_BUCKETS,
)  # fmt: skip
VENUE_SECONDS = Histogram(
    "tollgate_venue_request_seconds", "Time of one request to the venue.", ["group", "call"], buckets=LATENCY_BUCKETS
)
WRITE_AHEAD_SECONDS = Histogram(
    "tollgate_write_ahead_seconds", "Time of the commit that precedes every send.", buckets=LATENCY_BUCKETS
)
FILLS = Counter("tollgate_fills_total", "Fills.", ["symbol", "side"])
VENUE_CALLS = Counter(
    "tollgate_venue_calls_total", "Calls to the venue, by what came of them; held_* were not made.",
    ["group", "call", "outcome"],
)  # fmt: skip
VENUE_RETRIES = Counter("tollgate_venue_retries_total", "Calls to the venue made once more.", ["group", "call"])
VENUE_WAIT_SECONDS = Histogram(
    "tollgate_venue_wait_seconds", "Time that a call waited for room in its budget.", ["call"], buckets=LATENCY_BUCKETS
)
VENUE_BANNED_UNTIL = Gauge(
    "tollgate_venue_banned_until_timestamp_seconds", "Unix time until which the venue has banned us; 0 for never."
)
BREAKER_STATE = Gauge("tollgate_breaker_state", "1 for the state of the group's breaker.", ["group", "state"])
BREAKER_CHANGES = Counter(
    "tollgate_breaker_changes_total", "Changes of a breaker's state.", ["group", "from_state", "to_state"]
)
OPEN_ORDERS = Gauge("tollgate_open_orders", "Orders that are not over.")
UNKNOWN_ORDERS = Gauge("tollgate_unknown_orders", "Orders whose outcome is not known.")
UNKNOWN_AGE_SECONDS = Gauge(
    "tollgate_unknown_order_age_seconds", "How long the outcome of the oldest of them has not been known; 0 for none."
)
ESCALATED_ORDERS = Gauge(
    "tollgate_escalated_orders", "Orders that the venue was asked about in vain too often: an operator must look."
)
UNPROTECTED_POSITIONS = Gauge(
    "tollgate_unprotected_positions",
    "Entries whose stop cannot be brought to rest at the venue: an operator must look.",
)
SAFE_MODE = Gauge("tollgate_safe_mode", "1 while execution is in safe mode.")
SAFE_MODE_DEGRADED = Gauge(
    "tollgate_safe_mode_degraded", "1 while this is why execution is in safe mode.", ["dependency"]
)
RECONCILE_ROUNDS = Counter(
    "tollgate_reconcile_rounds_total", "Rounds of reconciliation, by how they ended: agrees, differs, failed.",
    ["outcome"],
)  # fmt: skip
RECONCILE_SECONDS = Histogram(
    "tollgate_reconcile_round_seconds", "Time of one round of reconciliation.", buckets=LATENCY_BUCKETS
)
RECONCILE_LAST = Gauge(
    "tollgate_reconcile_last_round_timestamp_seconds", "When the last round of reconciliation was complete."
)
RECONCILE_DIFFERENCES = Counter(
    "tollgate_reconcile_differences_total", "Differences with the venue that were said.", ["difference"]
)
RECONCILE_OPEN = Gauge(
    "tollgate_reconcile_open_differences", "Differences that were not explained at the end of the last round."
)
RECONCILE_CONVERGENCE_SECONDS = Histogram(
    "tollgate_reconcile_convergence_seconds", "Time from a first difference to the first clean round after it.",
    buckets=(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0),
)  # fmt: skip
MOVEMENTS = Counter("tollgate_movements_total", "Money that came or went without an order.", ["type"])
