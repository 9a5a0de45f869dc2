"""Conversions of models: converted and checked by a job, registered when it completes."""
