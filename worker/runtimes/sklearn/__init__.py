"""Runs scikit-learn models from skops files."""
