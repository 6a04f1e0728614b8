"""The same cores on an in-memory tape: replay and comparison of recorded runs."""
