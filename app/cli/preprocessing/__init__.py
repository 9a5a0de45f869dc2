"""The command `headrace preprocess`."""
