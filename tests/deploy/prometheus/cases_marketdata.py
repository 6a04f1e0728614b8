"""When the alerts of market data fire, and when they do not."""

from tests.deploy.prometheus.cases import Series, firing, histogram, scraped, silent, standing_by


def feed(metric: str, values: str | float, **labels: str) -> Series:
    """Return a series of market data."""
    return scraped(metric, "marketdata", values, 1, **labels)


def state(name: str) -> Series:
    """Return that the feed is so; an empty name: nothing is known of it yet."""
    states = ("UP", "DEGRADED", "STALE", "GAP", "RECOVERED")
    return {k: v for each in states for k, v in feed("tollgate_feed_state", int(each == name), state=each).items()}


def ages(below_one_s: str) -> Series:
    """Return how many of the quotes, a hundred with each scrape, were younger than a second."""
    return histogram(
        "tollgate_quote_age_seconds", "marketdata", {"1.0": below_one_s, "5.0": "0+100x60", "+Inf": "0+100x60"}
    )


LOST, REFUSED = "tollgate_feed_lost_total", "tollgate_feed_refused_total"
LAST, CYCLES = "tollgate_last_quote_timestamp_seconds", "tollgate_data_cycles_total"
BTC, ETH = "BTC-USDT", "ETH-USDT"

CASES = (
    firing("TollgateFeedNotUp", "stale", state("STALE")),
    firing("TollgateFeedNotUp", "not connected yet", state("")),
    silent("TollgateFeedNotUp", "up", state("UP")),
    silent("TollgateFeedNotUp", "recovered", state("RECOVERED")),
    silent("TollgateFeedNotUp", "another instance stands by without a feed", state("UP"), standing_by("marketdata")),
    firing("TollgateFeedLostOften", "each minute", feed(LOST, "0+1x60", reason="SILENT")),
    firing(
        "TollgateFeedLostOften",
        "from the start of its series on",
        feed(LOST, "_x20 1x3 2x3 3x3 4x3 5x20", reason="GAP"),
    ),
    silent("TollgateFeedLostOften", "once", feed(LOST, "_x20 1x20", reason="CLOSED")),
    silent("TollgateFeedLostOften", "often, but long ago", feed(LOST, 9, reason="CLOSED")),
    firing(
        "TollgateQuoteStale",
        "one symbol of two",
        feed(LAST, 500, symbol=BTC),
        feed(LAST, "0+15x60", symbol=ETH),
        symbol=BTC,
    ),
    silent("TollgateQuoteStale", "quotes come", feed(LAST, "0+15x60", symbol=BTC)),
    silent("TollgateQuoteStale", "there was none yet", feed(LAST, 0, symbol=BTC)),
    firing("TollgateSymbolWithoutQuotes", "for minutes", feed(CYCLES, "0+60x60", symbol=BTC, data="none"), symbol=BTC),
    silent("TollgateSymbolWithoutQuotes", "at the start only", feed(CYCLES, "0x2 4x60", symbol=BTC, data="none")),
    silent("TollgateSymbolWithoutQuotes", "stale ones", feed(CYCLES, "0+60x60", symbol=BTC, data="stale")),
    firing("TollgateQuotesLate", "a tenth is late", ages("0+90x60"), at="12m"),
    silent("TollgateQuotesLate", "one of a thousand is late", ages("0+99.9x60"), at="12m"),
    firing("TollgateFramesRefused", "they go on", feed(REFUSED, "0x20 0+1x30")),
    silent("TollgateFramesRefused", "a single one", feed(REFUSED, "0x20 1x30")),
    silent("TollgateFramesRefused", "none", feed(REFUSED, 0)),
)
