"""The models that jobs predict with."""
