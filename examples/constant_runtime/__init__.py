"""A runtime as a plugin: it loads constant models from JSON files. See `README.md`."""
