"""Summaries of results: how many rows have which label, computed once."""
