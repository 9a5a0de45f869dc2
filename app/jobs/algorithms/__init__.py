"""The algorithms that train models: their names, tasks and hyperparameters."""
