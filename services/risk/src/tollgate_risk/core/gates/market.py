"""Is the market known well enough, and is the price near it."""

from tollgate_contracts.marketdata import FeedState
from tollgate_contracts.money import divide
from tollgate_contracts.reasons import Reason
from tollgate_contracts.strategy import Side
from tollgate_risk.core.activity import USABLE
from tollgate_risk.core.case import BPS, Case, Measure

MS = 1_000


def stale(case: Case) -> Measure | None:
    """The symbol's last quote is recent on the tape."""
    if case.quote is None:
        return None
    limit_us, age_us = case.rules.data.quote_age_ms_max * MS, case.state.now_us - case.quote.ts_us
    return Measure(Reason.DATA_STALE, age_us <= limit_us, limit_us, age_us, "us of age")


def clock_skew(case: Case) -> Measure | None:
    """The venue's time of the quote is near ours; else its age says nothing."""
    if case.quote is None:
        return None
    limit_us, skew_us = case.rules.data.clock_skew_ms_max * MS, abs(case.quote.ts_us - case.quote.venue_ts_us)
    return Measure(Reason.DATA_CLOCK_SKEW, skew_us <= limit_us, limit_us, skew_us, "us between venue and tape")


def gap(case: Case) -> Measure:
    """The feed is up; a slower or broken feed is no ground to trade on."""
    feed = case.state.feed
    return Measure(Reason.DATA_GAP, feed in USABLE, FeedState.UP, feed or "none", "feed")


def no_mark(case: Case) -> Measure:
    """The symbol has been quoted; for what is not reducing, so has every symbol that is held or being traded."""
    missing = case.state.unmarked() if not case.reducing else set()
    if case.quote is None:
        missing = missing | {case.intent.symbol}
    seen = f"none of {', '.join(sorted(missing))}" if missing else "all"
    return Measure(Reason.DATA_NO_MARK, not missing, "a quote of each symbol at risk", seen, "mark")


def collar(case: Case) -> Measure | None:
    """The price is near the mark, above or below: further away it is a mistake."""
    if case.price is None or case.quote is None:
        return None
    mark, limit = case.quote.mark, case.rules.price.collar_bps
    distance = abs(case.price - mark) * BPS
    return Measure(Reason.PRICE_COLLAR, distance <= limit * mark, limit, divide(distance, mark, 4), "bps")


def crossed_post_only(case: Case) -> Measure | None:
    """A post-only order does not meet the other side of the book."""
    quote, price = case.quote, case.intent.limit_price
    if not case.intent.post_only or quote is None or price is None:
        return None
    if case.intent.side is Side.BUY:
        return Measure(Reason.PRICE_CROSSED_POST_ONLY, price < quote.ask, quote.ask, price, "price, below")
    return Measure(Reason.PRICE_CROSSED_POST_ONLY, price > quote.bid, quote.bid, price, "price, above")


def self_cross(case: Case) -> Measure | None:
    """An order does not meet one of our own: a desk that trades with itself pays fees for nothing."""
    price, touch = case.price, case.own_touch
    if price is None or touch is None:
        return None
    is_kept = price < touch if case.intent.side is Side.BUY else price > touch
    return Measure(Reason.PRICE_SELF_CROSS, is_kept, touch, price, "price of our own order")
