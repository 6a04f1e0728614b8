"""What market data tells of the feed."""

from prometheus_client import Counter, Gauge, Histogram

from tollgate_chassis.telemetry.metrics import LATENCY_BUCKETS

FEED_FRAMES = Counter("tollgate_feed_frames_total", "Frames received from the venue's public feed.", ["frame"])
FEED_REFUSED = Counter("tollgate_feed_refused_total", "Frames that said something impossible.")
QUOTE_AGE_SECONDS = Histogram(
    "tollgate_quote_age_seconds", "Age of a quote, by the venue's stamp, when it is appended.", buckets=LATENCY_BUCKETS
)
LAST_QUOTE_TIME = Gauge(
    "tollgate_last_quote_timestamp_seconds", "When the newest quote of the symbol went to the tape.", ["symbol"]
)
DATA_CYCLES = Counter(
    "tollgate_data_cycles_total", "Cycles of the clock, by whether the symbol's quote was fresh, stale or none.",
    ["symbol", "data"],
)  # fmt: skip
FEED_STATE = Gauge("tollgate_feed_state", "1 for the state of the feed.", ["state"])
FEED_LOST = Counter("tollgate_feed_lost_total", "Connections to the venue's public feed that were lost.", ["reason"])
