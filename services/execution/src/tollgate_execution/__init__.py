"""Decisions become venue orders and fills; the only holder of venue keys."""
