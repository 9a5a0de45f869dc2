"""The list of the kinds of jobs."""
