"""The models that jobs predict with: the one that is built in, and those that users train and bring."""
