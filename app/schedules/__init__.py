"""Schedules: what submits a job again and again."""
