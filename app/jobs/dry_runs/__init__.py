"""Dry runs: what creating a job would do, without creating it."""
