"""The supervisor: starts broker, database, exchange and services, keeps them running, and leaves nothing behind."""
