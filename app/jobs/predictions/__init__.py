"""Predictions at once: a small job, and the answer held until it is done."""
