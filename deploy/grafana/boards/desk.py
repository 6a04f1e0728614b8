"""One look at a desk: does it trade, is it safe, does it make or lose money."""

from deploy.grafana.boards.panels import (
    ALARM,
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Board,
    Look,
    Query,
    Row,
    lines,
    stat,
    states,
    switch,
    table,
)
from deploy.grafana.boards.queries import each, or_zero, rate, value
from deploy.grafana.boards.words import (
    DAY_RESULT,
    DRAWDOWN,
    FEED,
    FEED_LOOK,
    MODE,
    MODE_LOOK,
    RESULT,
    SERVICES_LIVE,
    latencies,
)

_LIVE = SERVICES_LIVE
_TRADES = " * ".join(
    (
        f"({_LIVE} == bool 5)",
        value("tollgate_risk_mode", mode="NORMAL"),
        f"(1 - {value('tollgate_kill_switch_engaged')})",
        f"(1 - {value('tollgate_kill_door_shut')})",
        f"(1 - {value('tollgate_safe_mode')})",
        f"(1 - {value('tollgate_permit_withheld')})",
        f"({value('tollgate_feed_state', state='UP')} + {value('tollgate_feed_state', state='RECOVERED')})",
    )
)
_FIRING = 'count by (alertname, severity) (ALERTS{alertstate="firing",desk="$desk"})'
_CRITICAL = 'count(ALERTS{alertstate="firing",desk="$desk",severity="critical"}) or vector(0)'
_NONE = 'label_replace(vector(0), "alertname", "none", "", "")'
_MONEY = Look(steps=((0, GREEN),), below=RED, decimals=2)
_FALL = Look(steps=((0.01, YELLOW), (0.03, RED)), decimals=2)
_ALL_FIVE = Look(steps=((5, GREEN),), below=RED)

_SAFE = Row(
    "Is it trading, and is it safe?",
    (
        stat(
            "Trading",
            "YES: all five services are live, the mode is NORMAL, no switch is engaged, a permit is out and quotes "
            "come. "
            "NO: one of those is not so; the next panels say which.",
            "none",
            _TRADES,
            width=4,
            look=Look(words={0: ("NO", RED), 1: ("YES", GREEN)}),
            runbook="the-mode-has-changed",
        ),
        stat(
            "Mode",
            "What the gate lets through. REDUCE ONLY: what makes a position smaller. OBSERVE ONLY: nothing. "
            "The dashboard of risk shows which condition holds.",
            "none",
            MODE,
            width=3,
            look=MODE_LOOK,
            runbook="the-mode-has-changed",
        ),
        stat(
            "Kill switch",
            "ENGAGED: somebody has stopped trading, at risk or at execution's own kill door; the alerts say which.",
            "none",
            f"clamp_max({value('tollgate_kill_switch_engaged')} + {value('tollgate_kill_door_shut')}, 1)",
            width=3,
            look=switch("RELEASED", "ENGAGED"),
            runbook="kill-and-release",
        ),
        stat(
            "Safe mode",
            "ON: something that execution cannot trade without is bad; entries are taken back. "
            "The dashboard of execution says what.",
            "none",
            value("tollgate_safe_mode"),
            width=3,
            look=switch("OFF", "ON"),
            runbook="safe-mode",
        ),
        stat(
            "Feed",
            "Whether quotes come. Only UP and RECOVERED are traded on.",
            "none",
            FEED,
            width=3,
            look=FEED_LOOK,
            runbook="feed-stale-or-gap",
        ),
        stat(
            "Services live",
            "Of the five, how many have an instance that is caught up and active.",
            "none",
            _LIVE,
            width=4,
            look=_ALL_FIVE,
            runbook="a-service-is-not-live",
        ),
        stat(
            "Critical alerts",
            "Alerts of this desk that fire and want somebody now. The table below has them all.",
            "none",
            _CRITICAL,
            width=4,
            look=ALARM,
            runbook="the-alerts",
        ),
    ),
)
_MAKES = Row(
    "Does it make or lose money?",
    (
        stat(
            "Equity",
            "What the books are worth now, in quote currency. Look at stale marks in the books before you trust a "
            "jump.",
            "locale",
            value("tollgate_books_equity_quote"),
            width=4,
            look=Look(decimals=2),
            runbook="drift-books-and-venue-differ",
            has_line=True,
        ),
        stat(
            "Result today",
            "Realized and unrealized less fees since midnight UTC, in quote currency. Where Prometheus saw no "
            "midnight yet, "
            "it is the day's loss as risk reckons it, which is 0 on a day of profit.",
            "locale",
            DAY_RESULT,
            width=4,
            look=_MONEY,
            runbook="the-mode-has-changed",
        ),
        stat(
            "Drawdown",
            "How far equity is below its peak. The policy's thresholds are on the dashboard of risk.",
            "percentunit",
            DRAWDOWN,
            width=4,
            look=_FALL,
            runbook="the-mode-has-changed",
            has_line=True,
        ),
        stat(
            "Free cash",
            "What entries may still spend, in quote currency, as risk reckons it: open orders are taken off.",
            "locale",
            value("tollgate_risk_free_cash_quote"),
            width=4,
            look=Look(decimals=2),
            runbook="the-mode-has-changed",
            has_line=True,
        ),
        stat(
            "Open orders",
            "Orders at execution that are not over. The dashboard of execution shows those of unknown outcome.",
            "none",
            value("tollgate_open_orders"),
            width=4,
            runbook="unknown-orders",
            has_line=True,
        ),
        stat(
            "Open positions",
            "Symbols of which anything is held.",
            "none",
            value("tollgate_books_open_positions"),
            width=4,
            runbook="a-position-has-no-stop",
            has_line=True,
        ),
        lines(
            "Result since the opening",
            "What trading has made since the books were opened, and its parts, in quote currency. Fees are taken off; "
            "deposits and withdrawals are not in it.",
            "locale",
            Query(RESULT, "result"),
            Query(value("tollgate_books_realized_quote"), "realized"),
            Query(value("tollgate_books_unrealized_quote"), "unrealized"),
            Query(f"0 - {value('tollgate_books_fees_quote')}", "fees"),
            runbook="the-mode-has-changed",
        ),
        states(
            "Mode and feed",
            "What was in force when. A mode comes back one step at a time.",
            Query(MODE, "mode"),
            look=MODE_LOOK,
            width=6,
            height=8,
            runbook="the-mode-has-changed",
        ),
        states(
            "What stops it",
            "1 while it holds: the kill switch, safe mode, and a permit that risk withholds.",
            Query(value("tollgate_kill_switch_engaged"), "kill switch"),
            Query(value("tollgate_safe_mode"), "safe mode"),
            Query(value("tollgate_permit_withheld"), "no permit"),
            look=switch("", "yes"),
            width=6,
            height=8,
            runbook="kill-and-release",
        ),
    ),
)
_FLOW = Row(
    "Order flow",
    (
        lines(
            "From intent to fill",
            "A second: what the strategy asks for, what risk approves and rejects, what is sent and what is filled. "
            "Where a "
            "line falls away from the one before, orders get lost: look at rejections, then at execution.",
            "cps",
            Query(or_zero(rate("tollgate_intents_total"), "strategy"), "intents"),
            Query(or_zero(rate("tollgate_decisions_total", outcome="APPROVED"), "risk"), "approved"),
            Query(or_zero(rate("tollgate_decisions_total", outcome="REJECTED"), "risk"), "rejected"),
            Query(or_zero(rate("tollgate_submits_total"), "execution"), "sent"),
            Query(or_zero(rate("tollgate_fills_total"), "execution"), "fills"),
            width=8,
            runbook="the-mode-has-changed",
        ),
        lines(
            "Rejections by reason",
            "A second. One intent may have several reasons. One that is always there is a limit that no longer fits, "
            "or a "
            "strategy that asks for the wrong size.",
            "cps",
            Query(or_zero(rate("tollgate_rejections_total", "reason"), "risk", "reason"), "{{reason}}"),
            width=8,
            is_stacked=True,
            runbook="the-mode-has-changed",
        ),
        lines(
            "Refused by execution",
            "A second, by reason: approvals that it would not act upon. A bad signature, an unknown key or a second "
            "use is "
            "never expected.",
            "cps",
            Query(or_zero(rate("tollgate_refusals_total", "reason"), "execution", "reason"), "{{reason}}"),
            width=8,
            is_stacked=True,
            runbook="approval-refused",
        ),
        lines(
            "From quote to order",
            "From the quote on the tape that an order follows from to its being sent. The services on its way are on "
            "the "
            "dashboard of the platform.",
            "s",
            *latencies("tollgate_tick_to_order_seconds"),
            width=8,
            runbook="a-reader-is-behind",
        ),
        lines(
            "A submit at the venue",
            "Time of one request that sends an order. Above a second the venue or the way to it is at fault.",
            "s",
            *latencies("tollgate_venue_request_seconds", call="submit"),
            width=8,
            runbook="calls-to-the-venue-are-stopped",
        ),
        lines(
            "From fill to books",
            "From a fill on the tape to its being committed. Equity and positions are as old as that.",
            "s",
            *latencies("tollgate_ledger_booked_seconds"),
            width=8,
            runbook="the-books-are-not-kept",
        ),
    ),
)
_ALERTS = Row(
    "Who calls",
    (
        table(
            "Alerts",
            "What fires now; 'none' where nothing does. The runbook's table says what each means and what to do first.",
            "none",
            Query(f"{_FIRING} or on () {_NONE}", "series"),
            {"alertname": "alert", "severity": "severity"},
            look=Look(steps=((1, ORANGE),), below=GREY),
            runbook="the-alerts",
        ),
        table(
            "Which version runs",
            "The version of each instance. Two versions of one service are a rolling restart, or one that was "
            "forgotten.",
            "none",
            Query(each("tollgate_build_info", "service, instance, version"), "runs"),
            {"service": "service", "instance": "instance", "version": "version"},
            runbook="a-service-is-not-live",
        ),
    ),
)
BOARD = Board(
    "tollgate-desk",
    "Tollgate: desk",
    "Is it trading, is it safe, and does it make or lose money? Start here.",
    (_SAFE, _MAKES, _FLOW, _ALERTS),
)
