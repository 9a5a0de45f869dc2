"""Profiles: where an attempt at a job spent its time."""
