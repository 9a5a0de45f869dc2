"""A real Postgres and a real Valkey from Python wheels, run as child processes."""
