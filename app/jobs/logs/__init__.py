"""Logs of jobs: the lines that handlers write about their work."""
