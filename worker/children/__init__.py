"""The child processes in which handlers and models run, and the worker's side of them."""
