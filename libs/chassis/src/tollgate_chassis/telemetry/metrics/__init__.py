"""Every metric that Tollgate emits, a module for each who emits it: base units, bounded labels, no other place.

A process offers what it has imported, so that each service shows its own and no other's at zero. ``CATALOG`` names
the modules for whoever documents or tests them all.
"""

from prometheus_client import disable_created_metrics

# A second series for each counter that says only when its process started; Prometheus has that already.
disable_created_metrics()  # type: ignore[no-untyped-call]

# From 50 microseconds, the cheapest thing measured, to 5 seconds, at which everything is long stale.
LATENCY_BUCKETS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
)  # fmt: skip

CATALOG = ("tape", "operators", "marketdata", "strategy", "risk", "execution", "ledger")
"""The modules of this package, in the order in which a quote becomes a booking."""
