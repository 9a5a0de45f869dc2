"""Paths for clients that were written for fastscheduler: translations onto the same service."""
