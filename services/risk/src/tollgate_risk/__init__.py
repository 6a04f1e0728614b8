"""The gate: intents become signed decisions."""
