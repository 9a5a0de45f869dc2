"""Synchronous predictions: a job of a few rows, answered when it has ended."""
