"""A notification channel as a plugin: it appends each event to a file. See `README.md`."""
