"""Streams: a job's event log, pushed to whoever follows it."""
