"""Train a model from a table: plan the training, run its epochs with checkpoints, write the artifact."""
