"""A real Postgres and a real Valkey, from wheels, as child processes of ours."""
