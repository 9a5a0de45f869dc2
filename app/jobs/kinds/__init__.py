"""The kinds of jobs, as the API knows them; their other half, the handler, lives in `worker.handlers`."""
