"""Queues: the jobs that wait in them, and the capacity of the workers that serve them."""
