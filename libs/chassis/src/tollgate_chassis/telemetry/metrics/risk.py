"""What the gate tells."""

from prometheus_client import Counter, Gauge

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
RISK_OPEN_ORDERS = Gauge("tollgate_risk_open_orders", "Orders that count against the limits: approved and not over.")
RISK_EXPOSURE = Gauge("tollgate_risk_gross_exposure_quote", "Longs and shorts added, with open orders.")
RISK_FREE_CASH = Gauge("tollgate_risk_free_cash_quote", "What entries may still spend, in quote currency.")
PERMIT_WITHHELD = Gauge("tollgate_permit_withheld", "1 while risk gives no permit, whatever the reason.")
PERMITS = Counter("tollgate_permits_total", "Permits issued by risk.")
