"""The state of the system, for administrators."""
