"""Searches: training jobs that differ in their hyperparameters, and the ranking of their results."""
