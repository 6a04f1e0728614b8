"""Universe, signals and sizing become intents."""
