"""Quotas: how much each user has, and may have."""
