"""Workers as Postgres knows them: their leases, and the jobs that they run."""
