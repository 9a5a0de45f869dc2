"""A job kind as a plugin, in two small modules. See `README.md`."""
