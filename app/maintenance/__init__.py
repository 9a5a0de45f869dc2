"""Maintenance: the background loops that every API process and every worker runs."""
