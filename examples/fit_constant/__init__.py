"""A kind with a completion as a plugin: it fits a constant model and registers it. See `README.md`."""
