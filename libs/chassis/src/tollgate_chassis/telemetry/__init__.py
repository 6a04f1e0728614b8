"""What a service tells of itself: ``logs`` as JSON lines, ``metrics`` for Prometheus, ``tracing`` for OpenTelemetry."""
