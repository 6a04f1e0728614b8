"""What the strategy tells."""

from prometheus_client import Counter

INTENTS = Counter("tollgate_intents_total", "Intents written.", ["symbol", "side"])
