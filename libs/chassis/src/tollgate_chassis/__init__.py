"""How a service runs: the tape, settings, telemetry, health, snapshots."""
