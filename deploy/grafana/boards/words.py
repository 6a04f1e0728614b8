"""What more than one dashboard shows in the same way: words and colours of states, and questions that are long."""

from deploy.grafana.boards.panels import BLUE, GREEN, GREY, ORANGE, RED, YELLOW, Look, Query
from deploy.grafana.boards.queries import coded, quantile, value

MODES = ("NORMAL", "REDUCE_ONLY", "OBSERVE_ONLY")
FEEDS = ("UP", "RECOVERED", "DEGRADED", "STALE", "GAP")
BREAKERS = ("CLOSED", "HALF_OPEN", "OPEN")

MODE = coded("tollgate_risk_mode", "mode", MODES)
FEED = coded("tollgate_feed_state", "state", FEEDS)
MODE_LOOK = Look(words={0: ("NONE", GREY), 1: ("NORMAL", GREEN), 2: ("REDUCE ONLY", ORANGE), 3: ("OBSERVE ONLY", RED)})
FEED_LOOK = Look(
    words={
        0: ("NOT CONNECTED", RED),
        1: ("UP", GREEN),
        2: ("RECOVERED", BLUE),
        3: ("DEGRADED", YELLOW),
        4: ("STALE", RED),
        5: ("GAP", RED),
    }
)
BREAKER_LOOK = Look(words={0: ("NONE", GREY), 1: ("CLOSED", GREEN), 2: ("PROBING", YELLOW), 3: ("OPEN", RED)})

SERVICES_LIVE = 'sum(max by (service) (tollgate_live{desk="$desk"}))'

RESULT = (
    f"({value('tollgate_books_realized_quote')} + {value('tollgate_books_unrealized_quote')}"
    f" - {value('tollgate_books_fees_quote')})"
)
"""What trading has made since the books were opened; deposits and withdrawals are not in it."""

DAY_RESULT = (
    # Steps of a subquery lie on whole hours, so that one of them is midnight itself.
    f"{RESULT} - last_over_time(({RESULT} and on () hour() == 0)[1d:1h])"
    f" or on () 0 - {value('tollgate_risk_condition_value', condition='daily_loss')}"
)
"""The result less that of the last midnight UTC; where nobody scraped then, the day's loss as risk knows it."""

DRAWDOWN = (
    f"{value('tollgate_books_drawdown_quote')}"
    f" / ({value('tollgate_books_equity_quote')} + {value('tollgate_books_drawdown_quote')})"
)


def latencies(histogram: str, **labels: str) -> tuple[Query, ...]:
    """Return the median, the tail and the far tail of a latency, with the traces behind them."""
    return tuple(
        Query(quantile(share, histogram, **labels), legend, exemplar=True)
        for share, legend in ((0.5, "half below"), (0.95, "95 % below"), (0.99, "99 % below"))
    )


def tails(histogram: str, by: str, **labels: str) -> Query:
    """Return the far tail of a latency for each ``by``, with the traces behind it."""
    first = by.partition(",")[0]
    return Query(quantile(0.99, histogram, by, **labels), f"{{{{{first}}}}}", exemplar=True)
