"""Filters of result rows: which rows of a job match, found by reading its results."""
