"""The command line: `headrace`, or `python -m app`."""
