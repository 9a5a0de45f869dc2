"""The dashboard: static files without a build step, which use only the public HTTP API."""
