"""`headrace search`: searches of hyperparameters over HTTP."""
