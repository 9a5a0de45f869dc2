"""Maintenance: the background loops of every API process and every worker (`keeper` in logs and metrics)."""
