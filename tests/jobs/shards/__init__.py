"""Shards: planning, roll-up, cancel and retry."""
