"""Searches: many training jobs that differ in their hyperparameters, and which of them is the best."""
