"""The feed: whether quotes come, how old they are, and what was wrong with them."""

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
)
from deploy.grafana.boards.queries import age, grown, or_zero, quantile, rate
from deploy.grafana.boards.words import FEED, FEED_LOOK, latencies

_FEED = "feed-stale-or-gap"
_LAST = age("tollgate_last_quote_timestamp_seconds", "symbol")
_FRESH = (
    f"{rate('tollgate_data_cycles_total', 'symbol', data='fresh')} / {rate('tollgate_data_cycles_total', 'symbol')}"
)
_OLD = Look(steps=((3, YELLOW), (10, RED)), decimals=1)
_GOOD = Look(steps=((0.95, ORANGE), (0.99, GREEN)), below=RED, decimals=1)

_NOW = Row(
    "Now",
    (
        stat("Feed", "Only UP and RECOVERED are traded on.", "none", FEED, width=4, look=FEED_LOOK, runbook=_FEED),
        stat(
            "Symbols quoted",
            "Symbols that had a quote within the last ten seconds.",
            "none",
            f"count({_LAST} < 10)",
            width=4,
            runbook=_FEED,
        ),
        stat(
            "Oldest quote",
            "Of all symbols, how long the newest quote is ago. Above ten seconds it is not traded on.",
            "s",
            f"max({_LAST})",
            width=4,
            look=_OLD,
            runbook=_FEED,
        ),
        stat(
            "Quote's age",
            "99 of a hundred quotes are younger, by the venue's stamp, when they go to the tape.",
            "s",
            quantile(0.99, "tollgate_quote_age_seconds"),
            width=4,
            look=Look(steps=((0.25, YELLOW), (1, RED))),
            runbook="clock-wrong",
        ),
        stat(
            "Connections lost",
            "Within the time that is shown.",
            "none",
            or_zero(grown("tollgate_feed_lost_total"), "marketdata"),
            width=4,
            look=Look(steps=((1, YELLOW), (4, RED)), decimals=0),
            runbook=_FEED,
        ),
        stat(
            "Frames refused",
            "Within the time that is shown: what the venue said and cannot be.",
            "none",
            grown("tollgate_feed_refused_total"),
            width=4,
            look=Look(steps=((1, YELLOW), (4, RED)), decimals=0),
            runbook="frames-refused",
        ),
    ),
)
_QUOTES = Row(
    "Are the quotes fresh?",
    (
        states("Feed", "What it was when.", Query(FEED, "feed"), look=FEED_LOOK, width=24, height=4, runbook=_FEED),
        bars(
            "Since the symbol's last quote",
            "By symbol. One alone that grows: the venue has halted it, or its frames are refused. All: the feed is "
            "away.",
            "s",
            Query(_LAST, "{{symbol}}"),
            width=8,
            look=_OLD,
            limit=10,
            runbook=_FEED,
        ),
        lines(
            "Cycles with a fresh quote",
            "Of the cycles of the clock, the share in which the symbol's quote was fresh. The rest was stale or none.",
            "percentunit",
            Query(_FRESH, "{{symbol}}"),
            width=8,
            look=_GOOD,
            runbook=_FEED,
        ),
        lines(
            "Quote's age on the tape",
            "By the venue's stamp, when it is appended: network, conflation and the difference of the clocks.",
            "s",
            *latencies("tollgate_quote_age_seconds"),
            width=8,
            runbook="clock-wrong",
        ),
    ),
)
_FRAMES = Row(
    "What the venue sends",
    (
        lines(
            "Frames",
            "A second, by kind. Heartbeats alone: the market is over or halted, and the connection is well.",
            "cps",
            Query(rate("tollgate_feed_frames_total", "frame"), "{{frame}}"),
            width=8,
            runbook=_FEED,
        ),
        lines(
            "Lost connections",
            "Within the window, by reason.",
            "none",
            Query(
                or_zero(grown("tollgate_feed_lost_total", "reason", "$__rate_interval"), "marketdata", "reason"),
                "{{reason}}",
            ),
            width=8,
            look=ALARM,
            runbook=_FEED,
        ),
        lines(
            "Frames refused",
            "A second. They are left out, and the old quote grows stale.",
            "cps",
            Query(rate("tollgate_feed_refused_total"), "refused"),
            width=8,
            runbook="frames-refused",
        ),
    ),
)
_CLOCK = Row(
    "The tape's clock",
    (
        lines(
            "Cycles",
            "A second: market data writes one each marketdata.cycle_ms. None: nothing is decided and nothing expires.",
            "cps",
            Query(rate("tollgate_cycle_seconds_count", service="marketdata"), "cycles"),
            runbook="a-reader-is-behind",
        ),
        lines(
            "Since the newest cycle",
            "How long it was ago, by Prometheus' clock, when it was scraped. Below zero: the host's clock is ahead.",
            "s",
            Query(age("tollgate_cycle_timestamp_seconds"), "newest cycle"),
            runbook="clock-wrong",
        ),
    ),
)
BOARD = Board(
    "tollgate-market-data",
    "Tollgate: market data",
    "Whether quotes come, how old they are, and what the venue sends.",
    (_NOW, _QUOTES, _FRAMES, _CLOCK),
)
