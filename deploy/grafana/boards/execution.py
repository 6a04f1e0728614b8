"""Orders, the venue, and whether the two agree."""

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
)
from deploy.grafana.boards.queries import age, coded, grown, or_zero, rate, value
from deploy.grafana.boards.words import BREAKER_LOOK, BREAKERS, latencies, tails

_CALLS, _RECONCILE = "calls-to-the-venue-are-stopped", "reconciliation-is-overdue-or-does-not-agree"
_GROUPS = ("ORDERS", "ACCOUNT", "MARKET_DATA")
_LAST_ROUND = age("tollgate_reconcile_last_round_timestamp_seconds")
_BANNED = f"clamp_min({value('tollgate_venue_banned_until_timestamp_seconds')} - time(), 0)"
_FEW = Look(steps=((1, YELLOW), (5, ORANGE)), decimals=0)


def _breaker(group: str) -> Query:
    return Query(coded("tollgate_breaker_state", "state", BREAKERS, group=group), group.lower().replace("_", " "))


_NOW = Row(
    "Now",
    (
        stat(
            "Safe mode",
            "ON: something that execution cannot trade without is bad; what it is stands below.",
            "none",
            value("tollgate_safe_mode"),
            width=3,
            look=switch("OFF", "ON"),
            runbook="safe-mode",
        ),
        stat(
            "Open orders",
            "Orders that are not over.",
            "none",
            value("tollgate_open_orders"),
            width=3,
            runbook="unknown-orders",
        ),
        stat(
            "Unknown orders",
            "Sent and not answered; the venue is asked again and again. They count in full against every limit.",
            "none",
            value("tollgate_unknown_orders"),
            width=3,
            look=Look(steps=((1, ORANGE),)),
            runbook="unknown-orders",
        ),
        stat(
            "Escalated",
            "Asked about in vain too often: an operator must look.",
            "none",
            value("tollgate_escalated_orders"),
            width=3,
            look=ALARM,
            runbook="unknown-orders",
        ),
        stat(
            "Without a stop",
            "Entries whose stop cannot be brought to rest at the venue: an operator must look.",
            "none",
            value("tollgate_unprotected_positions"),
            width=3,
            look=ALARM,
            runbook="a-position-has-no-stop",
        ),
        stat(
            "Differences",
            "Not explained at the end of the last round of reconciliation.",
            "none",
            value("tollgate_reconcile_open_differences"),
            width=3,
            look=ALARM,
            runbook=_RECONCILE,
        ),
        stat(
            "Last round",
            "How long ago venue and we were last compared. Above a minute, safe mode follows.",
            "s",
            _LAST_ROUND,
            width=3,
            look=Look(steps=((30, YELLOW), (60, RED)), decimals=1),
            runbook=_RECONCILE,
        ),
        stat(
            "Banned for",
            "How long the venue will still take nothing from us, not even a cancel. 0: it does.",
            "s",
            _BANNED,
            width=3,
            look=ALARM,
            runbook="banned-or-too-fast",
        ),
    ),
)
_ORDERS = Row(
    "Orders",
    (
        lines(
            "Sent, by answer",
            "A second. NOT_SENT: held back at the last moment; UNKNOWN: the venue did not answer.",
            "cps",
            Query(or_zero(rate("tollgate_submits_total", "status"), "execution", "status"), "{{status}}"),
            width=8,
            runbook="unknown-orders",
        ),
        lines(
            "Fills",
            "A second, by symbol and side.",
            "cps",
            Query(or_zero(rate("tollgate_fills_total", "symbol, side"), "execution", "symbol"), "{{symbol}} {{side}}"),
            width=8,
            is_stacked=True,
            runbook="the-mode-has-changed",
        ),
        lines(
            "Approvals refused",
            "A second, by reason. approval.expired now and then is a slow moment; a bad signature is never expected.",
            "cps",
            Query(or_zero(rate("tollgate_refusals_total", "reason"), "execution", "reason"), "{{reason}}"),
            width=8,
            is_stacked=True,
            runbook="approval-refused",
        ),
        lines(
            "From quote to order",
            "From the quote on the tape that an order follows from to its being sent.",
            "s",
            *latencies("tollgate_tick_to_order_seconds"),
            width=8,
            runbook="a-reader-is-behind",
        ),
        lines(
            "Written ahead",
            "Time of the commit in execution's journal that precedes every send: the database's disk.",
            "s",
            *latencies("tollgate_write_ahead_seconds"),
            width=8,
            runbook="postgres-lost",
        ),
        lines(
            "Orders that are open",
            "All, and those of unknown outcome with the age of the oldest in seconds.",
            "none",
            Query(value("tollgate_open_orders"), "open"),
            Query(value("tollgate_unknown_orders"), "unknown"),
            Query(value("tollgate_unknown_order_age_seconds"), "seconds unknown"),
            width=8,
            runbook="unknown-orders",
        ),
    ),
)
_VENUE = Row(
    "The venue",
    (
        states(
            "Breakers",
            "OPEN: calls of that group are held back after too many failures; PROBING: a read is tried.",
            *(_breaker(group) for group in _GROUPS),
            look=BREAKER_LOOK,
            width=8,
            height=8,
            runbook=_CALLS,
        ),
        lines(
            "A request, by call",
            "99 of a hundred are faster.",
            "s",
            tails("tollgate_venue_request_seconds", "call"),
            width=8,
            runbook=_CALLS,
        ),
        lines(
            "Wait for the own budget",
            "99 of a hundred calls waited less until execution.calls.limits had room for them.",
            "s",
            tails("tollgate_venue_wait_seconds", "call"),
            width=8,
            runbook="banned-or-too-fast",
        ),
        lines(
            "Calls, by what came of them",
            "A second. held_*: not made; rate_limited: the venue finds us too fast; unauthorized: key or clock.",
            "cps",
            Query(or_zero(rate("tollgate_venue_calls_total", "outcome"), "execution", "outcome"), "{{outcome}}"),
            width=8,
            is_stacked=True,
            runbook=_CALLS,
        ),
        bars(
            "Calls that failed",
            "Within the time that is shown, by call and outcome; 'none' where each was answered.",
            "none",
            Query(
                or_zero(
                    grown("tollgate_venue_calls_total", "call, outcome", outcome="!answered"), "execution", "outcome"
                ),
                "{{call}} {{outcome}}",
            ),
            width=8,
            look=_FEW,
            runbook=_CALLS,
        ),
        lines(
            "Calls made once more",
            "A second, by call. Only reads and what may be repeated are.",
            "cps",
            Query(or_zero(rate("tollgate_venue_retries_total", "call"), "execution", "call"), "{{call}}"),
            width=8,
            runbook=_CALLS,
        ),
    ),
)
_AGREES = Row(
    "Do we agree with the venue?",
    (
        lines(
            "Rounds of reconciliation",
            "A second, by how they ended. failed: a call of the round fails; differs: something is not explained.",
            "cps",
            Query(or_zero(rate("tollgate_reconcile_rounds_total", "outcome"), "execution", "outcome"), "{{outcome}}"),
            width=8,
            runbook=_RECONCILE,
        ),
        lines(
            "Time of a round",
            "It reads orders, fills, balances and movements of the venue.",
            "s",
            *latencies("tollgate_reconcile_round_seconds"),
            width=8,
            runbook=_RECONCILE,
        ),
        bars(
            "Differences said",
            "Within the time that is shown, by class. docs/reconciliation.md says what follows from each.",
            "none",
            Query(grown("tollgate_reconcile_differences_total", "difference"), "{{difference}}"),
            width=8,
            look=_FEW,
            runbook=_RECONCILE,
        ),
        lines(
            "Until all agreed again",
            "Within the window: how often a difference ended, and after how many seconds in sum.",
            "none",
            Query(grown("tollgate_reconcile_convergence_seconds_count", over="$__rate_interval"), "ended"),
            Query(grown("tollgate_reconcile_convergence_seconds_sum", over="$__rate_interval"), "seconds"),
            width=8,
            runbook=_RECONCILE,
        ),
        lines(
            "Money without an order",
            "Deposits, withdrawals, funding and fees that the venue lists, within the window, by kind.",
            "none",
            Query(
                or_zero(grown("tollgate_movements_total", "type", "$__rate_interval"), "execution", "type"), "{{type}}"
            ),
            width=8,
            runbook="drift-books-and-venue-differ",
        ),
        lines(
            "Open differences",
            "Not explained at the end of each round.",
            "none",
            Query(value("tollgate_reconcile_open_differences"), "open"),
            width=8,
            look=ALARM,
            runbook=_RECONCILE,
        ),
    ),
)
_SAFETY = Row(
    "Is it allowed to?",
    (
        states(
            "Why safe mode",
            "Each thing that execution cannot trade without, while it was bad for too long.",
            Query(value("tollgate_safe_mode_degraded", "dependency"), "{{dependency}}"),
            look=Look(words={0: ("", GREEN), 1: ("bad", RED)}),
            height=8,
            runbook="safe-mode",
        ),
        lines(
            "Age of the permit",
            "Execution sends nothing with one that is older than a second. It is measured each two seconds.",
            "s",
            Query(value("tollgate_permit_age_seconds"), "age"),
            width=6,
            look=Look(steps=((1, RED),)),
            runbook="risk-is-silent",
        ),
        lines(
            "Permits refused",
            "A second, by reason. stale and out_of_order came late; forged is not from our risk.",
            "cps",
            Query(or_zero(rate("tollgate_permits_refused_total", "reason"), "execution", "reason"), "{{reason}}"),
            width=6,
            runbook="approval-refused",
        ),
    ),
)
BOARD = Board(
    "tollgate-execution",
    "Tollgate: execution",
    "Orders, the venue, and whether the two agree.",
    (_NOW, _ORDERS, _VENUE, _AGREES, _SAFETY),
)
