"""Venue feeds become sequenced, gap-free, canonical market data."""
