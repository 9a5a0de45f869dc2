"""Evaluations of model versions over time. They outlive the jobs that made them."""
