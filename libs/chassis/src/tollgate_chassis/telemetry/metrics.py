"""The registry of every metric that Tollgate emits: base units, bounded labels, one place."""

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

# A second series for each counter that says only when its process started; Prometheus has that already.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From 50 microseconds, the cheapest thing measured, to 5 seconds, at which everything is long stale.
_LATENCY_BUCKETS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip

TAPE_POSITION = Gauge("tollgate_tape_position", "Last tape sequence that this service has applied.")
TAPE_TIP = Gauge("tollgate_tape_tip", "Last tape sequence that this service knows of.")
TAPE_LAG = Gauge("tollgate_tape_lag_messages", "Messages on the tape that this service has not applied yet.")
TAPE_MESSAGES = Counter("tollgate_tape_messages_total", "Messages applied.", ["kind"])
TAPE_APPENDS = Counter("tollgate_tape_appends_total", "Messages appended.", ["kind"])
TAPE_APPEND_SECONDS = Histogram(
    "tollgate_tape_append_seconds", "Time from sending an append to the broker's word that it is on disk.",
    buckets=_LATENCY_BUCKETS,
)  # fmt: skip
STEP_SECONDS = Histogram("tollgate_step_seconds", "Time of one step of the core.", buckets=_LATENCY_BUCKETS)
DUPLICATES = Counter("tollgate_tape_duplicates_total", "Messages seen before and not applied again.", ["verdict"])
DEAD_LETTERS = Counter("tollgate_dead_letters_total", "Messages that could not be read.", ["reason"])
SNAPSHOT_SEQUENCE = Gauge("tollgate_snapshot_sequence", "Tape sequence of the newest snapshot.")
RECOVERY_SECONDS = Gauge("tollgate_recovery_seconds", "Time that the last start took from snapshot to live.")
LIVE = Gauge("tollgate_live", "1 once the service has caught up with the tape.")
STANDING_BY = Gauge("tollgate_standing_by", "1 while another instance of the service is active.")

FEED_FRAMES = Counter("tollgate_feed_frames_total", "Frames received from the venue's public feed.", ["frame"])
FEED_REFUSED = Counter("tollgate_feed_refused_total", "Frames that said something impossible.")
QUOTE_AGE_SECONDS = Histogram(
    "tollgate_quote_age_seconds", "Age of a quote, by the venue's stamp, when it is appended.", buckets=_LATENCY_BUCKETS
)

INTENTS = Counter("tollgate_intents_total", "Intents written.", ["symbol", "side"])
DECISIONS = Counter("tollgate_decisions_total", "Decisions written.", ["outcome"])
REJECTIONS = Counter(
    "tollgate_rejections_total", "Reasons of rejected intents; one intent may have several.", ["reason"]
)
MODE = Gauge("tollgate_risk_mode", "1 for the mode in force.", ["mode"])
MODE_CHANGES = Counter("tollgate_risk_mode_changes_total", "Changes of the mode.", ["from_mode", "to_mode"])
CONDITION_ACTIVE = Gauge(
    "tollgate_risk_condition_active", "1 while the condition holds and asks for its mode.", ["condition"]
)
CONDITION_VALUE = Gauge(
    "tollgate_risk_condition_value", "What the condition is at, in its own unit; NaN where it cannot be known.",
    ["condition"],
)  # fmt: skip
CONDITION_LIMIT = Gauge(
    "tollgate_risk_condition_limit", "Where the condition begins to hold; NaN where it is switched off.", ["condition"]
)
KILL_SWITCH = Gauge("tollgate_kill_switch_engaged", "1 while the kill switch is engaged.")
PERMITS = Counter("tollgate_permits_total", "Permits issued by risk.")
OPERATOR_CALLS = Counter("tollgate_operator_calls_total", "Calls at an operators' door.", ["method", "status"])
OPERATOR_CALLS_UNRECORDED = Counter(
    "tollgate_operator_calls_unrecorded_total", "Such calls that were answered and are not on the tape.", ["why"]
)

PERMIT_AGE_SECONDS = Gauge("tollgate_permit_age_seconds", "Age of the permit that execution holds.")
PERMITS_REFUSED = Counter("tollgate_permits_refused_total", "Permits that execution would not take.", ["reason"])
REFUSALS = Counter("tollgate_refusals_total", "Approvals that execution would not act upon.", ["reason"])
SUBMITS = Counter("tollgate_submits_total", "Orders sent, by what the venue answered.", ["status"])
VENUE_SECONDS = Histogram(
    "tollgate_venue_request_seconds", "Time of one request to the venue.", ["call"], buckets=_LATENCY_BUCKETS
)
WRITE_AHEAD_SECONDS = Histogram(
    "tollgate_write_ahead_seconds", "Time of the commit that precedes every send.", buckets=_LATENCY_BUCKETS
)
FILLS = Counter("tollgate_fills_total", "Fills.", ["symbol", "side"])
VENUE_CALLS = Counter(
    "tollgate_venue_calls_total", "Calls to the venue, by what came of them; held_* were not made.", ["call", "outcome"]
)
VENUE_RETRIES = Counter("tollgate_venue_retries_total", "Calls to the venue made once more.", ["call"])
VENUE_WAIT_SECONDS = Histogram(
    "tollgate_venue_wait_seconds", "Time that a call waited for room in its budget.", ["call"], buckets=_LATENCY_BUCKETS
)
VENUE_BANNED_UNTIL = Gauge(
    "tollgate_venue_banned_until_timestamp_seconds", "Unix time until which the venue has banned us; 0 for never."
)
BREAKER_STATE = Gauge("tollgate_breaker_state", "1 for the state of the group's breaker.", ["group", "state"])
BREAKER_CHANGES = Counter(
    "tollgate_breaker_changes_total", "Changes of a breaker's state.", ["group", "from_state", "to_state"]
)
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
    "tollgate_reconcile_round_seconds", "Time of one round of reconciliation.", buckets=_LATENCY_BUCKETS
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

BOOKS_EQUITY = Gauge("tollgate_books_equity_quote", "Equity in quote currency.")
BOOKS_DRAWDOWN = Gauge("tollgate_books_drawdown_quote", "Fall from the peak in quote currency.")
LEDGER_ALARMS = Gauge(
    "tollgate_ledger_alarms", "What the books could not take as it came, since they began; of the active ledger.",
    ["reason"],
)  # fmt: skip
LEDGER_FEE_FINDINGS = Counter(
    "tollgate_ledger_fee_findings_total", "Fees that are not what the model of costs says.", ["finding"]
)
LEDGER_LAG = Gauge("tollgate_ledger_uncommitted_messages", "Messages applied and not committed to the books yet.")
LEDGER_READ_SECONDS = Histogram(
    "tollgate_ledger_read_seconds", "Time of one page read for a caller of the ledger.", ["read"],
    buckets=_LATENCY_BUCKETS,
)  # fmt: skip
LEDGER_COMMIT_SECONDS = Histogram(
    "tollgate_ledger_commit_seconds", "Time of one commit of the books.", buckets=_LATENCY_BUCKETS
)
