"""Foundations shared by every process: settings, connections, logs, metrics. No domain code, no FastAPI."""
