"""The model registry: the built-in model, and the models that users train or upload."""
