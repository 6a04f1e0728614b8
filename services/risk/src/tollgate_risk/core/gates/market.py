"""Is the market known well enough, and is the price near it."""

from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.money import divide, plain
from tollgate_contracts.reasons import Finding, Reason
from tollgate_contracts.strategy import Side
from tollgate_risk.core.case import BPS, Case, finding

MS = 1_000
# After RECOVERED a fresh snapshot has closed the gap, and quotes may be used again.
_USABLE = frozenset({FeedState.UP, FeedState.RECOVERED})


def stale(case: Case) -> Finding | None:
    """The symbol's last quote is recent on the tape, and the venue's time of it is near ours."""
    quote = case.quote
    if quote is None:
        return None
    data = case.rules.data
    age_us = case.state.now_us - quote.ts_us
    skew_us = abs(quote.ts_us - quote.venue_ts_us)
    if age_us > data.quote_age_ms_max * MS:
        return finding(Reason.DATA_STALE, data.quote_age_ms_max * MS, age_us, "us of age")
    if skew_us > data.venue_skew_ms_max * MS:
        return finding(Reason.DATA_STALE, data.venue_skew_ms_max * MS, skew_us, "us between venue and tape")
    return None


def gap(case: Case) -> Finding | None:
    """The feed is up; a slower or broken feed is no ground to trade on."""
    if case.state.feed in _USABLE:
        return None
    return finding(Reason.DATA_GAP, FeedState.UP, case.state.feed or "none", "feed")


def no_mark(case: Case) -> Finding | None:
    """The symbol has been quoted; for a buy, so has every symbol that is held or is being bought."""
    state = case.state
    needed = [case.intent.symbol]
    if not case.reducing and state.portfolio is not None:
        needed += state.portfolio.holdings()
        needed += [order.symbol for order in state.orders.by_id.values()]
    missing = sorted({symbol for symbol in needed if symbol not in state.quotes})
    if not missing:
        return None
    return finding(Reason.DATA_NO_MARK, "a quote of each symbol at risk", f"none of {', '.join(missing)}", "mark")


def collar(case: Case) -> Finding | None:
    """The price is near the mark, above or below: further away it is a mistake."""
    if case.price is None or case.quote is None:
        return None
    mark = case.quote.mark
    distance = abs(case.price - mark) * BPS
    limit = case.rules.price.collar_bps
    if distance <= limit * mark:
        return None
    return finding(Reason.PRICE_COLLAR, plain(limit), plain(divide(distance, mark, 4)), "bps")


def crossed_post_only(case: Case) -> Finding | None:
    """A post-only order does not meet the other side of the book."""
    quote, price = case.quote, case.intent.limit_price
    if not case.intent.post_only or quote is None or price is None:
        return None
    if case.intent.side is Side.BUY and price >= quote.ask:
        return finding(Reason.PRICE_CROSSED_POST_ONLY, f"below {plain(quote.ask)}", plain(price), "price")
    if case.intent.side is Side.SELL and price <= quote.bid:
        return finding(Reason.PRICE_CROSSED_POST_ONLY, f"above {plain(quote.bid)}", plain(price), "price")
    return None
