"""Computes the profile of a dataset, in a process of its own.

Only that process imports the modules of this package other than `messages`: they need NumPy.
"""
