"""Completion of training jobs: registers the trained model as a version."""
