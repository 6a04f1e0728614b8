"""The exchange itself, pure: time comes in as an argument, and what happened goes out as events."""
