"""The gate: its mode, what could change it, what it lets through and what not."""

from deploy.grafana.boards.panels import (
    ALARM,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Board,
    Look,
    Query,
    Row,
    bars,
    lines,
    stat,
    states,
    switch,
    table,
)
from deploy.grafana.boards.queries import grown, or_zero, rate, value
from deploy.grafana.boards.words import MODE, MODE_LOOK, latencies

_VALUE, _LIMIT = "tollgate_risk_condition_value", "tollgate_risk_condition_limit"
# Of the win rate less is worse, so a share of its limit would say the contrary.
_FILLED = (
    f"{value(_VALUE, 'condition', condition='!win_rate')}"
    f" / ({value(_LIMIT, 'condition', condition='!win_rate')} > 0) >= 0"
)
_SHARE = Look(steps=((0.5, YELLOW), (0.8, ORANGE), (1, RED)), decimals=0)
_MODES = "the-mode-has-changed"

_NOW = Row(
    "Now",
    (
        stat("Mode", "What the gate lets through.", "none", MODE, width=4, look=MODE_LOOK, runbook=_MODES),
        stat(
            "Kill switch",
            "ENGAGED: somebody has stopped trading. Who and why: GET /v1/kill-switch.",
            "none",
            value("tollgate_kill_switch_engaged"),
            width=4,
            look=switch("RELEASED", "ENGAGED"),
            runbook="kill-and-release",
        ),
        stat(
            "Permit",
            "WITHHELD: execution sends nothing. An engaged kill switch withholds it as well.",
            "none",
            value("tollgate_permit_withheld"),
            width=4,
            look=switch("GIVEN", "WITHHELD"),
            runbook="risk-is-silent",
        ),
        stat(
            "Conditions that hold",
            "Conditions of the policy that ask for another mode now.",
            "none",
            f"sum({value('tollgate_risk_condition_active', 'condition')})",
            width=4,
            look=ALARM,
            runbook=_MODES,
        ),
        stat(
            "Gross exposure",
            "Longs and shorts added, with open orders, in quote currency.",
            "locale",
            value("tollgate_risk_gross_exposure_quote"),
            width=4,
            look=Look(decimals=2),
            runbook=_MODES,
            has_line=True,
        ),
        stat(
            "Free cash",
            "What entries may still spend, in quote currency.",
            "locale",
            value("tollgate_risk_free_cash_quote"),
            width=4,
            look=Look(decimals=2),
            runbook=_MODES,
            has_line=True,
        ),
    ),
)
_CONDITIONS = Row(
    "What moves the mode",
    (
        bars(
            "How near each condition is",
            "Each condition's value as a share of where it begins to hold; full is there. Conditions that the policy "
            "has "
            "switched off are not shown, nor the win rate, of which less is worse.",
            "percentunit",
            Query(_FILLED, "{{condition}}"),
            look=_SHARE,
            limit=1,
            runbook=_MODES,
        ),
        table(
            "What each condition is at",
            "In its own unit: quote currency, basis points, milliseconds, or a count. docs/risk.md has them.",
            "none",
            Query(f"{value(_VALUE, 'condition')} >= 0", "value"),
            {"condition": "condition"},
            look=Look(decimals=2),
            runbook=_MODES,
        ),
        states(
            "Mode",
            "What was in force when. It comes back one step at a time, each after modes.cool_off_ms.",
            Query(MODE, "mode"),
            look=MODE_LOOK,
            width=24,
            height=4,
            runbook=_MODES,
        ),
        states(
            "Which condition held",
            "Each condition of the policy, while it held.",
            Query(value("tollgate_risk_condition_active", "condition"), "{{condition}}"),
            look=switch("", "holds"),
            height=8,
            runbook=_MODES,
        ),
        lines(
            "Changes of the mode",
            "Within the time that is shown. Many of them are a threshold between whose two values the desk lives.",
            "none",
            Query(
                grown("tollgate_risk_mode_changes_total", "from_mode, to_mode", "$__rate_interval"),
                "{{from_mode}} to {{to_mode}}",
            ),
            runbook=_MODES,
        ),
    ),
)
_DECISIONS = Row(
    "What it decides",
    (
        lines(
            "Decisions",
            "A second, by outcome.",
            "cps",
            Query(or_zero(rate("tollgate_decisions_total", "outcome"), "risk", "outcome"), "{{outcome}}"),
            width=8,
            runbook=_MODES,
        ),
        lines(
            "Rejections by reason",
            "A second. One intent may have several reasons; docs/contracts/reasons.md explains them.",
            "cps",
            Query(or_zero(rate("tollgate_rejections_total", "reason"), "risk", "reason"), "{{reason}}"),
            width=8,
            is_stacked=True,
            runbook=_MODES,
        ),
        bars(
            "Reasons in this time",
            "How often each reason was given within the time that is shown.",
            "none",
            Query(or_zero(grown("tollgate_rejections_total", "reason"), "risk", "reason"), "{{reason}}"),
            width=8,
            look=Look(decimals=0),
            runbook=_MODES,
        ),
        lines(
            "Exposure and cash",
            "Longs and shorts with open orders, and what entries may still spend, in quote currency.",
            "locale",
            Query(value("tollgate_risk_gross_exposure_quote"), "gross exposure"),
            Query(value("tollgate_risk_free_cash_quote"), "free cash"),
            width=8,
            runbook=_MODES,
        ),
        lines(
            "Orders that count",
            "Approved and not over, as risk sees them; execution's own count is beside it. Apart for long, one of "
            "the two "
            "has missed something.",
            "none",
            Query(value("tollgate_risk_open_orders"), "at risk"),
            Query(value("tollgate_open_orders"), "at execution"),
            width=8,
            runbook="unknown-orders",
        ),
        lines(
            "One step of the gate",
            "Time in which risk judges one message of the tape.",
            "s",
            *latencies("tollgate_step_seconds", service="risk"),
            width=8,
            runbook="a-reader-is-behind",
        ),
    ),
)
_CONTROL = Row(
    "Permits and operators",
    (
        lines(
            "Permits",
            "A second: four are due, unless risk.permit_interval_ms says otherwise. None: nothing is sent.",
            "cps",
            Query(rate("tollgate_permits_total"), "given"),
            width=8,
            look=Look(steps=((0.5, GREEN),), below=RED),
            runbook="risk-is-silent",
        ),
        lines(
            "Operators' calls",
            "Within the window, at risk, execution and ledger, by answer. 401 and 403 in numbers: somebody tries "
            "tokens.",
            "none",
            Query(
                or_zero(
                    grown("tollgate_operator_calls_total", "service, status", "$__rate_interval"), "risk", "status"
                ),
                "{{service}} {{status}}",
            ),
            width=8,
            runbook="operators-calls-are-not-recorded",
        ),
        lines(
            "Calls that are not on the tape",
            "Within the window, by why. Any is a hole in the trail of who did what.",
            "none",
            Query(
                or_zero(
                    grown("tollgate_operator_calls_unrecorded_total", "service, why", "$__rate_interval"), "risk", "why"
                ),
                "{{service}} {{why}}",
            ),
            width=8,
            runbook="operators-calls-are-not-recorded",
        ),
    ),
)
BOARD = Board(
    "tollgate-risk",
    "Tollgate: risk",
    "The gate: its mode and what could change it, what it lets through, and who has a hand on it.",
    (_NOW, _CONDITIONS, _DECISIONS, _CONTROL),
)
